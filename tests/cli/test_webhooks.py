"""`sealcast webhooks`: what operators type, against a relay that runs."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Awaitable[Any]]
Run = Callable[..., Awaitable[str]]

ON = {"SEALCAST_SERVER_INTERNAL": "true", "SEALCAST_SERVER_INTERNAL_PORT": "0", "SEALCAST_SERVER_PORT": "0"}
URL = "https://127.0.0.1:1/hook"


@pytest.fixture
async def run(start: Start, tmp_path: Path) -> Run:
    """Run a command against a relay with a database; it must end with 0, or as it is told."""
    data = str(tmp_path / "data")
    made = await (await start("admin", "key", "--data", data)).finish()
    program = await start("serve", "--data", data, env=ON)
    told: dict[str, Any] = {"event": ""}
    while told["event"] != "listening for operators":
        told = json.loads(await program.error_line())
    env = {
        "SEALCAST_API_URL": f"http://127.0.0.1:{told['port']}",
        "SEALCAST_API_KEY": made.out.decode().strip(),
    }

    async def run(*arguments: str, status: int = 0) -> str:
        done = await (await start(*arguments, env=env)).finish()
        assert done.status == status, done.err
        return str(done.err) if status else str(done.out.decode())

    return run


async def test_a_webhook_lives_from_its_making_to_its_end(run: Run) -> None:
    app_id = json.loads(await run("apps", "create", "--json"))["app"]["app_id"]
    said = await run("webhooks", "create", app_id, URL, "--kind", "member.left")
    webhook_id, secret = (line.split()[-1] for line in said.splitlines())
    assert secret.startswith("whsec_")
    one = (app_id, webhook_id)
    listed = await run("webhooks", "list", app_id)
    assert URL in listed
    assert "member.left" in listed
    assert secret not in listed + await run("webhooks", "show", *one)

    changed = json.loads(await run("webhooks", "update", *one, "--disable", "--all-kinds", "--json"))
    assert (changed["enabled"], changed["kinds"], changed["url"]) == (False, [], URL)
    assert secret not in await run("webhooks", "rotate", *one, "--overlap", "1h")
    assert "hooks.private" in await run("webhooks", "test", *one, status=1)

    assert await run("webhooks", "dead", "list", *one) == "none\n"
    assert await run("webhooks", "dead", "revive", *one) == "0\n"
    assert "no such dead letter" in await run("webhooks", "dead", "revive", *one, "1", status=1)
    assert "no such dead letter" in await run("webhooks", "dead", "delete", *one, "1", status=1)
    await run("webhooks", "delete", *one)
    assert await run("webhooks", "list", app_id) == "none\n"


async def test_what_makes_no_sense_is_one_line(run: Run) -> None:
    app_id = json.loads(await run("apps", "create", "--json"))["app"]["app_id"]
    assert "hooks.insecure" in await run("webhooks", "create", app_id, "http://127.0.0.1/", status=1)
    assert "kinds" in await run("webhooks", "create", app_id, URL, "--kind", "member.danced", status=1)
    assert "nothing to change" in await run("webhooks", "update", app_id, "0" * 16, status=2)
