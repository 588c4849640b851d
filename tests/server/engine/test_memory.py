"""The memory engine keeps the promises of engines, and remembers for a while what nobody is in."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from sealcast.server.engine.memory import MemoryBroker
from sealcast.server.interfaces import Broker, Keep

from .contract import APP, OTHER, BrokerContract, Room, Wall
from .metadata_contract import BOUNDS, MetadataContract, items, put


class TestMemoryBroker(BrokerContract):
    @contextlib.asynccontextmanager
    async def make(self, wall: Wall) -> AsyncIterator[Broker]:
        yield MemoryBroker(wall)


class TestMetadataInMemory(MetadataContract):
    @contextlib.asynccontextmanager
    async def make(self, wall: Wall) -> AsyncIterator[Broker]:
        yield MemoryBroker(wall)


def used(broker: MemoryBroker, name: str, app: str = APP, size: int = 4) -> str:
    """Have a channel with one message and leave it; return its epoch."""
    room = Room(broker, name, app)
    room.say(bytes(size))
    room.close()
    return room.position.epoch


def reopened(broker: MemoryBroker, name: str, app: str = APP) -> str:
    return Room(broker, name, app).position.epoch


async def test_a_channel_without_messages_is_not_remembered() -> None:
    broker = MemoryBroker()
    room = Room(broker)
    room.close()
    assert reopened(broker, "room") != room.position.epoch


async def test_the_channel_that_was_left_first_is_forgotten_first_and_starts_anew() -> None:
    broker = MemoryBroker(remembered=3)
    names = [f"room {number}" for number in range(4)]
    before = [used(broker, name) for name in names]
    after = [reopened(broker, name) for name in names]
    assert after[0] != before[0]
    assert after[1:] == before[1:]


async def test_metadata_of_a_channel_that_is_forgotten_makes_room_for_others() -> None:
    broker = MemoryBroker(remembered=1)
    bounds = BOUNDS._replace(together=120)
    for name in ("one", "two", "three"):
        room = Room(broker, name)
        assert items(room) == {}
        assert not isinstance(await put(room, "a", bytes(40), bounds=bounds), str)
        room.close()


async def test_metadata_counts_for_what_channels_without_members_may_keep() -> None:
    broker = MemoryBroker(total=10_000)
    for name in ("one", "two", "three"):
        room = Room(broker, name)
        await put(room, "a", bytes(4000))
        room.close()
    assert [len(items(Room(broker, name))) for name in ("one", "two", "three")] == [0, 1, 1]


async def test_one_app_cannot_make_the_channels_of_another_be_forgotten() -> None:
    broker = MemoryBroker(remembered=10, total=100_000)
    epoch = used(broker, "room")
    for number in range(100):
        used(broker, f"room {number}", OTHER, size=5_000)
    assert reopened(broker, "room") == epoch


async def test_channels_that_nobody_is_in_are_bounded_in_bytes_together() -> None:
    broker = MemoryBroker(total=25_000)
    before = [used(broker, f"room {number}", size=10_000) for number in range(4)]
    after = [reopened(broker, f"room {number}") for number in range(4)]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True, True]


async def test_bounds_that_have_become_smaller_count_when_the_channel_is_opened_again() -> None:
    broker = MemoryBroker()
    room = Room(broker)
    await room.said(5)
    room.close()
    room.keep = Keep(2, 2**20, 300.0)
    room.open()
    assert room.page() == ([4, 5], False)
