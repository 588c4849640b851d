"""Python's garbage collector, kept from stopping the relay: what lives long is looked at once.

A full collection looks at every container object of the process: with twenty thousand connections that is a
million objects, and everybody waits. But the relay's own objects make no circles when they die (closing a
connection takes them apart), so hardly anything is the collector's to free. Therefore full collections come
often, while they are small, and what survives one is frozen: the next one does not look at it again.
What became a circle after that would stay for ever, so once in a while everything is thawed and looked at.
Every pause is measured: while ten thousand members joined the longest took 6 to 8 ms, and 245 with Python's
defaults.
"""

from __future__ import annotations

import gc
import time
from typing import Any, Final

from .metrics import Metrics

__all__ = ["Collector"]

_THRESHOLDS: Final = (1_000, 4, 4)
"""New objects that start a collection, and how many collections of one generation start one of the next."""
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
