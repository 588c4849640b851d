"""What the persistent engine does between its channels and its journal, with a file under it."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path

import pytest

from sealcast.server.interfaces import Author, Change, ChannelKey, EngineDown, Keep, Position

from . import contract
from .contract import Room, Told
from .files import opened
from .metadata_contract import BOUNDS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "messages.db"


# --- how long it is kept ---


def stored_ttl(path: Path) -> float:
    with contextlib.closing(sqlite3.connect(path)) as reader:
        (ttl,) = reader.execute("SELECT ttl FROM channel").fetchone()
    return float(ttl)


async def test_what_is_erased_where_nobody_is_leaves_the_rest_its_time(path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker, keep=Keep(100, 2**20, 450.0))
        await room.said(3)
    async with opened(path) as broker:
        assert broker.erase(room.key, 2) == 2
        await broker.settled()
        assert stored_ttl(path) == 450.0
        assert not broker._streams
        assert Room(broker, keep=room.keep).page() == ([3], False)


async def test_a_channel_that_is_opened_while_it_is_erased_keeps_what_it_may(path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker)
        await room.said(3)
    async with opened(path) as broker:
        assert broker.erase(room.key, 2) == 2
        again = Room(broker)
        for ref in range(900, 905):
            again.say(b"more", ref=ref)
        await again.come(5)
        assert again.page() == ([3, 4, 5, 6, 7, 8], False)


async def test_a_channel_that_cannot_be_read_cannot_be_erased(path: Path) -> None:
    async with opened(path) as broker:
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE channel")
        with pytest.raises(EngineDown, match="no such table"):
            broker.erase(ChannelKey(contract.APP, "room"))


@pytest.mark.parametrize("ttl", [5.0, 5000.0])
async def test_another_time_to_live_counts_from_the_moment_the_channel_is_opened(
    path: Path, ttl: float
) -> None:
    async with opened(path) as broker:
        await Room(broker).said(1)
    async with opened(path) as broker:
        Room(broker, keep=Keep(100, 2**20, ttl))
        await broker.settled()
    assert stored_ttl(path) == ttl


# --- many channels ---


class Counted(ChannelKey):
    """A key that counts how often it is compared with another one, beyond being looked up."""

    __slots__ = ()
    __hash__ = ChannelKey.__hash__
    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return super().__eq__(other)


async def test_a_batch_of_many_channels_costs_what_is_in_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "ChannelKey", Counted)
    async with opened(path) as broker:
        rooms = [Room(broker, f"room {number}") for number in range(200)]
        monkeypatch.setattr(Counted, "compared", 0)
        for room in rooms:
            room.say(b"a", member=9)
        await broker.settled()
        assert Counted.compared < 10 * len(rooms), "each is not compared with all the others"
    async with opened(path) as broker:
        for room in rooms:
            again = Room(broker, room.key.channel)
            assert (again.position, again.last_member) == (Position(room.position.epoch, 1), 9)


async def test_channels_that_are_left_while_all_of_them_wait_are_not_compared(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "ChannelKey", Counted)
    async with opened(path) as broker:
        rooms = [Room(broker, f"room {number}") for number in range(200)]
        for room in rooms:
            room.say(b"a")
        monkeypatch.setattr(Counted, "compared", 0)
        for room in rooms:
            room.close()
        assert Counted.compared < 10 * len(rooms)
        await broker.settled()
        assert {Room(broker, room.key.channel).position.offset for room in rooms} == {1}


# --- what nobody waits for any more ---


async def test_a_channel_that_was_left_is_let_go_when_all_of_it_is_written(path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker)
        room.say(b"a", b"b")
        broker.set_item(room.key, "a", b"1", None, Author(1, "alice", None), BOUNDS, [].append)
        room.close()
        assert room.key in broker._streams
        await broker.settled()
        assert not broker._streams


@pytest.mark.parametrize("name", ["", "nothing"], ids=["refused", "nothing to do"])
async def test_a_channel_that_was_left_is_let_go_when_its_last_change_is_none(path: Path, name: str) -> None:
    done: list[Change | str] = []
    async with opened(path) as broker:
        busy, room = Room(broker, "busy"), Room(broker)
        busy.say(b"a")
        broker.set_item(room.key, name, None, None, Author(1, "alice", None), BOUNDS, done.append)
        room.close()
        await broker.settled()
        assert len(done) == 1
        assert set(broker._streams) == {busy.key}


async def test_who_is_refused_and_comes_with_something_else_at_once_takes_nobodys_place(path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker)
        room.say(b"one", b"two")
        author = Author(1, "alice", None)
        broker.set_item(room.key, "", b"1", None, author, BOUNDS, lambda refused: room.say(b"three"))
        assert await room.come(3) == [
            Told("delivered", offset, data) for offset, data in enumerate((b"one", b"two", b"three"), 1)
        ]


async def test_all_who_wait_until_everything_is_written_are_told(path: Path) -> None:
    async with opened(path) as broker:
        room = Room(broker)
        room.say(b"a")
        waiting = [asyncio.create_task(broker.settled()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting.pop().cancel()
        async with asyncio.timeout(10):
            await asyncio.gather(*waiting)
        assert broker.idle
