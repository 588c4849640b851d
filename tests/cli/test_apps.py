"""`sealcast apps`, `keys`, `admin` and `migrate`: what operators type, against a relay that runs."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Awaitable[Any]]

ON = {"SEALCAST_SERVER_INTERNAL": "true", "SEALCAST_SERVER_INTERNAL_PORT": "0", "SEALCAST_SERVER_PORT": "0"}


class Operator:
    """A relay with a database, and somebody who may do everything."""

    def __init__(self, start: Start, env: dict[str, str], program: Any) -> None:
        self._start = start
        self.env = env
        self.program = program

    async def run(self, *arguments: str, status: int = 0, env: dict[str, str] | None = None) -> str:
        done = await (await self._start(*arguments, env=self.env if env is None else env)).finish()
        assert done.status == status, done.err
        assert not status or (done.out == b"" and done.err.count("\n") == 1), done.err
        return str(done.err) if status else str(done.out.decode())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
async def operator(start: Start, data: Path) -> Operator:
    made = await (await start("admin", "key", "--data", str(data))).finish()
    assert made.status == 0, made.err
    program = await start("serve", "--data", str(data), env=ON)
    told: dict[str, Any] = {"event": ""}
    while told["event"] != "listening for operators":
        told = json.loads(await program.error_line())
    env = {
        "SEALCAST_API_URL": f"http://127.0.0.1:{told['port']}",
        "SEALCAST_API_KEY": made.out.decode().strip(),
    }
    return Operator(start, env, program)


async def test_an_app_lives_from_its_making_to_its_end(operator: Operator) -> None:
    said = await operator.run("apps", "create", "--name", "Teams", "--set", "limits.message=32KiB")
    app_id, secret = (line.split()[-1] for line in said.splitlines())
    assert len(app_id) == len(secret) == 32
    assert "Teams" in await operator.run("apps", "list")
    shown = json.loads(await operator.run("apps", "show", app_id, "--json"))
    assert shown["limits"]["message"] == 32768
    changes = ("--set", "presence.linger=5s", "--set", "policy.encryption=optional", "--reset", "limits")
    changed = await operator.run("apps", "update", app_id, *changes)
    assert 'policy.encryption = "optional"' in changed
    assert "presence.linger = 5.0" in changed
    assert "limits.message = 65536" in changed
    failed = await operator.run("apps", "delete", app_id, status=1)
    assert failed.endswith("(app_enabled); disable it first\n")
    await operator.run("apps", "disable", app_id)
    await operator.run("apps", "enable", app_id)
    await operator.run("apps", "disable", app_id)
    await operator.run("apps", "delete", app_id)
    assert await operator.run("apps", "list") == "none\n"
    assert json.loads(await operator.run("apps", "list", "--json")) == []


async def test_a_certificate_is_rotated(operator: Operator) -> None:
    app_id = json.loads(await operator.run("apps", "create", "--json"))["app"]["app_id"]
    new = (await operator.run("apps", "certificates", "add", app_id)).strip()
    await operator.run("apps", "certificates", "swap", app_id)
    listed = json.loads(await operator.run("apps", "certificates", "list", app_id, "--json"))
    assert listed[0]["ends_with"] == new[-4:]
    old = listed[1]["certificate_id"]
    await operator.run("apps", "certificates", "disable", app_id, old)
    await operator.run("apps", "certificates", "enable", app_id, old)
    await operator.run("apps", "certificates", "disable", app_id, old)
    await operator.run("apps", "certificates", "delete", app_id, old)
    assert old not in await operator.run("apps", "certificates", "list", app_id)


async def test_keys_are_made_and_deleted(operator: Operator) -> None:
    made = ("keys", "create", "--scope", "apps:read", "--ttl", "1h", "--name", "look", "--rate", "50")
    key = (await operator.run(*made)).strip()
    guest = {**operator.env, "SEALCAST_API_KEY": key}
    assert await operator.run("apps", "list", env=guest) == "none\n"
    failed = await operator.run("apps", "create", status=1, env=guest)
    assert "apps:write" in failed
    assert key not in failed
    (found,) = [
        each for each in json.loads(await operator.run("keys", "list", "--json")) if each["name"] == "look"
    ]
    assert (found["scopes"], found["rate"]) == (["apps:read"], 50)
    await operator.run("keys", "delete", found["key_id"])
    assert "unauthenticated" in await operator.run("apps", "list", status=1, env=guest)
    assert found["key_id"] not in await operator.run("keys", "list")


async def test_what_cannot_be_done_is_one_line(operator: Operator) -> None:
    nobody = {"SEALCAST_API_URL": operator.env["SEALCAST_API_URL"]}
    for arguments, status, env, said in (
        (["apps", "list"], 2, nobody, "no API key; try `sealcast admin key`"),
        (["apps", "list", "--api", "ftp://x"], 2, None, "is no URL of an API"),
        (["apps", "list", "--api", "http://127.0.0.1:1"], 1, None, "does not answer: Connection refused"),
        (["apps", "show", "nonsense"], 1, None, "(invalid)"),
        (["apps", "show", "f" * 32], 1, None, "no such app (not_found)"),
        (["apps", "update", "f" * 32], 2, None, "nothing to change"),
        (["apps", "create", "--set", "limits=5"], 2, None, "--set is not an option and a value"),
        (["apps", "create", "--set", "limits.members=many"], 1, None, "limits.members: "),
    ):
        assert said in await operator.run(*arguments, status=status, env=env), arguments


async def test_apps_outlive_their_relay(operator: Operator, start: Start, data: Path) -> None:
    app_id = json.loads(await operator.run("apps", "create", "--json"))["app"]["app_id"]
    operator.program.signal(signal.SIGTERM)
    assert await operator.program.ended() == 0
    again = await start("serve", "--data", str(data), "--no-internal", env=ON)
    told: dict[str, Any] = {"event": ""}
    while told["event"] != "listening":
        told = json.loads(await again.error_line())
    assert told["apps"] == 1
    assert app_id


async def test_an_account_is_made_with_a_password_that_is_not_written_down(start: Start, data: Path) -> None:
    password = b"correct horse battery staple"
    create = ("admin", "create", "ada@example.org", "--data", str(data), "--password-file", "-")
    done = await (await start(*create)).finish(password)
    assert (done.status, done.out) == (0, b"")
    assert done.err == "sealcast: ada@example.org may sign in as admin\n"
    again = await (await start(*create)).finish(password)
    assert (again.status, again.err) == (1, "sealcast: there is an account of ada@example.org already\n")
    assert password not in b"".join(path.read_bytes() for path in data.iterdir())
    short = await (await start(*create)).finish(b"short")
    assert short.status == 2
    assert "12 characters" in short.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["migrate"], 3, "no database is configured"),
        (["admin", "key"], 3, "no database is configured"),
        (["admin", "key", "--data", "/proc/x"], 3, "cannot be used as a database"),
        (["admin", "key", "--data", "x", "--scope", "y"], 2, "there is no such scope"),
        (["admin", "create", "nobody", "--data", "x", "--password-file", "-"], 2, "that is no e-mail"),
        (["admin", "create", "a@b", "--data", "x", "--role", "king"], 2, "--role is not one of admin"),
    ],
)
async def test_what_cannot_be_done_at_the_database_is_one_line(
    arguments: list[str], status: int, said: str, start: Start
) -> None:
    done = await (await start(*arguments)).finish(b"correct horse battery staple")
    assert (done.status, done.out) == (status, b"")
    assert said in done.err
    assert done.err.count("\n") == 1


async def test_a_database_is_migrated_and_serve_says_when_it_must_be(start: Start, data: Path) -> None:
    first = await (await start("migrate", "--data", str(data))).finish()
    again = await (await start("migrate", "--data", str(data))).finish()
    assert "was empty, and is at" in first.err
    assert "already" in again.err
    assert (first.status, again.status) == (0, 0)
    url = {"SEALCAST_DATABASE_URL": "postgresql://nobody:secret@127.0.0.1:1/none"}
    down = await (await start("serve", env=url)).finish()
    assert down.status == 1
    assert "database" in down.err
    assert "secret" not in down.err


async def test_a_database_that_cannot_be_used_is_a_mistake_of_the_configuration(start: Start) -> None:
    for env in ({}, {"SEALCAST_DATABASE_URL": "mysql://u:secret@h/x"}):
        arguments = ["--data", "/proc/x"] if not env else []
        done = await (await start("serve", *arguments, env={"SEALCAST_SERVER_PORT": "0", **env})).finish()
        assert (done.status, done.out) == (3, b"")
        assert "secret" not in done.err
        assert done.err.count("\n") == 1


async def test_an_internal_port_that_is_taken_is_status_4(operator: Operator, start: Start) -> None:
    port = operator.env["SEALCAST_API_URL"].rpartition(":")[2]
    env = {**ON, "SEALCAST_SERVER_INTERNAL_PORT": port, "SEALCAST_LOG_LEVEL": "error"}
    app = {"SEALCAST_APP_ID": "0" * 32, "SEALCAST_APP_CERTIFICATE": "0" * 32}
    done = await (await start("serve", env={**env, **app})).finish()
    assert done.status == 4
    assert f"127.0.0.1:{port} is in use; try another server.internal_port, or --no-internal" in done.err


async def test_dev_mode_prints_what_operators_type(start: Start) -> None:
    relay = await start("serve", "--dev", "--port", "0", env=ON)
    (line,) = [each for each in await relay.until("apps list --context") if "apps list --context" in each]
    context = line.split()[-1]
    listed = await (await start("apps", "list", "--json", "--context", context)).finish()
    (app,) = json.loads(listed.out)
    assert app["origin"] == "configuration"
    made = await (await start("apps", "create", "--context", context)).finish()
    assert made.status == 0
    relay.signal(signal.SIGTERM)
    assert await relay.ended() == 0
    assert not Path(context).parent.exists()
