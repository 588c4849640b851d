"""What is too old leaves the disk, also on a relay that is never idle, and nothing waits long for that."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sealcast.server.engine.journal import Mark, Part, Row
from sealcast.server.engine.repeats import Identity
from sealcast.server.engine.sqlite import SqliteJournal
from sealcast.server.engine.stored import StoredBroker
from sealcast.server.engine.sweep import EVERY, SLICE, Sweep
from sealcast.server.engine.writing import write
from sealcast.server.interfaces import Author, ChannelKey, Kept

from .contract import APP, Room, Wall

TTL = 300.0
START = 50.0
DUE = START + EVERY


class Ground:
    """A file with channels, and the connection of its writer."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.wall = Wall()

    def store(self, name: str, *ages: float, floor: int = 0, ttl: float = TTL) -> None:
        """Store messages of these ages, each from a member of its own."""
        rows = [
            Row(
                Kept(place, place, self.wall.now - age, b"payload %d" % place),
                Author(place, f"user {place}", b"hello"),
                Identity(f"user {place}", bytes(16), place),
            )
            for place, age in enumerate(ages, 1)
        ]
        mark = Mark("epoch", len(ages), len(ages), 0, ttl, floor)
        write(self.connection, {ChannelKey(APP, name): Part(mark, rows, ())})

    def sweep(self) -> Sweep:
        return Sweep(self.connection, self.wall, START)

    def kept(self, name: str) -> list[int]:
        """The places of the messages whose data is there."""
        return self._column("message.place", "message.data IS NOT NULL", name, "message")

    def authors(self, name: str) -> list[int]:
        return self._column("author.member", "TRUE", name, "author")

    def _column(self, what: str, where: str, name: str, table: str) -> list[int]:
        found = self.connection.execute(
            f"SELECT {what} FROM {table} JOIN channel ON channel.id = {table}.channel"
            f" WHERE name = ? AND {where} ORDER BY 1",
            (name,),
        )
        return [number for (number,) in found]

    def channels_with_messages(self) -> int:
        (count,) = self.connection.execute(
            "SELECT count(DISTINCT channel) FROM message WHERE data IS NOT NULL"
        ).fetchone()
        return int(count)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "messages.db"


@pytest.fixture
async def ground(path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Ground]:
    monkeypatch.setattr("sealcast.server.engine.sweep._LONG", 1000.0)
    journal = SqliteJournal(path)
    journal.open()
    await journal.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0.01)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        yield Ground(connection)


# --- what goes ---


async def test_what_is_too_old_goes_with_its_senders_and_the_rest_stays(ground: Ground) -> None:
    ground.store("room", 400, TTL, 299, 0)
    ground.store("longer", 400, 0, ttl=500.0)
    ground.sweep().go_on(DUE)
    assert (ground.kept("room"), ground.authors("room")) == ([3, 4], [3, 4])
    assert (ground.kept("longer"), ground.authors("longer")) == ([1, 2], [1, 2])


async def test_senders_go_when_their_messages_were_erased(ground: Ground) -> None:
    ground.store("room", 0, 0, 0, floor=2)
    assert ground.authors("room") == [1, 2, 3]
    ground.sweep().go_on(DUE)
    assert (ground.kept("room"), ground.authors("room")) == ([3], [3])


async def test_what_stands_before_something_too_old_goes_with_it(ground: Ground) -> None:
    ground.store("room", 0, 400, 0)
    ground.sweep().go_on(DUE)
    assert ground.kept("room") == [3], "a clock was set back, and a channel has no gaps"


async def test_a_round_follows_a_round(ground: Ground) -> None:
    ground.store("room", 200)
    sweep = ground.sweep()
    sweep.go_on(DUE)
    assert sweep.wait(DUE) == EVERY
    ground.wall.now += 100
    sweep.go_on(DUE + EVERY - 1)
    assert ground.kept("room") == [1]
    sweep.go_on(DUE + EVERY)
    assert ground.kept("room") == []


async def test_what_was_erased_is_not_in_the_log_either(ground: Ground, path: Path) -> None:
    ground.store("room", 400)
    log = path.with_name(f"{path.name}-wal")
    assert b"payload" in log.read_bytes()
    ground.sweep().go_on(DUE)
    assert log.stat().st_size == 0
    assert b"payload" not in path.read_bytes()


async def test_a_reader_of_the_file_is_not_waited_for(ground: Ground, path: Path) -> None:
    ground.connection.execute("PRAGMA busy_timeout = 60000")
    ground.store("room", 400)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM message").fetchone()
        ground.sweep().go_on(DUE)
    assert ground.kept("room") == []
    assert ground.connection.execute("PRAGMA busy_timeout").fetchone() == (60000,)


# --- a slice at a time ---


async def test_a_slice_is_so_many_channels(ground: Ground) -> None:
    for number in range(2 * SLICE + 1):
        ground.store(f"room {number}", 400)
    sweep = ground.sweep()
    assert sweep.wait(START) == EVERY
    sweep.go_on(DUE - 1)
    left = []
    while sweep.wait(DUE) == 0:
        sweep.go_on(DUE)
        left.append(ground.channels_with_messages())
    assert left == [SLICE + 1, 1, 0]


async def test_a_slice_ends_when_it_takes_long(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealcast.server.engine.sweep._LONG", -1.0)
    for number in range(3):
        ground.store(f"room {number}", 400)
    sweep = ground.sweep()
    sweep.go_on(DUE)
    assert (ground.channels_with_messages(), sweep.wait(DUE)) == (2, 0)


# --- failures ---


async def test_a_failure_is_logged_and_everything_can_be_written_afterwards(
    ground: Ground, path: Path
) -> None:
    ground.store("room", 400)
    sweep = ground.sweep()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as thief, capture_logs() as logs:
        thief.execute("BEGIN IMMEDIATE")
        sweep.go_on(DUE)
        sweep.go_on(DUE + EVERY)
        assert [(line["log_level"], line["reason"]) for line in logs] == [("error", "database is locked")]
        thief.execute("ROLLBACK")
        assert not ground.connection.in_transaction
        ground.store("another", 0)
        sweep.go_on(DUE + 2 * EVERY)
        assert [line["log_level"] for line in logs] == ["error", "info"]
    assert (ground.kept("room"), ground.kept("another")) == ([], [1])


async def test_a_slice_that_always_fails_does_not_keep_the_others_on_disk(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealcast.server.engine.sweep.SLICE", 1)
    for name in ("one", "two"):
        ground.store(name, 400)
    ground.connection.execute(
        "CREATE TRIGGER broken BEFORE UPDATE ON message WHEN old.channel = 1"
        " BEGIN SELECT raise(ABORT, 'is damaged'); END"
    )
    sweep = ground.sweep()
    with capture_logs():
        sweep.go_on(DUE)
        assert sweep.wait(DUE) == EVERY
        sweep.go_on(DUE + EVERY)
    assert (ground.kept("one"), ground.kept("two")) == ([1], [])


# --- in the writer's thread ---


async def test_a_relay_that_always_writes_sweeps_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealcast.server.engine.sweep.EVERY", 0.2)
    wall = Wall()
    journal = SqliteJournal(path, wall)
    journal.open()
    try:
        broker = StoredBroker(journal, wall)
        room, busy = Room(broker), Room(broker, "busy")
        await room.said(2)
        room.close()
        wall.now += TTL
        with contextlib.closing(sqlite3.connect(path)) as reader:
            query = "SELECT count(*) FROM message WHERE data IS NOT NULL AND at <= ?"
            async with asyncio.timeout(20):
                while reader.execute(query, (wall.now - TTL,)).fetchone() != (0,):
                    await busy.said(1)
    finally:
        await journal.close()
