"""Charts as SVG, by hand: lines over a logarithmic scale, and bars. No library, no font but the reader's."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape

__all__ = ["bars", "lines"]

_WIDTH, _LEFT, _RIGHT, _TOP = 760, 80, 190, 56
_COLOURS = ("#0b6e4f", "#c1121f", "#1d4e89", "#8a5a00", "#6a4c93", "#4a4e69", "#007f86", "#b5179e")
_STYLE = "font-family: system-ui, sans-serif; font-size: 13px; fill: #1b1b1b"


def lines(
    title: str, across: str, up: str, series: Mapping[str, Sequence[tuple[float, float]]], note: str = ""
) -> str:
    """Return a chart of points joined by lines, both scales logarithmic; *note* stands below the title."""
    height, bottom = 420, 56
    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    low, high = _decade(min(ys), math.floor), _decade(max(ys), math.ceil)
    place_x = _scale(min(xs), max(xs), _LEFT, _WIDTH - _RIGHT)
    place_y = _scale(low, high, height - bottom, _TOP)
    parts = [*_heading(title, note)]
    for tick in _ticks(low, high):
        y = place_y(tick)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(_LEFT - 8, y + 4, _number(tick), anchor="end"))
    for x in sorted(set(xs)):
        parts.append(_text(place_x(x), height - bottom + 18, _number(x), anchor="middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, height - 12, across, anchor="middle"))
    parts.append(
        f'<text transform="translate(18 {(_TOP + height - bottom) / 2:.0f}) rotate(-90)"'
        f' text-anchor="middle">{escape(up)}</text>'
    )
    for number, (name, points) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in sorted(points))
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [
            f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3.5" fill="{colour}"/>'
            for x, y in points
        ]
        at = _TOP + 18 * number + 6
        parts.append(
            f'<rect x="{_WIDTH - _RIGHT + 16}" y="{at - 10}" width="12" height="12" fill="{colour}"/>'
        )
        parts.append(_text(_WIDTH - _RIGHT + 34, at, name))
    return _document(height, title, parts)


def bars(title: str, up: str, values: Mapping[str, float], note: str = "") -> str:
    """Return horizontal bars on a logarithmic scale, each with its value."""
    height = _TOP + 26 * len(values) + 40
    low = _decade(min(values.values()), math.floor) / 2
    left = 190
    place = _scale(low, max(values.values()), left, _WIDTH - 120)
    parts = [*_heading(title, note)]
    for number, (name, value) in enumerate(values.items()):
        y = _TOP + 26 * number
        colour = _COLOURS[0] if name.startswith("sealcast") else "#8d99ae"
        width = place(value) - left
        parts.append(_text(left - 8, y + 14, name, anchor="end"))
        parts.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="20" fill="{colour}"/>')
        parts.append(_text(left + width + 8, y + 14, _number(value)))
    parts.append(_text(left, height - 14, f"{up}, logarithmic"))
    return _document(height, title, parts)


def _document(height: float, title: str, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" role="img" aria-label="{escape(title)}" style="{_STYLE}">\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _heading(title: str, note: str) -> list[str]:
    first = f'<text x="16" y="24" style="font-size: 16px; font-weight: 600">{escape(title)}</text>'
    return [first, _text(16, 42, note)] if note else [first]


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    span = math.log(high / low) or 1.0
    return lambda value: start + (end - start) * math.log(value / low) / span


def _decade(value: float, side: Callable[[float], int]) -> float:
    return float(10.0 ** side(math.log10(value)))


def _ticks(low: float, high: float) -> list[float]:
    ticks, tick = [], low
    while tick <= high * 1.001:
        ticks.append(tick)
        tick *= 10
    return ticks


def _number(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
