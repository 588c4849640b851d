"""Durations and sizes as people write them: ``30s``, ``1h30m``, ``64KiB``.

The configuration file, the environment and the command line all read them here.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["seconds", "show_seconds", "show_size", "size"]

_TEXT_MAX: Final = 32
"""Characters of the longest text that is looked at."""

_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_BYTES: Final = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_DURATION: Final = re.compile(rf"(?:{_NUMBER}(?:ms|[smhd]))+", re.ASCII)
_STEP: Final = re.compile(rf"({_NUMBER})(ms|[smhd])", re.ASCII)
_SIZE: Final = re.compile(rf"({_NUMBER}) ?([kmg]?i?b)", re.ASCII | re.IGNORECASE)


def seconds(text: str) -> float:
    """Return a duration in seconds: ``30`` or ``30s``, ``500ms``, ``5m``, ``1h30m``, ``1d``.

    Raises ValueError, which says what was expected and does not repeat the text.
    """
    bare = text.strip()
    if len(bare) <= _TEXT_MAX:
        if re.fullmatch(_NUMBER, bare, re.ASCII):
            return float(bare)
        if _DURATION.fullmatch(bare):
            return sum(float(number) * _SECONDS[unit] for number, unit in _STEP.findall(bare))
    raise ValueError("not a duration: write seconds, or 500ms, 30s, 5m, 1h30m")


def size(text: str) -> int:
    """Return a number of bytes: ``65536``, ``64KiB``, ``1MiB`` (of 1024), ``64kB``, ``1MB`` (of 1000).

    Raises ValueError, which says what was expected and does not repeat the text.
    """
    bare = text.strip()
    if len(bare) <= _TEXT_MAX:
        if re.fullmatch("[0-9]+", bare, re.ASCII):
            return int(bare)
        match = _SIZE.fullmatch(bare)
        unit = match[2].lower() if match else ""
        if match and unit in _BYTES:
            number = float(match[1]) * _BYTES[unit]
            if number.is_integer():
                return int(number)
    raise ValueError("not a size: write whole bytes, or 64KiB, 1MiB, 64kB, 1MB")


def show_seconds(value: float) -> str:
    """Return a duration in the largest unit that takes it whole: ``5m``, ``25s``, ``500ms``."""
    for unit in ("d", "h", "m"):
        if value and value % _SECONDS[unit] == 0:
            return f"{value / _SECONDS[unit]:.0f}{unit}"
    if value and value < 1 and (value * 1000).is_integer():
        return f"{value * 1000:.0f}ms"
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"


def show_size(value: int) -> str:
    """Return a size in the largest unit of 1024 that takes it whole: ``256KiB``, ``1MiB``, ``100B``."""
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if value and value % unit == 0:
            return f"{value // unit}{name}"
    return f"{value}B"
