"""`sealcast audit`, `calls`, `users` and `retention`: what an auditor types, against a relay that runs."""

from __future__ import annotations

import json
import os
import pwd
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from sealcast.client import Client, Key
from sealcast.client.tokens import mint

from ..server.postgres import Postgres, running

Start = Callable[..., Awaitable[Any]]

ON = {
    "SEALCAST_SERVER_INTERNAL": "true",
    "SEALCAST_SERVER_INTERNAL_PORT": "0",
    "SEALCAST_SERVER_PORT": "0",
    "SEALCAST_RECORDS_ADDRESSES": "cut",
}
ME = pwd.getpwuid(os.getuid()).pw_name


class Auditor:
    """A relay with a database, and somebody who may do everything."""

    def __init__(self, start: Start, env: dict[str, str], data: Path, program: Any, port: int) -> None:
        self._start = start
        self.env = env
        self.data = str(data)
        self.file = data / "sealcast.db"
        self.program = program
        self.port = port

    async def run(self, *arguments: str, status: int = 0) -> str:
        done = await (await self._start(*arguments, env=self.env)).finish()
        assert done.status == status, done.err
        assert not status or (done.out == b"" and done.err.count("\n") == 1), done.err
        return str(done.err) if status else str(done.out.decode())

    async def tree(self, *arguments: str) -> Any:
        return json.loads(await self.run(*arguments, "--json"))

    def tamper(self, *statements: str) -> None:
        """Change the file behind the relay's back, its triggers first."""
        file = sqlite3.connect(self.file)
        try:
            with file:
                for (name,) in file.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'trigger'"
                ).fetchall():
                    file.execute(f"DROP TRIGGER {name}")
                for statement in statements:
                    file.execute(statement)
        finally:
            file.close()


@pytest.fixture
async def auditor(start: Start, tmp_path: Path) -> Auditor:
    data = tmp_path / "data"
    made = await (await start("admin", "key", "--data", str(data))).finish()
    assert made.status == 0, made.err
    program = await start("serve", "--data", str(data), env=ON)
    ports = {}
    while len(ports) < 2:
        told = json.loads(await program.error_line())
        if told["event"].startswith("listening"):
            ports[told["event"]] = told["port"]
    env = {
        "SEALCAST_API_URL": f"http://127.0.0.1:{ports['listening for operators']}",
        "SEALCAST_API_KEY": made.out.decode().strip(),
    }
    return Auditor(start, env, data, program, ports["listening"])


async def test_the_log_is_listed_and_holds(auditor: Auditor, start: Start) -> None:
    app_id = (await auditor.tree("apps", "create", "--name", "Teams"))["app"]["app_id"]
    await auditor.run("apps", "disable", app_id)
    listed = await auditor.tree("audit", "list")
    assert [entry["action"] for entry in listed] == [
        "app.disabled",
        "app.created",
        "key.created",
        "database.migrated",
    ]
    assert listed[2]["actor"] == f"command line ({ME})"
    assert listed[3]["actor"] == "relay"
    shown = await auditor.run("audit", "list", "--action", "app.created", "--from", "1d")
    assert "app.created" in shown
    assert "app.disabled" not in shown
    assert await auditor.run("audit", "list", "--to", "2001-01-01") == "none\n"
    head = (await auditor.run("audit", "head")).strip()
    verified = await auditor.run("audit", "verify", "--data", auditor.data, "--head", head)
    assert verified == f"the log holds: 4 entries, the head is {head}\n"
    auditor.program.signal(signal.SIGTERM)
    assert await auditor.program.ended() == 0
    assert (await auditor.tree("audit", "verify", "--data", auditor.data))["head"] == head


async def test_tampering_is_found_and_named(auditor: Auditor) -> None:
    for name in ("one", "two"):
        await auditor.run("apps", "create", "--name", name)
    head = (await auditor.run("audit", "head")).strip()
    file = sqlite3.connect(auditor.file)
    try:
        for statement in ("UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                file.execute(statement)
    finally:
        file.close()
    verify = ("audit", "verify", "--data", auditor.data)
    keep = sqlite3.connect(auditor.file)
    before = keep.execute("SELECT actor FROM audit_entries WHERE seq = 3").fetchone()[0]
    keep.close()
    auditor.tamper("UPDATE audit_entries SET actor = 'somebody else' WHERE seq = 3")
    said = await auditor.run(*verify, status=1)
    assert said == "sealcast: the audit log does not hold: entry 3: it was changed\n"
    auditor.tamper(f"UPDATE audit_entries SET actor = '{before}' WHERE seq = 3")
    await auditor.run(*verify)
    auditor.tamper("DELETE FROM audit_entries WHERE seq = 2")
    assert "entry 3: 2 should stand here" in await auditor.run(*verify, status=1)
    auditor.tamper(
        "DELETE FROM audit_entries WHERE seq > 1",
        "UPDATE audit_head SET seq = 1, hash = (SELECT hash FROM audit_entries WHERE seq = 1)",
    )
    await auditor.run(*verify)  # nothing in the database says so any more …
    said = await auditor.run(*verify, "--head", head, status=1)  # … but what was kept elsewhere does
    assert said.endswith("entry 4: the log ends before the head that was kept: its end was cut off\n")


async def test_what_cannot_be_checked_is_one_line(start: Start, tmp_path: Path, auditor: Auditor) -> None:
    nowhere = str(tmp_path / "nowhere")
    assert "there is no database" in await auditor.run("audit", "verify", "--data", nowhere, status=3)
    assert not (tmp_path / "nowhere").exists()
    assert "there is no database" in await auditor.run("retention", "run", "--data", nowhere, status=3)
    verify = ("audit", "verify", "--data", auditor.data)
    assert "--head is no head" in await auditor.run(*verify, "--head", "4:xyz", status=2)
    assert "no database is configured" in await auditor.run("audit", "verify", status=3)
    assert "--from is no moment" in await auditor.run("audit", "list", "--from", "soon", status=2)
    assert "--yes" in await auditor.run("users", "delete", "a" * 32, "ann", status=2)


async def test_accounts_and_migrations_of_the_command_line_are_in_the_log(
    auditor: Auditor, start: Start, tmp_path: Path
) -> None:
    create = ("admin", "create", "ada@example.org", "--data", auditor.data, "--password-file", "-")
    done = await (await start(*create)).finish(b"correct horse battery staple")
    assert done.status == 0, done.err
    (entry,) = await auditor.tree("audit", "list", "--action", "account.created")
    assert entry["actor"] == f"command line ({ME})"
    assert entry["detail"] == {"email": "ada@example.org", "role": "admin"}
    other = tmp_path / "other"
    await auditor.run("migrate", "--data", str(other))
    file = sqlite3.connect(other / "sealcast.db")
    try:
        assert file.execute("SELECT actor, action FROM audit_entries").fetchall() == [
            (f"command line ({ME})", "database.migrated")
        ]
    finally:
        file.close()


async def test_a_call_is_found_and_a_user_is_exported_and_deleted(auditor: Auditor) -> None:
    made = await auditor.tree("apps", "create")
    app_id, odd = made["app"]["app_id"], "ann/../&user=bob"
    token = mint(app_id, made["secret"], "standup", odd)
    async with Client(f"ws://127.0.0.1:{auditor.port}", app_id=app_id) as client:
        await client.join("standup", user=odd, token=token, key=Key.raw(b"\x5e" * 32))
        (call,) = await auditor.tree("calls", "list", app_id, "--user", odd, "--address", "127.0.0.1")
        assert (call["channel"], call["closed"]) == ("standup", None)
    (again,) = await auditor.tree("calls", "list", app_id)
    while again["closed"] is None:  # the end of the connection is on its way
        (again,) = await auditor.tree("calls", "list", app_id)
    shown = await auditor.run("calls", "show", app_id, call["call_id"])
    assert odd in shown
    assert "127.0.0.0/24" in shown
    assert (await auditor.tree("calls", "show", app_id, call["call_id"]))["members"][0]["reason"] == "left"
    assert await auditor.run("calls", "list", app_id, "--user", "bob") == "none\n"
    exported = json.loads(await auditor.run("users", "export", app_id, odd))
    assert [record["fields"]["channel"] for record in exported] == ["standup"]
    await auditor.run("users", "delete", app_id, odd, "--yes")
    assert json.loads(await auditor.run("users", "export", app_id, odd)) == []
    assert odd not in await auditor.run("audit", "list", "--json")
    auditor.program.signal(signal.SIGTERM)
    assert await auditor.program.ended() == 0
    for path in auditor.file.parent.iterdir():
        assert odd.encode() not in path.read_bytes(), "what is deleted is not in the file any more"


async def test_a_ban_in_force_stays_when_a_user_is_deleted(auditor: Auditor, start: Start) -> None:
    app_id = (await auditor.tree("apps", "create"))["app"]["app_id"]
    await auditor.run("ban", "add", app_id, "--user", "ann")

    async def delete() -> str:
        done = await (await start("users", "delete", app_id, "ann", "--yes", env=auditor.env)).finish()
        assert done.status == 0, done.err
        return str(done.err)

    said = await delete()
    assert "0 records are deleted" in said
    assert "1 records stay: each a ban that is in force" in said
    (ban,) = json.loads(await auditor.run("users", "export", app_id, "ann"))
    assert (ban["kind"], ban["fields"]["lifted"]) == ("ban", None)
    await auditor.run("ban", "lift", app_id, (await auditor.tree("ban", "list", app_id))[0]["ban_id"])
    said = await delete()
    assert "1 records are deleted" in said
    assert "stay" not in said
    assert json.loads(await auditor.run("users", "export", app_id, "ann")) == []


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


async def test_it_is_the_same_on_postgres(start: Start, postgres: Postgres) -> None:
    url = await postgres.database()

    async def run(*arguments: str, status: int = 0) -> str:
        done = await (await start(*arguments, env={"SEALCAST_DATABASE_URL": url})).finish()
        assert done.status == status, done.err
        return str(done.err if status else done.out.decode())

    await run("migrate")
    counts = json.loads(await run("retention", "run", "--json"))
    assert counts == {"sessions": 0, "calls": 0, "runs": 0, "answers": 0, "blocks": 0, "audit": 0}
    assert (await run("audit", "verify")).startswith("the log holds: 1 entries, the head is 1:")
    connection = await asyncpg.connect(url)
    try:
        with pytest.raises(asyncpg.RaiseError, match="append-only"):
            await connection.execute("UPDATE audit_entries SET actor = 'x'")
        await connection.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
        await connection.execute("UPDATE audit_entries SET actor = 'x' WHERE seq = 1")
    finally:
        await connection.close()
    assert (await run("audit", "verify", status=1)).endswith("entry 1: it was changed\n")


async def test_what_is_too_old_is_deleted_when_told(auditor: Auditor) -> None:
    shown = await auditor.run("retention", "show", "--data", auditor.data)
    assert "90d" in shown
    assert "730d" in shown
    assert "last purge: 2" in shown  # at the start of the relay
    auditor.tamper(
        "INSERT INTO calls VALUES ('c1', 'r', 'n', 'a', 'standup', 1.0, 2.0, 'over', 1, 1)",
        "INSERT INTO call_members VALUES"
        " ('m1', 'c1', 'r', 'a', 'ann', 1, '', '', '', 1.0, 2.0, 'left', 0, 0)",
    )
    counts = await auditor.tree("retention", "run", "--data", auditor.data)
    assert counts == {"sessions": 1, "calls": 1, "runs": 0, "answers": 0, "blocks": 0, "audit": 0}
    (entry,) = await auditor.tree("audit", "list", "--action", "retention.purged")
    assert (entry["actor"], entry["detail"]) == (f"command line ({ME})", counts)
    assert (await auditor.tree("retention", "show", "--data", auditor.data))["classes"][0]["deleted"] == 1
