"""The channels that have something to send, served in turn: bounded work in every turn of the event loop.

A channel of a thousand members takes a thousand writes for one frame, and everybody else would wait
for them. So a channel is served for a slice and then goes to the back of the queue, and when the work of one
turn is done the rest waits for the next turn, in which connections are read and small channels served
first. Work is measured in bytes written; a write counts as ``WRITE_COST`` more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from .metrics import Metrics

__all__ = ["SLICE", "TURN_MOST", "WRITE_COST", "Busy", "Tick", "Turns"]

WRITE_COST: Final = 4096
"""What a write costs beside its bytes: a system call takes about as long as copying so many."""
SLICE: Final = 1024 * 1024
"""Work for one channel before the next one is served."""
TURN_MOST: Final = 4 * SLICE
"""Work in one turn of the event loop, to which at most one slice comes."""

_Call = Callable[[], None]


class Busy(Protocol):
    """Something that may have work to do."""

    queued: bool
    """Whether it waits to be served; owned by the queue."""

    @property
    def busy(self) -> bool:
        """Whether there is work left."""
        ...

    def work(self, most: int) -> int:
        """Do work until *most* is reached or nothing is left; return how much was done."""
        ...


class Turns:
    """The queue of one process.

    Args:
        call_soon: runs a callable once, in the next turn of the event loop.
        now: the present, in monotonic seconds.
        metrics: where turns are measured.

    """

    def __init__(
        self, call_soon: Callable[[_Call], object], now: Callable[[], float], metrics: Metrics
    ) -> None:
        self._call_soon = call_soon
        self._now = now
        self._metrics = metrics
        self._queue: deque[Busy] = deque()
        self._running = False
        self._asked = 0.0

    def add(self, busy: Busy) -> None:
        """Serve this one too, in its turn; it may be there already."""
        if busy.queued:
            return
        busy.queued = True
        self._queue.append(busy)
        if not self._running:
            self._running = True
            self._asked = self._now()
            self._call_soon(self._run)

    def _run(self) -> None:
        began = self._now()
        left = TURN_MOST
        queue = self._queue
        try:
            while queue and left > 0:
                busy = queue.popleft()
                try:
                    left -= busy.work(SLICE)
                finally:
                    busy.queued = busy.busy
                    if busy.queued:
                        queue.append(busy)
        finally:  # whatever happened to one of them, the others are served
            ended = self._now()
            self._metrics.turn_waits.note(began - self._asked)
            self._metrics.turn_work.note(ended - began)
            self._running = bool(queue)
            if queue:
                self._asked = ended
                self._call_soon(self._run)


class Tick:
    """Lets channels collect for a while before they are served: fewer writes for a bounded delay.

    Args:
        turns: where they are served then.
        delay: how long, in seconds.
        call_later: runs a callable once, after so many seconds.

    """

    def __init__(self, turns: Turns, delay: float, call_later: Callable[[float, _Call], object]) -> None:
        self._turns = turns
        self._delay = delay
        self._call_later = call_later
        self._waiting: list[Busy] = []

    def add(self, busy: Busy) -> None:
        """Serve this one after the delay, and all that come meanwhile with it."""
        if not self._waiting:
            self._call_later(self._delay, self._end)
        self._waiting.append(busy)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for busy in waiting:
            self._turns.add(busy)
