"""Numbers of the process: what runs, since when, how late its loop is, what its log has said."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Iterator
from typing import Final

from sealcast.protocol.version import __version__

from ..logs import LINES
from ..metrics import Lengths
from .board import Sample, Source

__all__ = ["LoopWatch", "about", "log_lines"]

_EVERY: Final = 0.25
"""Seconds between two looks at the loop: a stall of a quarter second is always seen."""


def about(node: str, started: float) -> Source:
    """Return a source of what runs here, and since when in Unix seconds."""

    def source() -> Iterator[Sample]:
        yield Sample("build_info", 1, (__version__, platform.python_version(), node))
        yield Sample("start_time_seconds", started)

    return source


def log_lines() -> Iterator[Sample]:
    """Return how many lines the log has got, and how many were withheld."""
    for level, count in LINES.by_level.items():
        yield Sample("log_lines_total", count, (level,))
    yield Sample("log_lines_withheld_total", LINES.withheld)


class LoopWatch:
    """Measures how late the event loop is for a timer, again and again.

    Args:
        now: monotonic seconds; the real ones, whatever the relay's clock says.

    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._lag = Lengths()
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def __call__(self) -> Iterator[Sample]:
        """Return what was measured."""
        yield Sample("loop_lag_seconds", self._lag)

    def start(self) -> None:
        """Measure from now on."""
        self._due = self._now() + _EVERY
        self._timer = asyncio.get_running_loop().call_later(_EVERY, self._look)

    def stop(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._lag.note(max(self._now() - self._due, 0.0))
        self.start()
