"""`sealcast ban` and `sealcast revoke`: what operators type, against a relay that runs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sealcast.client.tokens import mint
from sealcast.protocol.tokens import token_id

Start = Callable[..., Awaitable[Any]]

APP, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
ON = {
    "SEALCAST_SERVER_INTERNAL": "true",
    "SEALCAST_SERVER_INTERNAL_PORT": "0",
    "SEALCAST_SERVER_PORT": "0",
    "SEALCAST_APP_ID": APP,
    "SEALCAST_APP_CERTIFICATE": CERTIFICATE,
}


class Operator:
    """A relay with an app and a database, and somebody who may do everything."""

    def __init__(self, start: Start, env: dict[str, str]) -> None:
        self._start = start
        self._env = env

    async def run(self, *arguments: str, status: int = 0, stdin: bytes = b"") -> str:
        done = await (await self._start(*arguments, env=self._env)).finish(stdin)
        assert done.status == status, done.err
        assert not status or (done.out == b"" and done.err.count("\n") == 1), done.err
        return str(done.err) if status else str(done.out.decode())

    async def listed(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(await self.run(*arguments, "--json"))
        return found


@pytest.fixture
async def operator(start: Start, tmp_path: Path) -> Operator:
    data = str(tmp_path / "data")
    made = await (await start("admin", "key", "--data", data)).finish()
    assert made.status == 0, made.err
    program = await start("serve", "--data", data, env=ON)
    told: dict[str, Any] = {"event": ""}
    while told["event"] != "listening for operators":
        told = json.loads(await program.error_line())
    env = {
        "SEALCAST_API_URL": f"http://127.0.0.1:{told['port']}",
        "SEALCAST_API_KEY": made.out.decode().strip(),
    }
    return Operator(start, env)


async def test_a_ban_is_made_listed_changed_and_lifted(operator: Operator) -> None:
    add = ("ban", "add", APP, "--user", "mallory", "--channel", "standup", "--for", "1h", "--reason", "loud")
    ban_id = (await operator.run(*add)).strip()
    await operator.run("ban", "add", APP, "--address", "192.0.2.0/24", "--take", "audio", "--take", "video")
    shown = await operator.run("ban", "list", APP)
    for text in (ban_id, "mallory", "standup", "loud", "192.0.2.0/24", "audio video"):
        assert text in shown
    (one,) = await operator.listed("ban", "list", APP, "--user", "mallory")
    assert one["until"] - one["created"] == 3600
    await operator.run("ban", "change", APP, ban_id, "--for", "2h")
    (two,) = await operator.listed("ban", "list", APP, "--user", "mallory")
    assert two["until"] > one["until"]
    await operator.run("ban", "change", APP, ban_id)
    (three,) = await operator.listed("ban", "list", APP, "--user", "mallory")
    assert three["until"] is None
    await operator.run("ban", "lift", APP, ban_id)
    (left,) = await operator.listed("ban", "list", APP)
    assert left["address"] == "192.0.2.0/24"
    assert await operator.listed("ban", "list", APP, "--address", "192.0.2.9") == [left]
    await operator.run("ban", "add", APP, "--user", "eve", "--for", "0")
    assert await operator.listed("ban", "list", APP) == [left]


async def test_a_token_is_revoked_and_does_not_leave_this_machine(operator: Operator) -> None:
    token = mint(APP, CERTIFICATE, "standup", "mallory")
    add = ("revoke", "add", APP, "--token-file", "-", "--reason", "stolen")
    number = (await operator.run(*add, stdin=token.encode())).strip()
    (one,) = await operator.listed("revoke", "list", APP)
    inspected = json.loads(await operator.run("token", "inspect", token, "--json"))
    assert one["token_id"] == inspected["token_id"] == token_id(token)
    assert f"id       {token_id(token)}" in await operator.run("token", "inspect", token)
    await operator.run("revoke", "add", APP, "--user", "mallory", "--channel", "standup")
    assert "mallory" in await operator.run("revoke", "list", APP, "--channel", "standup")
    await operator.run("revoke", "add", APP, "--issued-before", str(one["created"] - 60))
    await operator.run("revoke", "lift", APP, number)
    assert await operator.listed("revoke", "list", APP, "--token-id", one["token_id"]) == []
    assert len(await operator.listed("revoke", "list", APP)) == 2


async def test_what_cannot_be_done_is_one_line(operator: Operator) -> None:
    for arguments, status, said in (
        (["ban", "add", APP], 2, "nobody to ban; try --user, --channel, --address, or several"),
        (["ban", "add", APP, "--user", "x", "--for", "soon"], 2, "--for is "),
        (["ban", "add", APP, "--user", "x", "--take", "all"], 1, "(invalid)"),
        (["ban", "add", "f" * 32, "--user", "x"], 1, "no such app (not_found)"),
        (["ban", "lift", APP, "0" * 20], 1, "no such ban (not_found)"),
        (["revoke", "add", APP], 2, "nothing to revoke"),
        (["revoke", "add", APP, "--issued-before", "yesterday"], 2, "--issued-before is no time"),
        (["revoke", "add", APP, "--token-file", "-", "--token-id", "x"], 2, "one of them"),
        (["revoke", "add", APP, "--issued-before", "2020-01-31T12:00Z"], 1, "have all ended by themselves"),
        (["revoke", "lift", APP, "0" * 20], 1, "no such revocation (not_found)"),
    ):
        assert said in await operator.run(*arguments, status=status), arguments
    secret = b"007SECRETSECRET"
    said = await operator.run("revoke", "add", APP, "--token-file", "-", status=1, stdin=secret)
    assert "SECRET" not in said
