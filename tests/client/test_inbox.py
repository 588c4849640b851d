"""The inbox: bounded, ordered, and honest about what it threw away."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.events import Dropped, Frame, Left, MemberLeft, Message, Resumed
from sealcast.client.inbox import Inbox

LEFT = Left(4500, "left")


def frame(number: int, size: int = 1, kind: str = "audio") -> Frame:
    return Frame(1, "bob", kind, 2, bytes(size), priority=number % 8, temporal=number)


def message(number: int, size: int = 1) -> Message:
    return Message(1, "bob", bytes(size), number, "e")


async def all_of(inbox: Inbox) -> list[object]:
    inbox.end(LEFT)
    events: list[object] = []
    try:
        while True:
            events.append(await inbox.get())
    except StopAsyncIteration:
        return events


async def test_events_come_out_in_the_order_in_which_they_went_in():
    inbox = Inbox(100, 10**6)
    put = [message(1), frame(1), MemberLeft(2, "eve", "left"), frame(2), message(2)]
    for event in put:
        inbox.put(event)
    assert await all_of(inbox) == [*put, LEFT]


async def test_the_oldest_frames_go_first_then_the_oldest_messages():
    inbox = Inbox(3, 10**6)
    for event in (message(1), frame(1), frame(2), message(2)):
        inbox.put(event)
    for event in (message(3), message(4)):
        inbox.put(event)
    events = await all_of(inbox)
    assert events == [
        Dropped({"audio": 2, "message": 1}, "client"),
        message(2),
        message(3),
        message(4),
        LEFT,
    ]


async def test_a_frame_that_finds_only_messages_is_itself_what_goes():
    inbox = Inbox(2, 10**6)
    inbox.put(message(1))
    inbox.put(message(2))
    assert inbox.put(frame(1)) == 1
    assert await all_of(inbox) == [Dropped({"audio": 1}, "client"), message(1), message(2), LEFT]


async def test_bytes_are_bounded_and_what_is_larger_than_the_bound_is_dropped_and_counted():
    inbox = Inbox(100, 2000)
    inbox.put(message(1, 500))
    inbox.put(message(2, 5000))
    assert await all_of(inbox) == [Dropped({"message": 2}, "client"), LEFT]


async def test_the_last_event_comes_after_everything_else_and_then_nothing():
    inbox = Inbox(1, 10**6)
    inbox.put(message(1))
    inbox.end(LEFT)
    inbox.end(Left(4507, "kicked"))
    assert inbox.put(message(2)) == 0
    assert await inbox.get() == message(1)
    assert await inbox.get() == LEFT
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await inbox.get()


async def test_several_readers_share_the_events_and_all_of_them_see_the_end():
    inbox = Inbox(100, 10**6)

    async def read() -> list[object]:
        seen: list[object] = []
        while True:
            try:
                seen.append(await inbox.get())
            except StopAsyncIteration:
                return seen

    readers = [asyncio.create_task(read()) for _ in range(3)]
    for number in range(9):
        inbox.put(message(number))
        await asyncio.sleep(0)
    inbox.end(LEFT)
    seen = [event for events in await asyncio.gather(*readers) for event in events]
    assert len(seen) == 10
    assert seen.count(LEFT) == 1


async def test_cancelling_a_read_loses_no_event():
    inbox = Inbox(100, 10**6)
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put(message(1))
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await inbox.get() == message(1)


@given(
    bounds=st.tuples(st.integers(1, 8), st.integers(300, 3000)),
    what=st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.just(0)),
            st.tuples(st.sampled_from(["audio", "video", "message", "event"]), st.integers(0, 900)),
        ),
        max_size=60,
    ),
)
def test_nothing_is_lost_uncounted_and_the_bounds_hold(bounds, what):
    async def run() -> None:
        most, most_bytes = bounds
        inbox = Inbox(most, most_bytes)
        put: Counter[str] = Counter()
        got: Counter[str] = Counter()
        order: list[int] = []

        def take(event: object) -> None:
            if isinstance(event, Dropped):
                assert event.where == "client"
                got.update(event.counts)
            elif isinstance(event, Frame):
                got[event.kind] += 1
                order.append(event.temporal)
            elif isinstance(event, Message):
                got["message"] += 1
                order.append(event.offset)
            elif isinstance(event, MemberLeft):
                got["event"] += 1
                order.append(event.member)

        for number, (kind, size) in enumerate(what):
            if kind == "read":
                if len(inbox):
                    take(await inbox.get())
                continue
            put[kind] += 1
            if kind == "message":
                inbox.put(message(number, size))
            elif kind == "event":
                inbox.put(MemberLeft(number, "eve", "left"))
            else:
                inbox.put(frame(number, size, kind))
            assert len(inbox) <= most
        for event in await all_of(inbox):
            take(event)
        assert got == put
        assert order == sorted(order)

    asyncio.run(run())


# --- a place that is held ---


async def test_what_comes_behind_a_held_place_waits_until_it_is_filled():
    inbox = Inbox(100, 10**6)
    inbox.put(message(1))
    inbox.hold()
    for event in (message(2), MemberLeft(2, "eve", "left"), frame(1)):
        inbox.put(event)
    assert await inbox.get() == message(1)
    reading = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    assert not reading.done()
    inbox.fill(Resumed(True, 0))
    assert await reading == Resumed(True, 0)
    assert await all_of(inbox) == [message(2), MemberLeft(2, "eve", "left"), frame(1), LEFT]


async def test_a_place_that_is_given_up_leaves_no_gap():
    inbox = Inbox(100, 10**6)
    inbox.hold()
    inbox.put(message(1))
    inbox.fill(None)
    assert await inbox.get() == message(1)
    inbox.fill(Resumed(True, 0))
    assert await all_of(inbox) == [LEFT], "a place that is not held cannot be filled"


async def test_the_end_waits_for_no_place():
    inbox = Inbox(100, 10**6)
    inbox.hold()
    inbox.put(message(1))
    assert await all_of(inbox) == [message(1), LEFT]


async def test_what_waits_behind_a_held_place_is_bounded_like_everything():
    inbox = Inbox(2, 10**6)
    inbox.hold()
    for number in range(4):
        inbox.put(message(number))
    inbox.fill(Resumed(True, 0))
    assert await inbox.get() == Dropped({"message": 2}, "client")
    assert await inbox.get() == Resumed(True, 0)
    assert await inbox.get() == message(2)


def test_the_first_message_that_nobody_has_taken():
    inbox = Inbox(100, 10**6)
    assert inbox.first_message is None
    for event in (frame(1), message(1), message(2)):
        inbox.put(event)
    assert inbox.first_message == message(1)
