"""What one connection did not get, counted once for everybody who has to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from sealcast.protocol.controls import Dropped
from sealcast.protocol.names import Kind

from .metrics import Metrics

__all__ = ["Drops"]

_REPORT_EVERY: Final = 1.0
_NAMES: Final = {int(kind): kind.name.lower() for kind in Kind}


class Drops:
    """The dropped frames of a connection: for the operator at once, for the member until it is told.

    Args:
        metrics: where the operator sees them.

    """

    __slots__ = ("_metrics", "_report_at", "_told", "_untold")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._untold: dict[int, Counter[tuple[str, str]]] = {}
        self._told: dict[int, Counter[tuple[str, str]]] = {}
        self._report_at = 0.0

    def note(self, kind: int, channel: int, reason: str) -> None:
        """Count one frame of this kind; a notice, which has none, is not counted."""
        name = _NAMES.get(kind)
        if name is None:
            return
        self._metrics.dropped[name] += 1
        self._metrics.dropped_for[f"{name}/{reason}"] += 1
        self._untold.setdefault(channel, Counter())[name, reason] += 1

    def of(self, channel: int) -> Mapping[tuple[str, str], int]:
        """Return what was dropped of a channel, by kind and reason."""
        return self._told.get(channel, Counter()) + self._untold.get(channel, Counter())

    def forget(self, channel: int) -> None:
        """Let go what was dropped of a channel whose membership has ended: there is nobody to tell."""
        self._told.pop(channel, None)
        self._untold.pop(channel, None)

    def hasten(self) -> None:
        """Let what is untold be told at once."""
        self._report_at = 0.0

    def due(self) -> float | None:
        """Return when there is something to tell, in monotonic seconds."""
        return self._report_at if self._untold else None

    def report(self, now: float) -> list[Dropped]:
        """Return the controls that tell what was dropped, a channel each, if it is time."""
        if not self._untold or now < self._report_at:
            return []
        untold, self._untold = self._untold, {}
        self._report_at = now + _REPORT_EVERY
        for channel, counts in untold.items():
            self._told.setdefault(channel, Counter()).update(counts)
        return [_told(channel, counts) for channel, counts in untold.items()]


def _told(channel: int, counts: Counter[tuple[str, str]]) -> Dropped:
    kinds: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for (kind, reason), count in counts.items():
        kinds[kind] += count
        reasons[reason] += count
    return Dropped(channel=channel, counts=dict(kinds), reasons=dict(reasons))
