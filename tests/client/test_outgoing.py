"""The send queue: order, bounds, and who goes first when there is little room."""

from __future__ import annotations

import asyncio

import pytest

from sealcast.client.outgoing import FRAME_WAIT, Outgoing, OutgoingClosed


async def drain(outgoing: Outgoing) -> list[bytes]:
    outgoing.finish()
    sent = []
    while (data := await outgoing.get()) is not None:
        sent.append(data)
        outgoing.sent()
    return sent


async def test_what_is_put_first_goes_first_and_counts_until_it_was_sent():
    outgoing = Outgoing(10)
    outgoing.put(b"one", 0.0)
    outgoing.put(b"two", 0.0)
    assert outgoing.size == 6
    assert await outgoing.get() == b"one"
    assert outgoing.size == 6, "handed over is not sent"
    outgoing.sent()
    assert outgoing.size == 3
    assert await drain(outgoing) == [b"two"]


async def test_a_frame_fits_up_to_the_bound_and_a_larger_one_only_when_nothing_waits():
    outgoing = Outgoing(10)
    assert outgoing.fits(11, 0.0)
    outgoing.put(bytes(8), 0.0)
    assert outgoing.fits(2, 0.0)
    assert not outgoing.fits(3, 0.0)


async def test_no_frame_fits_behind_something_that_is_stuck():
    outgoing = Outgoing(1000)
    outgoing.put(b"stuck", 0.0)
    assert outgoing.fits(1, FRAME_WAIT)
    assert not outgoing.fits(1, FRAME_WAIT + 0.01)
    outgoing.sent()
    assert outgoing.fits(1, FRAME_WAIT + 0.01)


async def test_messages_wait_for_their_turn_in_order_and_frames_wait_for_messages():
    outgoing = Outgoing(10)
    outgoing.put(bytes(10), 0.0)
    turns: list[int] = []

    async def message(number: int) -> None:
        async with outgoing.turn(6):
            turns.append(number)
            outgoing.put(bytes(6), 0.0)

    waiting = [asyncio.create_task(message(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert not outgoing.fits(0, 0.0)
    for done in range(3):
        assert turns == list(range(done))
        outgoing.sent()
        while len(turns) == done:
            await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert turns == [0, 1, 2]


async def test_a_turn_that_is_cancelled_leaves_the_way_free_for_the_next():
    outgoing = Outgoing(10)
    outgoing.put(bytes(10), 0.0)

    async def message() -> None:
        async with outgoing.turn(6):
            pass

    first, second = asyncio.create_task(message()), asyncio.create_task(message())
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    outgoing.sent()
    await second


@pytest.mark.parametrize("how", ["close", "finish"])
async def test_who_waits_is_told_that_no_more_is_taken(how):
    outgoing = Outgoing(10)
    outgoing.put(bytes(10), 0.0)

    async def message() -> None:
        async with outgoing.turn(6):
            pytest.fail("there was no room")

    waiting = [asyncio.create_task(message()) for _ in range(2)]
    await asyncio.sleep(0)
    getattr(outgoing, how)()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [OutgoingClosed, OutgoingClosed]
    assert not outgoing.fits(1, 0.0)


async def test_closing_forgets_what_waits_and_ends_the_writer():
    outgoing = Outgoing(10)
    writer = asyncio.create_task(outgoing.get())
    await asyncio.sleep(0)
    outgoing.close()
    assert await writer is None
    outgoing.put(b"late", 0.0)
    assert await outgoing.get() is None
    outgoing.sent()
    assert outgoing.size == 0
