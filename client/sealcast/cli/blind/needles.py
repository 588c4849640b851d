"""What is looked for, the encodings in which it is looked for, and the search. Pure.

A needle is looked for as it is, in hexadecimal digits of both cases, in base64 of both alphabets at
all three alignments, and as UTF-16 text in both byte orders (of itself when it is ASCII text, else of
its digits).

The search reads a text as numbers of 8 bytes, at every fourth byte. Of each encoding it knows the four
numbers of which one *must* begin at such a place wherever the encoding stands; so the whole text is
compared with all needles at once.
"""

from __future__ import annotations

import base64
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

__all__ = ["HITS_KEPT", "NEEDLE_MIN", "Form", "Hit", "Needle", "Sweep", "Text", "forms", "search"]

_PIECE: Final = 8
_STEP: Final = 4
NEEDLE_MIN: Final = _PIECE + _STEP - 1
"""Needles of fewer bytes would slip through the search: they are refused."""
HITS_KEPT: Final = 100
"""Hits of one needle whose place is kept; beyond that they are only counted."""

_BLOCK: Final = 1 << 16
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class Needle:
    """Something to look for; ``repr`` does not show it."""

    name: str
    """What it is, for people: ``AES key of ann, stream 2``."""
    data: bytes = field(repr=False)


class Form(NamedTuple):
    """One encoding of a needle."""

    name: str
    """``raw``, ``hex``, ``base64`` or ``UTF-16``."""
    data: bytes

    def __repr__(self) -> str:
        return f"Form({self.name}, {len(self.data)} bytes)"


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of what is searched; ``repr`` does not show it."""

    place: str
    """Where it is from: ``[heap]``, ``file relay.log``, ``to the relay, connection 3``."""
    data: bytes = field(repr=False)
    address: int = 0
    """The address of its first byte; 0 where places in it are offsets."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A needle that was found."""

    what: str
    form: str
    place: str
    address: int
    """Of its first byte: in memory an address, elsewhere an offset."""


@dataclass(slots=True)
class Sweep:
    """What a search found."""

    needles: int = 0
    """How many were looked for."""
    searched: int = 0
    """Bytes."""
    found: Counter[str] = field(default_factory=Counter)
    """How often each needle was found that was found at all, by name."""
    hits: list[Hit] = field(default_factory=list)
    """The first ``HITS_KEPT`` of each needle in each place."""
    kept: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many hits of a needle in a place there were."""

    @property
    def count(self) -> int:
        """Hits in all."""
        return self.found.total()


def forms(data: bytes) -> list[Form]:
    """Return the encodings of *data* that are looked for, none of them twice."""
    digits = data.hex()
    found = {Form("raw", data): None, Form("hex", digits.encode()): None}
    found[Form("hex", digits.upper().encode())] = None
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + data)
        # Characters that depend on the neighbours, or stand for no whole byte of the needle, do not count.
        cut = encoded[(8 * shift + 5) // 6 : 8 * (shift + len(data)) // 6]
        found[Form("base64", cut)] = None
        found[Form("base64", cut.translate(_URL_SAFE))] = None
    texts = [data.decode()] if data.isascii() and data.decode().isprintable() else [digits, digits.upper()]
    for text in texts:
        found[Form("UTF-16", text.encode("utf-16-le"))] = None
        found[Form("UTF-16", text.encode("utf-16-be"))] = None
    return list(found)


def search(texts: Iterable[Text], needles: Sequence[Needle]) -> Sweep:
    """Look for all needles, in all encodings, in all texts.

    Raises:
        ValueError: a needle has fewer than ``NEEDLE_MIN`` bytes.

    """
    pieces = _pieces(needles)
    wanted = frozenset(pieces)
    sweep = Sweep(needles=len(needles))
    for text in texts:
        sweep.searched += len(text.data)
        for at in _places(text.data, wanted):
            piece = int.from_bytes(text.data[at : at + _PIECE], sys.byteorder)
            for needle, form, inside in pieces[piece]:
                if at >= inside and text.data.startswith(form.data, at - inside):
                    _note(sweep, Hit(needle.name, form.name, text.place, text.address + at - inside))
    return sweep


def _note(sweep: Sweep, hit: Hit) -> None:
    sweep.found[hit.what] += 1
    sweep.kept[hit.what, hit.place] += 1
    if sweep.kept[hit.what, hit.place] <= HITS_KEPT:
        sweep.hits.append(hit)


def _places(data: bytes, wanted: frozenset[int]) -> Iterator[int]:
    """Return every fourth offset at which one of the wanted numbers stands."""
    for first in range(0, _PIECE, _STEP):
        size = max(0, len(data) - first) // _PIECE * _PIECE
        numbers = memoryview(data)[first : first + size].cast("Q")
        for start in range(0, len(numbers), _BLOCK):
            block = numbers[start : start + _BLOCK]
            if wanted.isdisjoint(block):  # nearly always, and at the speed of C
                continue
            for index, number in enumerate(block, start):
                if number in wanted:
                    yield first + index * _PIECE


def _pieces(needles: Iterable[Needle]) -> dict[int, list[tuple[Needle, Form, int]]]:
    """Return the first overlapping pieces of every form: (needle, form, where in it the piece stands)."""
    pieces: dict[int, list[tuple[Needle, Form, int]]] = {}
    for needle in needles:
        if len(needle.data) < NEEDLE_MIN:
            raise ValueError(f"a needle has at least {NEEDLE_MIN} bytes")
        for form in forms(needle.data):
            for inside in range(_STEP):
                piece = int.from_bytes(form.data[inside : inside + _PIECE], sys.byteorder)
                pieces.setdefault(piece, []).append((needle, form, inside))
    return pieces
