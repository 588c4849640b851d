"""The search of a recording: is anything in it that only the members should know?

Pure. A *needle* is something to look for; it is looked for as it is, in hexadecimal digits of both
cases, and in base64 of both alphabets at all three alignments. Audio is looked for in windows with so
many different bytes that no window matches by accident, silence least of all.

The search walks every text once for all needles. It looks at pieces of 8 bytes, every 8 bytes; of each
needle it knows the 8 pieces of which one *must* begin at such a place wherever the needle stands.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["NEEDLE_MIN", "WINDOW", "Needle", "Sweep", "evenly", "forms", "search", "windows"]

WINDOW: Final = 32
"""Bytes of one window of audio."""
DIFFERENT: Final = 12
"""Different byte values that a window of audio must have."""
WINDOWS_MAX: Final = 1_000
"""Windows of audio that are looked for."""

_PIECE: Final = 8
NEEDLE_MIN: Final = 2 * _PIECE - 1
"""Needles of fewer bytes would need another search: they are refused."""


@dataclass(frozen=True, slots=True)
class Needle:
    """Something to look for; ``repr`` does not show it."""

    name: str
    """What it is: ``messages``, ``audio``, ``content key`` …"""
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a search found."""

    needles: Counter[str]
    """How many needles were looked for, by name."""
    found: Counter[str]
    """How many of them were found at all."""
    hits: Counter[str]
    """How often they were found, all together, by name."""
    searched: int
    """Bytes."""

    @property
    def total(self) -> int:
        """All hits."""
        return sum(self.hits.values())


def forms(data: bytes) -> set[bytes]:
    """Return the byte strings as which *data* is looked for."""
    digits = data.hex().encode()
    found = {data, digits, digits.upper()}
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + data)
        # Characters that depend on the neighbours, or stand for no whole byte of the needle, do not count.
        cut = encoded[(8 * shift + 5) // 6 : 8 * (shift + len(data)) // 6]
        found |= {cut, cut.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def windows(frames: Iterable[bytes], step: int) -> list[bytes]:
    """Return what is looked for of these frames of samples: every different window, as they come.

    *step* is the bytes of one sample of all channels. Windows with few different bytes are left out: near
    silence might stand anywhere. Of more than ``WINDOWS_MAX`` evenly spread ones are taken.
    """
    size = WINDOW - WINDOW % step or step
    found = {
        part: None
        for pcm in frames
        for start in range(0, len(pcm) - size + 1, size)
        if len(set(part := pcm[start : start + size])) >= DIFFERENT
    }
    return evenly(list(found), WINDOWS_MAX)


def evenly(items: Sequence[bytes], most: int) -> list[bytes]:
    """Return at most so many of the items, from beginning to end at equal distances."""
    count = min(len(items), most)
    return [items[i * len(items) // count] for i in range(count)]


def search(texts: Sequence[bytes], needles: Iterable[Needle]) -> Sweep:
    """Look for all needles, in all forms, in all texts.

    Raises:
        ValueError: a needle has fewer than ``NEEDLE_MIN`` bytes.

    """
    wanted = dict.fromkeys(needles)
    pieces = _pieces(wanted)
    hits: Counter[Needle] = Counter()
    for text in texts:
        for start in range(0, len(text) - _PIECE + 1, _PIECE):
            for needle, form, inside in pieces.get(text[start : start + _PIECE], ()):
                if start >= inside and text.startswith(form, start - inside):
                    hits[needle] += 1
    by_name: Counter[str] = Counter()
    for needle, count in hits.items():
        by_name[needle.name] += count
    return Sweep(
        needles=Counter(needle.name for needle in wanted),
        found=Counter(needle.name for needle in hits),
        hits=by_name,
        searched=sum(map(len, texts)),
    )


def _pieces(needles: Iterable[Needle]) -> dict[bytes, list[tuple[Needle, bytes, int]]]:
    """Return the first 8 overlapping pieces of every form: (needle, form, where in it the piece stands)."""
    pieces: dict[bytes, list[tuple[Needle, bytes, int]]] = {}
    for needle in needles:
        if len(needle.data) < NEEDLE_MIN:
            raise ValueError(f"a needle has at least {NEEDLE_MIN} bytes")
        for form in _in_order(needle.data):
            for inside in range(_PIECE):
                pieces.setdefault(form[inside : inside + _PIECE], []).append((needle, form, inside))
    return pieces


def _in_order(data: bytes) -> Iterator[bytes]:
    yield from sorted(forms(data))
