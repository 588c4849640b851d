"""Takes what happened to the outbox, and what is in the outbox to its receivers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Final

from ..logs import logger
from .event import Event
from .outbox import Delivery, Outbox
from .schedule import PATIENCE, again
from .sender import Sender

__all__ = ["Courier"]

EVENTS_MOST: Final = 100_000
"""Events that may wait for the outbox, when its database is away; the oldest are lost first, and counted."""
_AT_ONCE: Final = 32
_BATCH: Final = 500
_PAUSE: Final = 1.0
_LONGEST: Final = 600.0
"""Seconds after which the outbox is looked into again in any case: clocks jump."""
_BREATH: Final = 0.02
"""Seconds between two looks: what ends in the meantime costs one transaction together."""
_SOON: Final = 1.0
"""Seconds after which is looked again while deliveries are made, for what may be tried only later."""
_LOOK_AGAIN: Final = 5.0
"""The same where others may have added to it."""


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
        self._written = asyncio.Event()
        self._written.set()
        self._added = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._at: Counter[str] = Counter()
        """How many are being tried of each endpoint."""
        self._made: list[Delivery] = []
        """What was delivered, and is not crossed out yet."""
        self._idle = asyncio.Event()
        self._writing = False
        self._failing = False
        self.delivered = 0
        self.failed = 0
        self.given_up = 0
        self.lost = 0
        """Events that never got to the outbox."""

    @property
    def queued(self) -> int:
        """Events that wait for the outbox."""
        return len(self._events)

    def tell(self, event: Event) -> None:
        """Note that something happened."""
        self._events.append(event)
        if len(self._events) > EVENTS_MOST:
            self._events.popleft()
            self.lost += 1
        self._written.clear()
        self._told.set()

    async def settled(self) -> None:
        """Return when everything that was told is written down."""
        await self._written.wait()

    def start(self) -> None:
        """Begin to work."""
        self._tasks = [asyncio.create_task(self._write_down()), asyncio.create_task(self._deliver())]

    def nudge(self) -> None:
        """Look into the outbox now: somebody else has added to it."""
        self._added.set()

    async def close(self, grace: float = 0.0) -> None:
        """Write down what is left, if the outbox can be reached; deliveries go on after a restart.

        Those that are due have so many seconds to be made before that.
        """
        if grace and self._tasks:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._drained()
        for task in (*self._tasks, *self._running):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._running, return_exceptions=True)
        self._tasks = []
        while self._events and await self._flush():
            pass
        self.lost += len(self._events)
        try:
            await self._cross_out()
            await self._outbox.release()
        except Exception as error:
            logger.warning("deliveries are let go of only later", reason=type(error).__name__)

    async def _drained(self) -> None:
        """Return when everything is written down and nothing more is tried now."""
        self._idle.clear()
        self._told.set()
        self._added.set()
        await self._idle.wait()

    async def _write_down(self) -> None:
        while True:
            await self._told.wait()
            self._told.clear()
            while self._events:
                if not await self._flush():
                    await self._sleep(_PAUSE)

    async def _flush(self) -> bool:
        batch = [self._events.popleft() for _ in range(min(len(self._events), _BATCH))]
        self._writing = True
        try:
            await self._outbox.add(batch)
        except asyncio.CancelledError:
            self._events.extendleft(reversed(batch))
            raise
        except Exception as error:
            self._events.extendleft(reversed(batch))
            self._fails("events cannot be written down, trying again", error)
            return False
        finally:
            self._writing = False
        self._failing = False
        if not self._events:
            self._written.set()
        self._added.set()
        return True

    def _fails(self, text: str, error: Exception) -> None:
        """Log that the outbox is away, once each time that it is."""
        if not self._failing:
            logger.error(text, reason=type(error).__name__)
        self._failing = True

    async def _deliver(self) -> None:
        while True:
            self._added.clear()
            wait: float | None
            try:
                wait = await self._round()
            except Exception as error:
                self._fails("deliveries cannot be looked up, trying again", error)
                wait = _PAUSE
            else:
                self._failing = False
            await asyncio.sleep(_BREATH)
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
        room = _AT_ONCE - len(self._running)
        if room <= 0:
            await self._cross_out()
            return None  # the end of one of those that run starts the next round
        now = self._wall()
        made, self._made = self._made, []
        try:
            claimed = await self._outbox.turn(now, room, self._at, made)
        except BaseException:
            self._made += made
            raise
        for delivery in claimed:
            self._at[delivery.endpoint.id] += 1
            task = asyncio.create_task(self._try(delivery))
            self._running.add(task)
            task.add_done_callback(functools.partial(self._tried, delivery.endpoint.id))
        if not (claimed or self._events or self._running or self._writing or self._made):
            self._idle.set()
        if claimed:
            return _SOON  # most often one of those has ended long before
        due = await self._outbox.next_due(now)
        longest = _LOOK_AGAIN if self._outbox.shared else _LONGEST
        if due is None:
            return longest if self._outbox.shared else None
        return min(max(due - self._wall(), 0.0), longest)

    async def _cross_out(self) -> None:
        """Cross out what was made since the last time: together, for each transaction costs."""
        made, self._made = self._made, []
        if not made:
            return
        try:
            await self._outbox.delivered(made)
        except BaseException:
            self._made += made
            raise

    async def _try(self, delivery: Delivery) -> None:
        try:
            answer = await self._sender.send(delivery)
            if answer.good:
                self.delivered += 1
                self._made.append(delivery)
                return
            self.failed += 1
            now = self._wall()
            wait = again(delivery.failures + 1, random.random(), answer.retry_after)  # noqa: S311 - jitter
            if answer.gone or wait is None or now - delivery.since > PATIENCE:
                self.given_up += 1
                logger.warning("a delivery was given up", event_id=delivery.event.id, answer=answer.said)
                await self._outbox.failed(delivery, answer.said, None, now)
            else:
                await self._outbox.failed(delivery, answer.said, now + wait, now)
        except Exception as error:
            # It stays in the outbox as it was, and is tried again: better twice than not at all.
            logger.error("a delivery could not be noted", reason=type(error).__name__)
            await self._sleep(_PAUSE)

    def _tried(self, endpoint: str, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._at[endpoint] -= 1
        if not self._at[endpoint]:
            del self._at[endpoint]
        self._added.set()
