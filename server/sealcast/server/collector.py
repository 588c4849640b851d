"""Python's garbage collector, kept from stopping the relay: what lives long is looked at once.

A full collection looks at every container object of the process: with twenty thousand connections that is a
million objects, and everybody waits. But the relay's own objects make no circles when they die (closing a
connection takes them apart), so hardly anything is the collector's to free. Therefore young objects
are collected less often than by default, and what survives a full collection is frozen: the next one does
not look at it again. What became a circle after that would stay for ever, so once in a while everything
is thawed and looked at. Every pause is measured.
"""

from __future__ import annotations

import gc
import time
from typing import Any, Final

from .metrics import Metrics

__all__ = ["Collector"]

_THRESHOLDS: Final = (10_000, 20, 10)
"""Young objects that start a collection of about a millisecond, and how many of those start a greater one."""
_OLDEST: Final = 2


class Collector:
    """Tunes and measures the collector while it is started. One for a process.

    Args:
        metrics: where pauses are counted.

    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._began = 0.0
        self._before: tuple[int, int, int] | None = None

    def start(self) -> None:
        """Freeze what is alive, and tune and measure from now on."""
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_THRESHOLDS)
        gc.callbacks.append(self._note)

    def stop(self) -> None:
        """Leave the collector as it was found."""
        if self._before is not None:
            gc.callbacks.remove(self._note)
            gc.set_threshold(*self._before)
            gc.unfreeze()
            self._before = None

    def sweep(self) -> None:
        """Look at everything, frozen or not. The longest pause there is: for once an hour or so."""
        gc.unfreeze()
        gc.collect()

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
            return
        pause = time.perf_counter() - self._began
        metrics = self._metrics
        metrics.gc_pauses += 1
        metrics.gc_seconds += pause
        metrics.gc_longest = max(metrics.gc_longest, pause)
        if info["generation"] == _OLDEST:
            gc.freeze()
