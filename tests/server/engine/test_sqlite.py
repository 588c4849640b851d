"""Messages in a SQLite file: what engines promise, and what outlives restart, crash, full disk and lock."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sealcast.server.engine.sqlite import JournalUnusable, SqliteJournal
from sealcast.server.interfaces import Author, Broker, Change, ItemBounds, Keep, Position

from .contract import BrokerContract, Room, Told, Wall
from .files import opened
from .metadata_contract import MetadataContract, put

BOUNDS = ItemBounds(10, 10_000, 10_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "messages.db"


class TestSqliteBroker(BrokerContract):
    @pytest.fixture(autouse=True)
    def _in(self, path: Path) -> None:
        self.path = path

    @contextlib.asynccontextmanager
    async def make(self, wall: Wall) -> AsyncIterator[Broker]:
        async with opened(self.path, wall) as broker:
            yield broker


class TestMetadataInSqlite(MetadataContract):
    @pytest.fixture(autouse=True)
    def _in(self, path: Path) -> None:
        self.path = path

    @contextlib.asynccontextmanager
    async def make(self, wall: Wall) -> AsyncIterator[Broker]:
        async with opened(self.path, wall) as broker:
            yield broker


# --- a restart ---


async def test_a_restart_keeps_position_messages_and_senders(path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker)
        room.say(b"one", member=5, user="alice", hello=b"I am alice")
        room.say(b"two", member=9, user="bob", hello=None)
        await room.come(2)
    async with opened(path) as broker:
        again = Room(broker)
        assert again.position == Position(room.position.epoch, 2)
        assert again.last_member == 9
        assert again.since(0) == [1, 2]
        assert [kept.data for kept in broker.page(again.key, limit=10, most_bytes=1000).messages] == [
            b"one",
            b"two",
        ]
        assert broker.authors(again.key, [5, 9]) == {
            5: Author(5, "alice", b"I am alice"),
            9: Author(9, "bob", None),
        }
        again.say(b"three", ref=900)
        assert await again.come(1) == [Told("delivered", 3, b"three")]


async def test_a_message_that_comes_again_after_a_restart_has_the_place_that_it_had(path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker)
        room.say(b"a", ref=9)
        await room.come(1)
    async with opened(path) as broker:
        again = Room(broker)
        again.say(b"a, sealed anew", ref=9)
        assert await again.come(1) == [Told("settled", 1, b"a, sealed anew")]


async def test_what_was_let_go_or_erased_stays_gone(path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker, keep=Keep(3, 2**20, 300.0))
        await room.said(5)
        other = Room(broker, "other")
        await other.said(3)
        broker.erase(other.key, 2)
        await room.said(1)
        await broker.settled()
    async with opened(path) as broker:
        assert Room(broker, keep=Keep(3, 2**20, 300.0)).page() == ([4, 5, 6], False)
        assert Room(broker, "other").page() == ([3], False)
    assert b"sealed" not in path.read_bytes()


async def test_what_is_erased_is_not_in_the_file_any_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careless(sqlite3.Connection):
        """What SQLite is unless it was built to overwrite, as it is for some systems."""

        def __init__(self, *how: Any, **more: Any) -> None:
            super().__init__(*how, **more)
            self.execute("PRAGMA secure_delete = OFF")

    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Careless))
    short, long, value = b"do not keep this", b"nor any of this. " * 2000, b"nor this value"
    async with opened(path) as broker:
        room = Room(broker)
        room.say(short, long, short)
        await room.come(3)
        await put(room, "title", value)
        broker.erase(room.key)
        await put(room, "title", None)
        await broker.settled()
        with contextlib.closing(sqlite3.connect(path)) as reader:
            assert reader.execute("SELECT count(*) FROM message WHERE data IS NOT NULL").fetchone() == (0,)
            assert reader.execute("SELECT count(*) FROM message").fetchone() == (3,), "its places stay"
    assert [file.name for file in path.parent.iterdir() if "wal" in file.name] == []
    for part in (short, b"nor any of this. ", value):
        assert part not in path.read_bytes()


async def test_what_got_too_old_while_the_relay_was_away_is_gone(path: Path) -> None:
    wall = Wall()
    async with opened(path, wall) as broker:
        await Room(broker).said(2)
    wall.now += 301
    async with opened(path, wall) as broker:
        assert Room(broker).page() == ([], False)


async def test_metadata_outlives_a_restart(path: Path) -> None:
    done: list[Change | str] = []
    async with opened(path) as broker:
        room = Room(broker)
        author = Author(3, "alice", b"hello")
        for name, value in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("b", None)):
            broker.set_item(room.key, name, value, None, author, BOUNDS, done.append)
        await broker.settled()
        assert [change.revision for change in done if isinstance(change, Change)] == [1, 2, 3, 4]
    async with opened(path) as broker:
        again = Room(broker)
        items = broker.get_items(again.key)
        assert items.revision == 4
        assert [(item.name, item.value, item.revision, item.author) for item in items.items] == [
            ("a", b"3", 3, author)
        ]
        assert again.last_member == 3


async def test_the_file_is_for_its_owner_alone(path: Path) -> None:
    async with opened(path):
        assert path.stat().st_mode & 0o777 == 0o600


# --- a crash ---


async def test_what_was_acknowledged_outlives_a_crash_at_any_moment(path: Path, tmp_path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker)
        for number in range(1, 21):
            await room.said(1)
            copy = tmp_path / f"crash-{number}"
            copy.mkdir()
            for name in (path.name, f"{path.name}-wal"):
                shutil.copy(path.with_name(name), copy / name)
    for number in range(1, 21):
        async with opened(tmp_path / f"crash-{number}" / path.name) as broker:
            again = Room(broker)
            assert again.position == Position(room.position.epoch, number)
            assert again.since(0) == list(range(1, number + 1))


# --- a file that cannot be written ---


async def refused(room: Room, count: int) -> None:
    before = len(room.told)
    room.say(*(bytes(1000) for _ in range(count)))
    told = await room.come(before + count)
    assert {each.how for each in told[before:]} == {"not_stored"}


async def test_a_locked_file_refuses_messages_and_places_go_on_afterwards(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealcast.server.engine.sqlite.BUSY", 0.05)
    async with opened(path) as broker:
        room = Room(broker)
        await room.said(1)
        thief = sqlite3.connect(path, isolation_level=None)
        thief.execute("BEGIN IMMEDIATE")
        await refused(room, 3)
        thief.execute("ROLLBACK")
        thief.close()
        await room.said(2)
        assert [told.offset for told in room.told if told.how == "delivered"] == [1, 2, 3]
        assert room.since(0) == [1, 2, 3]


async def test_a_full_disk_refuses_messages_and_what_was_there_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = SqliteJournal._connect

    def small(journal: SqliteJournal) -> sqlite3.Connection:
        connection = connect(journal)
        connection.execute("PRAGMA max_page_count = 24")
        return connection

    monkeypatch.setattr(SqliteJournal, "_connect", small)
    async with opened(path) as broker:
        room = Room(broker, keep=Keep(1000, 2**20, 300.0))
        stored = 0
        while not room.told or room.told[-1].how == "delivered":
            room.say(bytes(4000))
            stored = len(await room.come(len(room.told) + 1)) - 1
        assert 3 <= stored <= 24
        assert room.told[-1].how == "not_stored"
        assert room.since(0) == list(range(1, stored + 1))
    async with opened(path) as broker:
        assert Room(broker).position == Position(room.position.epoch, stored)


async def test_a_change_that_cannot_be_stored_is_not_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealcast.server.engine.sqlite.BUSY", 0.05)
    done: list[Change | str] = []
    async with opened(path) as broker:
        room = Room(broker)
        await room.said(1)
        thief = sqlite3.connect(path, isolation_level=None)
        thief.execute("BEGIN IMMEDIATE")
        broker.set_item(room.key, "a", b"1", None, Author(1, "alice", None), BOUNDS, done.append)
        await broker.settled()
        thief.execute("ROLLBACK")
        thief.close()
        assert done == ["not_stored"]
        assert broker.get_items(room.key).items == ()


async def test_metadata_counts_for_its_app_also_when_nobody_is_there_and_after_a_restart(path: Path) -> None:
    bounds = ItemBounds(10, 1000, 100)
    async with opened(path) as broker:
        room = Room(broker)
        await put(room, "a", bytes(80), author=Author(1, "ann", b"hello"))
        room.close()
        assert await put(Room(broker, "lunch"), "a", bytes(20), bounds=bounds) == "too_many_items"
    async with opened(path) as broker:
        lunch = Room(broker, "lunch")
        assert await put(lunch, "a", bytes(20), bounds=bounds) == "too_many_items"
        room = Room(broker)
        await put(room, "a", None, bounds=bounds)
        assert isinstance(await put(lunch, "a", bytes(80), bounds=bounds), Change)


async def test_what_no_file_can_hold_is_refused_and_the_writer_goes_on(path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker)
        assert await put(room, "a", b"1", author=Author(2**63, "ann", None)) == "not_stored"
        await room.said(1)
        assert isinstance(await put(room, "a", b"1"), Change)


async def test_more_than_may_wait_is_refused_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealcast.server.engine.stored.WAITING_BYTES", 5_000)
    async with opened(path) as broker:
        room = Room(broker)
        room.send(*(room.entry(bytes(1000)) for _ in range(8)))
        refused = len(room.told)
        assert {each.how for each in room.told} == {"not_stored"}
        told = await room.come(8)
    assert sum(each.how == "not_stored" for each in told) == refused > 0
    assert [each.offset for each in told if each.how == "delivered"] == list(range(1, 8 - refused + 1))


# --- a file that is none ---


def unusable(path: Path) -> str:
    with pytest.raises(JournalUnusable) as caught:
        SqliteJournal(path).open()
    return str(caught.value)


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> set[sqlite3.Connection]:
    """The connections that are open."""
    found: set[sqlite3.Connection] = set()

    class Noted(sqlite3.Connection):
        def __init__(self, *how: Any, **more: Any) -> None:
            super().__init__(*how, **more)
            found.add(self)

        def close(self) -> None:
            found.discard(self)
            super().close()

    connect = functools.partial(sqlite3.connect, factory=Noted)
    monkeypatch.setattr(sqlite3, "connect", connect)
    return found


async def test_a_file_that_cannot_be_used_is_let_go(path: Path, connections: set[sqlite3.Connection]) -> None:
    path.write_text("this is no database, but it is somebody's text" * 100)
    unusable(path)
    assert not connections
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    unusable(path)
    assert not connections
    path.unlink()
    async with opened(path):
        assert len(connections) == 2
    assert not connections


async def test_a_writer_that_cannot_begin_is_said_at_once(
    path: Path, monkeypatch: pytest.MonkeyPatch, connections: set[sqlite3.Connection]
) -> None:
    connect = SqliteJournal._connect

    def once(journal: SqliteJournal) -> sqlite3.Connection:
        if connections:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(journal)

    monkeypatch.setattr(SqliteJournal, "_connect", once)
    assert unusable(path) == f"{path}: unable to open database file"
    assert not connections
    monkeypatch.undo()
    async with opened(path):
        pass


async def test_a_second_relay_cannot_take_the_file(path: Path) -> None:
    async with opened(path):
        assert unusable(path) == f"{path}: another relay is using it"
    async with opened(path):
        pass


async def test_a_file_of_something_else_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    assert "is a database of something else" in unusable(path)
    path.write_text("this is no database, but it is somebody's text" * 100)
    before = path.read_bytes()
    assert str(path) in unusable(path)
    assert path.read_bytes() == before


async def test_a_file_of_another_version_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    assert "another version (99" in unusable(path)


async def test_a_damaged_file_is_not_written_over(path: Path) -> None:
    async with opened(path) as broker:
        await Room(broker).said(300)
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 3 + 2000] = os.urandom(2000)
    path.write_bytes(bytes(data))
    assert str(path) in unusable(path)


async def test_a_place_that_does_not_exist_is_named(path: Path) -> None:
    missing = path.parent / "missing" / "messages.db"
    assert unusable(missing) == f"{missing}: No such file or directory"
