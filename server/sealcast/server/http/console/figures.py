"""Figures over time: what was counted at one moment after the other, as values for a chart. Bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["KEPT", "Counts", "Row", "Rows", "Series"]

KEPT: Final = 120
"""Values in a series."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted at one moment."""

    at: float
    """Monotonic seconds."""
    levels: Mapping[str, float] = field(default_factory=dict)
    """What there is now; a value of the series as it is."""
    sums: Mapping[str, float] = field(default_factory=dict)
    """What grows; the series has how much a second."""
    parts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Two that grow; the series has the first over the second, or nothing where nothing came."""


class Series:
    """The newest values of some figures."""

    def __init__(self) -> None:
        self._last: Counts | None = None
        self._points: deque[dict[str, float | None]] = deque(maxlen=KEPT)

    def add(self, counts: Counts) -> None:
        """Take what is counted now; at a moment that was already there nothing happens."""
        last, self._last = self._last, counts
        if last is None:
            point: dict[str, float | None] = {**counts.levels, **dict.fromkeys(counts.sums, 0.0)}
            self._points.append({**point, **dict.fromkeys(counts.parts)})
            return
        span = counts.at - last.at
        if span <= 0:
            self._last = last
            return
        point = dict(counts.levels)
        for name, value in counts.sums.items():
            point[name] = round(max(value - last.sums.get(name, value), 0.0) / span, 3)
        for name, (part, whole) in counts.parts.items():
            before, all_before = last.parts.get(name, (part, whole))
            came = whole - all_before
            point[name] = round((part - before) / came, 6) if came > 0 else None
        self._points.append(point)

    @property
    def values(self) -> dict[str, list[float | None]]:
        """The values of every figure, oldest first."""
        names = list(self._points[-1]) if self._points else []
        return {name: [point.get(name) for point in self._points] for name in names}

    @property
    def latest(self) -> dict[str, float | None]:
        """The newest value of every figure."""
        return dict(self._points[-1]) if self._points else {}


@dataclass(frozen=True, slots=True)
class Row:
    """One of several things in a table."""

    key: str
    shown: Mapping[str, Any]
    sums: Mapping[str, float] = field(default_factory=dict)
    """What grows; the table has how much a second."""


class Rows:
    """The rows of a table, with how much came a second since the last look."""

    def __init__(self) -> None:
        self._at = 0.0
        self._before: dict[str, Mapping[str, float]] = {}
        self._values: list[dict[str, Any]] = []

    def put(self, rows: Sequence[Row], now: float) -> None:
        """Take what is there now."""
        span = now - self._at
        if span <= 0 and self._values:
            return
        self._values = [{**row.shown, **self._rates(row, span), "key": row.key} for row in rows]
        self._before = {row.key: row.sums for row in rows}
        self._at = now

    def keep(self, keys: Container[str]) -> None:
        """Leave out the rows of what is not there any more."""
        self._values = [row for row in self._values if row["key"] in keys]

    def _rates(self, row: Row, span: float) -> dict[str, float | None]:
        before = self._before.get(row.key)
        if before is None or span <= 0:
            return dict.fromkeys(row.sums)
        return {
            name: round(max(value - before.get(name, value), 0.0) / span, 3)
            for name, value in row.sums.items()
        }

    @property
    def values(self) -> list[dict[str, Any]]:
        """One mapping for each row."""
        return self._values
