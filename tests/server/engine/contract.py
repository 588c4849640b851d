"""What every engine promises: one suite, which runs on each of them. A subclass says how one is made."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

import pytest

from sealcast.protocol.envelope import message
from sealcast.protocol.names import Kind
from sealcast.server.interfaces import (
    NOTICE,
    Author,
    Broker,
    ChannelKey,
    Entry,
    Keep,
    Message,
    Position,
    Sink,
)

__all__ = ["APP", "KEEP", "OTHER", "BrokerContract", "Room", "Told", "Wall"]

APP, OTHER = "1" * 32, "2" * 32
KEEP = Keep(100, 2**20, 300.0)
RUN = bytes(range(16))
_PATIENCE = 10.0


class Wall:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Told(NamedTuple):
    """How a message came back."""

    how: str
    offset: int
    data: bytes


class Room(Sink):
    """One channel of a broker: publishes, and writes down what comes back."""

    def __init__(self, broker: Broker, channel: str = "room", app: str = APP, keep: Keep = KEEP) -> None:
        self.broker = broker
        self.key = ChannelKey(app, channel)
        self.keep = keep
        self.turns: list[list[Entry]] = []
        self.told: list[Told] = []
        self._refs = itertools.count(1)
        self._came = asyncio.Event()
        self.open()

    def open(self) -> None:
        self.position, self.last_member = self.broker.subscribe(self.key, self, self.keep)

    def close(self) -> None:
        self.broker.unsubscribe(self.key)

    # --- what the broker calls ---

    def deliver(self, turn: Sequence[Entry]) -> None:
        self.turns.append(list(turn))
        for entry in turn:
            if isinstance(entry, Message):
                self._note("delivered", entry)

    def settle(self, entries: Sequence[Message]) -> None:
        for entry in entries:
            assert entry.repeated
            self._note("settled", entry)

    def refuse(self, entries: Sequence[Message], name: str) -> None:
        for entry in entries:
            self._note(name, entry)

    def _note(self, how: str, entry: Message) -> None:
        self.told.append(Told(how, entry.offset, entry.data[16:]))
        self._came.set()

    # --- what tests do ---

    def entry(
        self,
        data: bytes = b"data",
        *,
        user: str = "alice",
        member: int = 1,
        ref: int = 0,
        run: bytes = RUN,
        hello: bytes | None = b"hello",
    ) -> Message:
        ref = ref or next(self._refs)
        return Message(None, message(7, member, ref, data), ref, run, Author(member, user, hello))

    def send(self, *entries: Entry) -> None:
        self.broker.publish(self.key, list(entries))

    def say(self, *datas: bytes, **who: object) -> None:
        for data in datas:
            self.send(self.entry(data, **who))  # type: ignore[arg-type]

    async def come(self, count: int) -> list[Told]:
        """Wait until so many messages have come back; return them all."""
        async with asyncio.timeout(_PATIENCE):
            while len(self.told) < count:
                self._came.clear()
                await self._came.wait()
        return self.told

    async def said(self, count: int) -> None:
        """Publish so many messages and wait for them."""
        before = len(self.told)
        self.say(*(b"%d" % number for number in range(count)))
        await self.come(before + count)

    def since(
        self, offset: int, epoch: str = "", most: int = 1000, most_bytes: int = 2**20
    ) -> list[int] | None:
        found = self.broker.since(self.key, Position(epoch or self.position.epoch, offset), most, most_bytes)
        return None if found is None else [kept.offset for kept in found]

    def page(self, limit: int = 100, most_bytes: int = 2**20, **where: int) -> tuple[list[int], bool]:
        found, more = self.broker.page(self.key, limit=limit, most_bytes=most_bytes, **where)  # type: ignore[arg-type]
        return [kept.offset for kept in found], more


class BrokerContract:
    """The promises."""

    @pytest.fixture
    def wall(self) -> Wall:
        return Wall()

    @pytest.fixture
    async def broker(self, wall: Wall) -> AsyncIterator[Broker]:
        async with self.make(wall) as made:
            yield made

    def make(self, wall: Wall) -> AbstractAsyncContextManager[Broker]:
        raise AssertionError

    # --- places ---

    async def test_messages_get_offsets_that_grow_by_one_and_nothing_else_gets_one(
        self, broker: Broker
    ) -> None:
        room = Room(broker)
        assert room.position.offset == 0
        one, two = room.entry(b"one"), room.entry(b"two")
        frame, notice = Entry(None, Kind.AUDIO, b"frame"), Entry(None, NOTICE, b"notice")
        room.send(one, frame, notice, two)
        assert await room.come(2) == [Told("delivered", 1, b"one"), Told("delivered", 2, b"two")]
        assert (frame.offset, notice.offset) == (0, 0)

    async def test_all_of_a_turn_is_delivered_once_and_frames_do_not_wait(self, broker: Broker) -> None:
        room = Room(broker)
        entries = [Entry(None, Kind.AUDIO, b"1"), room.entry(b"m"), Entry(None, NOTICE, b"2")]
        room.send(*entries)
        others = [entry for turn in room.turns for entry in turn if not isinstance(entry, Message)]
        assert [entry.data for entry in others] == [b"1", b"2"], "delivered before publish returned"
        await room.come(1)
        delivered = [entry for turn in room.turns for entry in turn]
        assert sorted(map(id, delivered)) == sorted(map(id, entries))

    async def test_messages_are_delivered_in_the_order_in_which_they_were_published(
        self, broker: Broker
    ) -> None:
        room = Room(broker)
        datas = [b"%d" % number for number in range(50)]
        for start in range(0, 50, 7):
            room.send(*(room.entry(data) for data in datas[start : start + 7]))
        told = await room.come(50)
        assert [each.data for each in told] == datas
        assert [each.offset for each in told] == list(range(1, 51))

    async def test_apps_and_channels_have_places_of_their_own(self, broker: Broker) -> None:
        rooms = [Room(broker, name, app) for app in (APP, OTHER) for name in ("one", "two")]
        for count, room in enumerate(rooms, 1):
            await room.said(count)
        assert [len(room.told) for room in rooms] == [1, 2, 3, 4]
        assert [room.since(0) for room in rooms] == [[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]
        assert len({room.position.epoch for room in rooms}) == 4

    async def test_a_channel_that_is_left_goes_on_where_it_stood(self, broker: Broker) -> None:
        room = Room(broker)
        epoch = room.position.epoch
        await room.said(3)
        room.close()
        room.open()
        assert room.position == Position(epoch, 3)
        assert room.since(1) == [2, 3]

    async def test_no_member_number_of_a_kept_message_is_given_again(self, broker: Broker) -> None:
        room = Room(broker)
        assert room.last_member == 0
        room.say(b"a", member=41)
        room.say(b"b", member=7)
        await room.come(2)
        room.close()
        room.open()
        assert room.last_member == 41

    # --- what is kept ---

    async def test_what_came_after_a_place_is_as_it_was_sent(self, broker: Broker, wall: Wall) -> None:
        room = Room(broker)
        room.say(b"a", b"b", b"c", member=3)
        await room.come(3)
        found = broker.since(room.key, Position(room.position.epoch, 1), 10, 1000)
        assert found is not None
        assert [tuple(kept) for kept in found] == [(2, 3, wall.now, b"b"), (3, 3, wall.now, b"c")]

    async def test_nothing_missed_is_nothing_and_a_place_ahead_is_not_known(self, broker: Broker) -> None:
        room = Room(broker)
        await room.said(2)
        assert room.since(2) == []
        assert room.since(3) is None
        assert room.since(0, epoch="another") is None

    async def test_what_is_too_much_is_not_returned_in_part(self, broker: Broker) -> None:
        room = Room(broker)
        room.say(*(bytes(100) for _ in range(5)))
        await room.come(5)
        assert room.since(0, most=4) is None
        assert room.since(0, most_bytes=499) is None
        assert room.since(1, most=4, most_bytes=400) == [2, 3, 4, 5]

    async def test_no_more_is_kept_than_may_be_and_a_gap_is_not_hidden(self, broker: Broker) -> None:
        room = Room(broker, keep=Keep(3, 2**20, 300.0))
        await room.said(5)
        assert room.since(1) is None
        assert room.since(2) == [3, 4, 5]
        assert room.page() == ([3, 4, 5], False)

    async def test_no_more_bytes_are_kept_than_the_channel_may(self, broker: Broker) -> None:
        room = Room(broker, keep=Keep(100, 2048, 300.0))
        room.say(*(bytes(500) for _ in range(6)))
        await room.come(6)
        kept, _ = room.page()
        assert kept == [5, 6]
        assert room.since(3) is None

    async def test_what_is_too_old_is_gone(self, broker: Broker, wall: Wall) -> None:
        room = Room(broker)
        await room.said(2)
        wall.now += 200
        await room.said(1)
        wall.now += 101
        assert room.page() == ([3], False)
        assert room.since(1) is None
        assert room.since(2) == [3]

    async def test_a_channel_that_keeps_nothing_still_places_and_knows_that_nothing_was_missed(
        self, broker: Broker
    ) -> None:
        room = Room(broker, keep=Keep(0, 2**20, 300.0))
        await room.said(3)
        assert [told.offset for told in room.told] == [1, 2, 3]
        assert room.page() == ([], False)
        assert room.since(3) == []
        assert room.since(2) is None

    @pytest.mark.parametrize(
        ("where", "offsets", "more"),
        [
            ({}, [1, 2, 3, 4], True),
            ({"after": 6}, [7, 8, 9, 10], False),
            ({"after": 7}, [8, 9, 10], False),
            ({"after": 10}, [], False),
            ({"after": 10**12}, [], False),
            ({"before": 11}, [7, 8, 9, 10], True),
            ({"before": 2**63}, [7, 8, 9, 10], True),
            ({"before": 5}, [1, 2, 3, 4], False),
            ({"before": 3}, [1, 2], False),
            ({"before": 1}, [], False),
            ({"before": 0}, [], False),
        ],
    )
    async def test_a_page_is_the_newest_below_or_the_oldest_above(
        self, broker: Broker, where: dict[str, int], offsets: list[int], more: bool
    ) -> None:
        room = Room(broker)
        await room.said(10)
        assert room.page(4, **where) == (offsets, more)

    async def test_a_page_is_bounded_in_bytes_and_never_empty_for_that(self, broker: Broker) -> None:
        room = Room(broker)
        room.say(bytes(1000), bytes(10), bytes(10))
        await room.come(3)
        assert room.page(most_bytes=100) == ([1], True)
        assert room.page(most_bytes=100, before=4) == ([2, 3], True)

    async def test_senders_of_kept_messages_are_known_by_their_numbers(self, broker: Broker) -> None:
        room = Room(broker, keep=Keep(2, 2**20, 300.0))
        room.say(b"a", member=1, user="alice", hello=None)
        room.say(b"b", member=2, user="bob", hello=b"I am bob")
        room.say(b"c", member=3, user="carol")
        await room.come(3)
        assert broker.authors(room.key, [1, 2, 3, 4]) == {
            2: Author(2, "bob", b"I am bob"),
            3: Author(3, "carol", b"hello"),
        }

    # --- repeats ---

    async def test_a_message_that_comes_again_is_settled_with_its_place(self, broker: Broker) -> None:
        room = Room(broker)
        room.say(b"first", ref=9)
        room.say(b"other", ref=10)
        room.say(b"first, sealed anew", ref=9, member=2)
        told = await room.come(3)
        assert sorted((each.how, each.offset) for each in told) == [
            ("delivered", 1),
            ("delivered", 2),
            ("settled", 1),
        ]
        assert room.page() == ([1, 2], False)

    async def test_a_message_that_comes_twice_at_once_is_placed_once(self, broker: Broker) -> None:
        room = Room(broker)
        room.send(room.entry(b"a", ref=9), room.entry(b"a", ref=9))
        told = await room.come(2)
        assert sorted((each.how, each.offset) for each in told) == [("delivered", 1), ("settled", 1)]

    @pytest.mark.parametrize(
        "other",
        [{"ref": 10}, {"run": bytes(16)}, {"user": "mallory"}, {"run": b""}],
        ids=["another ref", "another run", "another user", "no run"],
    )
    async def test_only_user_run_and_ref_together_make_a_message_the_same(
        self, broker: Broker, other: dict[str, object]
    ) -> None:
        room = Room(broker)
        room.say(b"a", ref=9)
        room.say(b"a", **{"ref": 9, **other})
        assert [each.how for each in await room.come(2)] == ["delivered", "delivered"]

    async def test_messages_without_a_run_are_never_the_same(self, broker: Broker) -> None:
        room = Room(broker)
        room.say(b"a", b"a", ref=9, run=b"")
        assert [each.how for each in await room.come(2)] == ["delivered", "delivered"]

    async def test_a_repeat_is_recognised_when_the_message_is_kept_no_more(self, broker: Broker) -> None:
        room = Room(broker, keep=Keep(0, 2**20, 300.0))
        room.say(b"a", ref=9)
        await room.come(1)
        room.close()
        room.open()
        room.say(b"a", ref=9)
        assert (await room.come(2))[1] == Told("settled", 1, b"a")

    async def test_the_messages_of_one_run_are_known(self, broker: Broker) -> None:
        room = Room(broker)
        room.say(b"a")
        room.say(b"b", run=bytes(16))
        room.say(b"c", user="bob")
        room.say(b"d")
        await room.come(4)
        assert set(broker.sent_by(room.key, "alice", RUN)) == {1, 4}

    # --- deletion ---

    async def test_what_is_erased_is_gone_and_its_places_stay(self, broker: Broker) -> None:
        room = Room(broker)
        await room.said(5)
        assert broker.erase(room.key, 2) == 2
        assert room.page() == ([3, 4, 5], False)
        assert room.since(1) is None
        assert broker.erase(room.key) == 3
        assert room.page() == ([], False)
        assert room.since(5) == []
        await room.said(1)
        assert room.told[-1].offset == 6

    async def test_how_much_is_held_is_known(self, broker: Broker) -> None:
        room = Room(broker)
        assert broker.held(room.key) == (0, 0)
        await room.said(5)
        held, size = broker.held(room.key)
        assert held == 5
        assert size >= sum(len(told.data) for told in room.told) - 5 * 16
        broker.erase(room.key, 3)
        assert broker.held(room.key)[0] == 2
        assert 0 < broker.held(room.key)[1] < size

    async def test_what_is_too_old_is_not_held(self, broker: Broker, wall: Wall) -> None:
        room = Room(broker)
        await room.said(2)
        wall.now += KEEP.ttl + 1
        assert broker.held(room.key) == (0, 0)

    async def test_a_channel_that_nobody_is_in_can_be_erased(self, broker: Broker) -> None:
        room = Room(broker)
        await room.said(3)
        room.close()
        assert broker.erase(room.key) == 3
        assert broker.erase(ChannelKey(APP, "unknown")) == 0
        room.open()
        assert room.position.offset == 3
        assert room.page() == ([], False)


Make = Callable[[Wall], AbstractAsyncContextManager[Broker]]
