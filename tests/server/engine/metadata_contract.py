"""What every engine promises about metadata: one suite, which runs on each of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from sealcast.server.interfaces import Author, Broker, Change, ItemBounds

from .contract import OTHER, Room, Wall

__all__ = ["MetadataContract", "items", "put"]

BOUNDS = ItemBounds(64, 65536, 2**20)
ANN = Author(3, "ann", b"hello of ann")
_PATIENCE = 10.0


async def put(
    room: Room,
    name: str,
    value: bytes | None,
    revision: int | None = None,
    author: Author = ANN,
    bounds: ItemBounds = BOUNDS,
) -> Change | str:
    """Change an item; return what came of it."""
    done: asyncio.Future[Change | str] = asyncio.get_running_loop().create_future()
    room.broker.set_item(room.key, name, value, revision, author, bounds, done.set_result)
    async with asyncio.timeout(_PATIENCE):
        return await done


def items(room: Room) -> dict[str, tuple[bytes, int]]:
    """Value and revision of each item."""
    return {item.name: (item.value, item.revision) for item in room.broker.get_items(room.key).items}


class MetadataContract:
    """The tests; ``make`` yields an engine that is running."""

    def make(self, wall: Wall) -> AbstractAsyncContextManager[Broker]:
        raise NotImplementedError

    @pytest.fixture
    async def room(self) -> AsyncIterator[Room]:
        async with self.make(Wall()) as broker:
            yield Room(broker)

    async def test_a_channel_begins_without_metadata(self, room: Room) -> None:
        assert room.broker.get_items(room.key) == (0, ())

    async def test_what_is_set_is_there_when_it_is_done(self, room: Room) -> None:
        assert await put(room, "title", b"one") == Change("title", b"one", 1, ANN)
        assert items(room) == {"title": (b"one", 1)}
        assert [item.author for item in room.broker.get_items(room.key).items] == [ANN]

    async def test_changes_are_counted_over_all_items(self, room: Room) -> None:
        for revision, name in enumerate(("a", "b", "a"), 1):
            done = await put(room, name, b"x")
            assert isinstance(done, Change)
            assert done.revision == revision
        found = room.broker.get_items(room.key)
        assert (found.revision, [item.name for item in found.items]) == (3, ["b", "a"])

    async def test_an_item_is_changed_by_who_knows_its_revision(self, room: Room) -> None:
        assert await put(room, "a", b"1", 1) == "revision_conflict"
        await put(room, "a", b"1", 0)
        assert await put(room, "a", b"2", 0) == "revision_conflict"
        assert isinstance(await put(room, "a", b"2", 1), Change)
        assert await put(room, "a", None, 1) == "revision_conflict"
        assert isinstance(await put(room, "a", None, 2), Change)
        assert items(room) == {}

    async def test_requests_that_come_together_are_carried_out_in_order(self, room: Room) -> None:
        done: list[Change | str] = []
        all_done = asyncio.Event()

        def note(outcome: Change | str) -> None:
            done.append(outcome)
            if len(done) == 40:
                all_done.set()

        for number in range(20):
            room.broker.set_item(room.key, "a", b"%d" % number, number, ANN, BOUNDS, note)
            room.broker.set_item(room.key, "a", b"late", number, ANN, BOUNDS, note)
        async with asyncio.timeout(_PATIENCE):
            await all_done.wait()
        assert [one.revision if isinstance(one, Change) else one for one in done[::2]] == list(range(1, 21))
        assert set(done[1::2]) == {"revision_conflict"}
        assert items(room) == {"a": (b"19", 20)}

    async def test_what_is_not_there_can_be_taken_away_and_nothing_is_different(self, room: Room) -> None:
        await put(room, "a", b"1")
        done = await put(room, "b", None)
        assert isinstance(done, Change)
        assert (done.made, done.revision) == (False, 1)
        assert room.broker.get_items(room.key).revision == 1

    async def test_what_is_refused_changes_nothing(self, room: Room) -> None:
        await put(room, "a", b"1")
        before = room.broker.get_items(room.key)
        assert await put(room, "", b"1") == "invalid_name"
        assert await put(room, "b", bytes(4097)) == "too_big"
        assert await put(room, "b", b"1", bounds=ItemBounds(1, 100, 100)) == "too_many_items"
        assert await put(room, "b", b"1", bounds=ItemBounds(9, 3, 100)) == "too_many_items"
        assert await put(room, "b", b"1", bounds=ItemBounds(9, 100, 20)) == "too_many_items"
        assert room.broker.get_items(room.key) == before

    async def test_channels_and_apps_have_metadata_of_their_own(self, room: Room) -> None:
        lunch, other = Room(room.broker, "lunch"), Room(room.broker, app=OTHER)
        for value, channel in ((b"1", room), (b"2", lunch), (b"3", other)):
            await put(channel, "a", value, 0)
        assert [items(channel)["a"] for channel in (room, lunch, other)] == [(b"1", 1), (b"2", 1), (b"3", 1)]

    async def test_metadata_counts_for_its_app_and_for_no_other(self, room: Room) -> None:
        bounds = ItemBounds(9, 1000, 150)
        lunch, other = Room(room.broker, "lunch"), Room(room.broker, app=OTHER)
        await put(room, "a", bytes(100), bounds=bounds)
        assert await put(lunch, "a", bytes(100), bounds=bounds) == "too_many_items"
        assert isinstance(await put(other, "a", bytes(100), bounds=bounds), Change)
        await put(room, "a", None)
        assert isinstance(await put(lunch, "a", bytes(100), bounds=bounds), Change)

    async def test_metadata_stays_when_nobody_is_there(self, room: Room) -> None:
        await put(room, "a", b"1")
        await put(room, "b", b"2")
        await put(room, "a", None)
        epoch = room.position.epoch
        room.close()
        room.open()
        assert room.position.epoch == epoch
        assert room.broker.get_items(room.key).revision == 3
        assert items(room) == {"b": (b"2", 2)}
        assert isinstance(await put(room, "a", b"3", 0), Change)

    async def test_no_member_gets_the_number_of_who_set_something(self, room: Room) -> None:
        await put(room, "a", b"1", author=Author(41, "ann", None))
        room.close()
        room.open()
        assert room.last_member >= 41
        assert [item.author.user for item in room.broker.get_items(room.key).items] == ["ann"]
