"""What is sent to single members: in order, many at a time, and no faster than the server takes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from sealcast.protocol.codes import reply
from sealcast.protocol.controls import Direct

from .errors import LimitExceeded, RequestRefused, SealcastError
from .request import Request

if TYPE_CHECKING:
    from .link import Link

__all__ = ["WAITING_MAX", "Directs"]

WAITING_MAX: Final = 8192
"""Directs that may wait; over it the oldest are given up."""
_TIMEOUT: Final = 10.0
_SHARE: Final = 0.9
"""How much of what the server allows is used: its clock is another one."""
_RATE_LIMITED: Final = reply("rate_limited").number
_PENDING_WAIT: Final = 0.1


class _Item(NamedTuple):
    number: int
    direct: Direct
    wanted: Callable[[], bool]


class Directs:
    """The directs of one connection, of all its channels.

    Args:
        link: the connection.
        per_minute: how many the server takes in a minute; None when it named no limit.

    """

    __slots__ = (
        "_count",
        "_link",
        "_loop",
        "_rate",
        "_room",
        "_since",
        "_tank",
        "_timer",
        "_waiting",
        "refused",
    )

    def __init__(self, link: Link, per_minute: float | None) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._rate = None if per_minute is None else max(per_minute * _SHARE / 60, 0.1)
        self._tank = self._room = 0.0 if per_minute is None else max(per_minute * _SHARE, 1.0)
        self._since = self._loop.time()
        self._count = 0
        self._waiting: deque[_Item] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.refused = 0
        """Directs that the server refused for good: mostly because the member has just left."""

    def put(self, direct: Direct, wanted: Callable[[], bool]) -> None:
        """Send *direct*, now if nothing waits and the server takes it, unless it is no longer *wanted*."""
        self._count += 1
        self._waiting.append(_Item(self._count, direct, wanted))
        if len(self._waiting) > WAITING_MAX:
            self._waiting.popleft()
        if self._timer is None:
            self._pump()

    def close(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _pump(self) -> None:
        self._timer = None
        while self._waiting:
            item = self._waiting[0]
            if not item.wanted():
                self._waiting.popleft()
                continue
            pause = self._pause()
            if pause > 0:
                self._later(pause)
                return
            try:
                request = self._link.submit(item.direct, _TIMEOUT, item.direct.channel)
            except LimitExceeded:
                self._later(_PENDING_WAIT)
                return
            except SealcastError:
                self._waiting.clear()
                return
            self._waiting.popleft()
            if self._rate is not None:
                self._tank -= 1
            self._link.spawn(self._watch(item, request))

    def _pause(self) -> float:
        """Return how long to wait for the server's favour, by this side's count."""
        if self._rate is None:
            return 0.0
        now = self._loop.time()
        self._tank = min(self._room, self._tank + (now - self._since) * self._rate)
        self._since = now
        return 0.0 if self._tank >= 1 else (1 - self._tank) / self._rate

    def _later(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._pump)

    async def _watch(self, item: _Item, request: Request) -> None:
        try:
            await self._link.answer(request)
        except RequestRefused as refused:
            if refused.code.number != _RATE_LIMITED:
                self.refused += 1
                return
            # What was sent right after it is refused too. The order has to stay: of two keys the later
            # one would make the earlier one an old one.
            self._waiting = deque(sorted([item, *self._waiting], key=lambda waiting: waiting.number))
            self._tank = 0.0
            self._later(refused.retry_after or 1.0)
        except SealcastError:
            return
