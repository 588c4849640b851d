"""Pictures of a run: cost against members, frame size and channels, and the servers side by side."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from .svg import bars, lines

__all__ = ["draw"]

_SWEEPS = {
    "members": ("What a delivery costs in a channel of so many members", "members, one of them sends"),
    "size": ("What a delivery costs by the size of a frame", "bytes of a frame, 1 to 100"),
    "channels": ("What a delivery costs with so many channels of 4", "channels"),
}
_BARS = {
    "fanout-100-200-windowed": (
        "1 to 100, a full window of 200 B frames",
        "deliveries_per_second",
        "deliveries per second",
    ),
    "conference-50": (
        "A conference of 50 at 20 frames/s",
        "us_per_delivery",
        "µs of server CPU per delivery",
    ),
}


def draw(results: dict[str, Any], stem: Path) -> list[Path]:
    """Write the pictures that the rounds of a run allow, as ``{stem}-{name}.svg``; return their paths."""
    rounds = [row for row in results["rounds"] if "values" in row and "faults" not in row]
    note = f"{results['machine'].get('cpu', '')}, {results['machine'].get('date', '')[:10]}; medians"
    drawn: list[Path] = []
    for name, (title, across) in _SWEEPS.items():
        series = _series(rounds, name)
        if any(len(points) > 1 for points in series.values()):
            picture = lines(title, across, "µs of server CPU", series, note)
            drawn.append(_write(stem, name, picture))
    for workload, (title, key, up) in _BARS.items():
        values = _by_peer((row for row in rounds if row["workload"] == workload), key)
        if len(values) > 1:
            best_first = dict(sorted(values.items(), key=lambda item: item[1], reverse="per_second" in key))
            drawn.append(_write(stem, workload, bars(title, up, best_first, note)))
    return drawn


def _series(rounds: Iterable[dict[str, Any]], sweep: str) -> dict[str, list[tuple[float, float]]]:
    """Return, for each server, the points (size of the sweep, cost of a delivery)."""
    points: dict[float, list[dict[str, Any]]] = {}
    for row in rounds:
        kind, _, number = row["workload"].rpartition("-")
        if row["part"] == "sweep" and kind == sweep:
            points.setdefault(float(number), []).append(row)
    series: dict[str, list[tuple[float, float]]] = {}
    for at, rows in sorted(points.items()):
        for peer, cost in _by_peer(rows, "us_per_delivery").items():
            series.setdefault(peer, []).append((at, cost))
    return series


def _by_peer(rows: Iterable[dict[str, Any]], key: str) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for row in rows:
        if row["values"].get(key):
            values.setdefault(row["peer"], []).append(row["values"][key])
    return {peer: median(each) for peer, each in values.items()}


def _write(stem: Path, name: str, picture: str) -> Path:
    path = stem.with_name(f"{stem.name}-{name}.svg")
    path.write_text(picture)
    return path
