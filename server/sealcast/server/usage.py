"""Looks at everything from time to time, so that it is known what apps used, and how well it went.

Only a relay with an internal port does it. A look at many members is spread over many ticks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

from .channel import Channel
from .hub import App, Hub
from .metrics import Lengths
from .tally import EVERY, History, Tally, Window

__all__ = ["Usage"]

_AT_ONCE: Final = 256
"""Members that are looked at in one turn of the event loop."""


class Usage:
    """What apps have used, since the start and of late.

    Args:
        hub: the registry.

    """

    def __init__(self, hub: Hub) -> None:
        self.due: float | None = None
        self.started = hub.clock.wall()
        """When this began to count, in Unix seconds."""
        self._hub = hub
        self._all = History(hub.clock.monotonic())
        self._lengths = {
            "waits": _Marks(hub.metrics.turn_waits),
            "work": _Marks(hub.metrics.turn_work),
        }
        self._left: deque[tuple[App, Channel]] = deque()
        hub.wheel.schedule(self, hub.clock.monotonic() + EVERY)

    def stop(self) -> None:
        """Look no more."""
        self._hub.wheel.schedule(self, None)

    def on_time(self, now: float) -> float | None:
        """Look at some; called by the wheel."""
        if not self._left:
            self._left.extend(_channels(self._hub.apps()))
        self._look(now)
        if self._left:
            return now  # in the next tick
        self._mark(now)
        return now + EVERY

    def _look(self, now: float) -> None:
        seen = 0
        while self._left and seen < _AT_ONCE:
            app, channel = self._left.popleft()
            app.usage.add(channel.traffic.take(channel.members.values(), now))
            seen += 1 + len(channel.members)

    def _mark(self, now: float) -> None:
        for app in self._hub.apps():
            app.history.note(app.usage, now)
        self._all.note(self._sum(), now)
        for marks in self._lengths.values():
            marks.note(now)

    async def of_app(self, app: App) -> Tally:
        """Return what one app has used since it is there."""
        await self._bring_up_to_date([app])
        return app.usage.copy()

    async def of_all(self) -> Tally:
        """Return what all apps have used since the start, those that were deleted too."""
        await self._bring_up_to_date(list(self._hub.apps()))
        return self._sum()

    async def _bring_up_to_date(self, apps: Sequence[App]) -> None:
        seen = 0
        for app, channel in _channels(apps):
            app.usage.add(channel.traffic.take(channel.members.values(), self._now()))
            seen += 1 + len(channel.members)
            if seen > _AT_ONCE:
                seen = 0
                await asyncio.sleep(0)

    def window(self, span: float, total: Tally, app: App | None = None) -> Window:
        """Return what came in the last 300 or 3600 seconds; *total* is that of now."""
        history = self._all if app is None else app.history
        return history.window(span, total, self._now())

    def lengths(self, name: str, span: float | None, part: float) -> float | None:
        """Return how long a turn of the event loop was, of the last *span* seconds or since the start.

        *name* is ``waits`` or ``work``, *part* 0.5 for the median. None when there was no turn.
        """
        return self._lengths[name].quantile(span, part)

    def _sum(self) -> Tally:
        total = self._hub.former.copy()
        for app in self._hub.apps():
            total.add(app.usage)
        return total

    def _now(self) -> float:
        return self._hub.clock.monotonic()


class _Marks:
    """A histogram of earlier, for what it was of late."""

    def __init__(self, lengths: Lengths) -> None:
        self._lengths = lengths
        start = tuple(0 for _ in lengths.counts)
        self._marks = {span: deque([(0.0, start)]) for span in (300.0, 3600.0)}

    def note(self, now: float) -> None:
        counts = self._lengths.counts
        for span, marks in self._marks.items():
            if now >= marks[-1][0] + span / 30:
                marks.append((now, counts))
                while marks[1][0] <= now - span:
                    marks.popleft()

    def quantile(self, span: float | None, part: float) -> float | None:
        counts: Sequence[int] = self._lengths.counts
        if span is not None:
            counts = [new - old for new, old in zip(counts, self._marks[span][0][1], strict=True)]
        return self._lengths.quantile(part, counts)


def _channels(apps: Iterable[App]) -> list[tuple[App, Channel]]:
    return [(app, channel) for app in apps for channel in app.channels.values()]
