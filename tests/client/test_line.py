"""Who goes first."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.line import Line


def test_numbers_grow_and_the_lowest_inside_is_first():
    line = Line()
    one, two, three = (line.join() for _ in range(3))
    assert (one, two, three) == (1, 2, 3)
    assert line.is_first(one)
    line.leave(one)
    assert line.is_first(two)
    line.enter(one)
    assert line.is_first(one)
    assert not line.is_first(two)
    for number in (one, two, three):
        line.leave(number)
        line.leave(number)
    assert len(line) == 0
    assert not line.is_first(one)


@given(st.lists(st.tuples(st.sampled_from(["join", "enter", "leave"]), st.integers(1, 9))))
def test_the_first_is_always_the_lowest(steps):
    line, inside = Line(), set()
    for step, number in steps:
        if step == "join":
            inside.add(line.join())
        elif step == "enter":
            line.enter(number)
            inside.add(number)
        else:
            line.leave(number)
            inside.discard(number)
        assert [n for n in range(1, 100) if line.is_first(n)] == ([min(inside)] if inside else [])


async def test_who_waits_is_woken_when_it_is_first_or_all_are():
    line = Line()
    numbers = [line.join() for _ in range(3)]
    order: list[int] = []

    async def wait(number: int) -> None:
        await line.wait(number)
        order.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in reversed(numbers)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == [1]
    line.leave(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert order == [1, 2]
    line.wake()
    await asyncio.gather(*tasks)
    assert order == [1, 2, 3]


async def test_one_that_is_cancelled_makes_room_by_leaving():
    line = Line()
    one, two, three = (line.join() for _ in range(3))
    waiting = {number: asyncio.create_task(line.wait(number)) for number in (two, three)}
    await asyncio.sleep(0)
    waiting[two].cancel()
    await asyncio.gather(waiting[two], return_exceptions=True)
    line.leave(two)
    line.leave(one)
    await waiting[three]
    assert line.is_first(three)
