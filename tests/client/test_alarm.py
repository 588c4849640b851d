"""One appointment that can be moved, on both loops."""

from __future__ import annotations

import asyncio

import pytest

from sealcast.client.alarm import Alarm


class Bell:
    """An alarm, and how often it has rung."""

    def __init__(self) -> None:
        self.rung = 0
        self.heard = asyncio.Event()
        self.alarm = Alarm(self._ring)

    def _ring(self) -> None:
        self.rung += 1
        self.heard.set()


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.002])
async def test_it_rings_once_and_then_nothing_is_due(seconds: float) -> None:
    bell, now = Bell(), asyncio.get_running_loop().time()
    bell.alarm.set(now + seconds)
    assert bell.alarm.due == now + seconds
    await bell.heard.wait()
    assert (bell.rung, bell.alarm.due) == (1, None)


@pytest.mark.parametrize("first", [-1.0, 0.0, 3600.0])
async def test_it_can_be_moved_from_any_time_to_any_other(first: float) -> None:
    bell, other, now = Bell(), Bell(), asyncio.get_running_loop().time()
    bell.alarm.set(now + first)
    bell.alarm.set(now + 7200.0)
    bell.alarm.set(now + 7200.0)
    other.alarm.set(now + 0.002)
    await other.heard.wait()
    assert (bell.rung, bell.alarm.due) == (0, now + 7200.0)
    bell.alarm.set(None)
    assert bell.alarm.due is None


async def test_it_can_be_rung_before_its_time_and_does_not_ring_again() -> None:
    bell, other, now = Bell(), Bell(), asyncio.get_running_loop().time()
    bell.alarm.set(now + 0.001)
    bell.alarm.ring()
    other.alarm.set(now + 0.002)
    await other.heard.wait()
    assert (bell.rung, bell.alarm.due) == (1, None)
