"""Takes what happened to the outbox, and what is in the outbox to its receivers."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from ..logs import logger
from .event import Event
from .outbox import Delivery, Outbox
from .schedule import again
from .sender import Sender

__all__ = ["Courier"]

EVENTS_MOST: Final = 100_000
"""Events that may wait for the outbox, when its database is away; the oldest are lost first, and counted."""
_AT_ONCE: Final = 32
_BATCH: Final = 500
_PAUSE: Final = 1.0
_LONGEST: Final = 600.0
"""Seconds after which the outbox is looked into again in any case: clocks jump."""


class Courier:
    """Two tasks: one writes events down, one makes deliveries. ``tell`` never waits and never fails.

    Args:
        outbox: where events are written down.
        sender: makes one try.
        wall: the present, in Unix seconds.
        sleep: waits; tests put their own here.

    """

    def __init__(
        self,
        outbox: Outbox,
        sender: Sender,
        wall: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._wall = wall
        self._sleep = sleep
        self._events: deque[Event] = deque()
        self._told = asyncio.Event()
        self._added = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._busy: set[tuple[int, str]] = set()
        self.delivered = 0
        self.failed = 0
        self.given_up = 0
        self.lost = 0
        """Events that never got to the outbox."""

    def tell(self, event: Event) -> None:
        """Note that something happened."""
        self._events.append(event)
        if len(self._events) > EVENTS_MOST:
            self._events.popleft()
            self.lost += 1
        self._told.set()

    def start(self) -> None:
        """Begin to work."""
        self._tasks = [asyncio.create_task(self._write_down()), asyncio.create_task(self._deliver())]

    async def close(self) -> None:
        """Write down what is left, if the outbox can be reached; deliveries go on after a restart."""
        for task in (*self._tasks, *self._running):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._running, return_exceptions=True)
        self._tasks = []
        if self._events:
            await self._flush()

    async def _write_down(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            while self._events and not await self._flush():
                await self._sleep(_PAUSE)

    async def _flush(self) -> bool:
        batch = [self._events.popleft() for _ in range(min(len(self._events), _BATCH))]
        try:
            await self._outbox.add(batch)
        except asyncio.CancelledError:
            self._events.extendleft(reversed(batch))
            raise
        except Exception as error:
            self._events.extendleft(reversed(batch))
            logger.error("events cannot be written down, trying again", reason=type(error).__name__)
            return False
        self._added.set()
        return True

    async def _deliver(self) -> None:
        while True:
            self._added.clear()
            wait: float | None
            try:
                wait = await self._round()
            except Exception as error:
                logger.error("deliveries cannot be looked up, trying again", reason=type(error).__name__)
                wait = _PAUSE
            await self._rest(wait)

    async def _rest(self, seconds: float | None) -> None:
        """Wait until something was added or has ended, or for so long."""
        waits: set[asyncio.Future[object]] = {asyncio.ensure_future(self._added.wait())}
        if seconds is not None:
            waits.add(asyncio.ensure_future(self._sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def _round(self) -> float | None:
        """Start what is due; return how long nothing else will be, None when nothing waits."""
        now = self._wall()
        room = _AT_ONCE - len(self._running)
        for delivery in await self._outbox.due(now, _AT_ONCE + len(self._busy)):
            lane = (delivery.endpoint.id, delivery.event.subject)
            if room <= 0:
                return None  # the end of one of those that run starts the next round
            if lane not in self._busy:
                room -= 1
                self._busy.add(lane)
                task = asyncio.create_task(self._try(delivery, lane))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        due = await self._outbox.next_due()
        # What is being tried stays due until it has an answer, which starts the next round.
        return None if due is None else min(max(due - self._wall(), _PAUSE if self._busy else 0.0), _LONGEST)

    async def _try(self, delivery: Delivery, lane: tuple[int, str]) -> None:
        try:
            answer = await self._sender.send(delivery)
            if answer.good:
                self.delivered += 1
                await self._outbox.delivered(delivery)
                return
            self.failed += 1
            failures = delivery.failures + 1
            wait = again(failures, random.random(), answer.retry_after)  # noqa: S311 - jitter, not a secret
            if answer.gone or wait is None:
                self.given_up += 1
                logger.warning("a delivery was given up", event_id=delivery.event.id, answer=answer.said)
                await self._outbox.failed(delivery, answer.said, None)
            else:
                await self._outbox.failed(delivery, answer.said, self._wall() + wait)
        except Exception as error:
            # It stays in the outbox as it was, and is tried again: better twice than not at all.
            logger.error("a delivery could not be noted", reason=type(error).__name__)
            await self._sleep(_PAUSE)
        finally:
            self._busy.discard(lane)
            self._added.set()
