"""Every window of a memory, tried as the key of a captured frame: this finds a key that nobody looks for.

A window is a run of 16 or 32 bytes with fewer than four zero bytes. Of random keys one in two million
(16 bytes) or in a hundred thousand (32 bytes) has more. To try one, what is known to stand in the
frame's first block is encrypted under it and compared with what was captured. A match counts once the
whole frame, tag and all, opens under it.

Pure but for the cipher. Several workers share a memory: each tries the windows whose checksum is its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["BLOCK", "ZEROS", "Puzzle", "Share", "Tried", "opens", "try_windows", "windows"]

ZEROS: Final = 4
"""A window with so many zero bytes is taken for no key."""
BLOCK: Final = 16
"""Bytes of the first block of a frame."""

_PAGE: Final = 4096
_REMEMBERED: Final = 1_000_000
_TOLD_EVERY: Final = 20_000


class Puzzle(NamedTuple):
    """A captured frame without its key; ``repr`` shows sizes."""

    key_size: int
    """16 or 32."""
    nonce: bytes
    aad: bytes
    body: bytes
    """Ciphertext and tag."""
    start: bytes
    """What is inside, a block of it at most."""

    def __repr__(self) -> str:
        return f"Puzzle({self.key_size}-byte key, {len(self.body)} bytes)"


@dataclass(frozen=True, slots=True)
class Share:
    """One worker's part, and its bounds."""

    index: int = 0
    of: int = 1
    stride: int = 8
    """Bytes from one window to the next."""
    most: int = 10_000_000
    """Candidates after which it gives up."""


@dataclass(slots=True)
class Tried:
    """What came of it."""

    candidates: int = 0
    """Different windows that were tried."""
    complete: bool = True
    """False when it gave up before the end."""
    found: list[tuple[int, int]] = field(default_factory=list)
    """Windows that are the key: (which text, offset in it)."""


def windows(data: bytes, size: int, stride: int) -> Iterator[tuple[int, bytes]]:
    """Return offset and content of every window that may be a key, at multiples of *stride*."""
    last = len(data) - size
    for page in range(0, last + 1, _PAGE):
        # Much of a process's memory is zero, and pages of it go by at the speed of C.
        end = min(page + _PAGE + size, len(data))
        if data.count(0, page, end) == end - page:
            continue
        for at in range(-(-page // stride) * stride, min(page + _PAGE, last + 1), stride):
            window = data[at : at + size]
            if window.count(0) < ZEROS:
                yield at, window


def opens(key: bytes, puzzle: Puzzle) -> bool:
    """Say whether the whole frame opens under *key*."""
    try:
        AESGCM(key).decrypt(puzzle.nonce, puzzle.body, puzzle.aad)
    except InvalidTag:
        return False
    return True


def try_windows(
    texts: Iterable[bytes], puzzle: Puzzle, share: Share, progress: Callable[[int], None]
) -> Tried:
    """Try this share of all windows; *progress* is told now and then how many bytes are done."""
    size, nonce, start = puzzle.key_size, puzzle.nonce, puzzle.start
    expected = puzzle.body[: len(start)]
    tried = Tried()
    seen: set[bytes] = set()
    done = 0
    for index, data in enumerate(texts):
        for at, window in windows(data, size, share.stride):
            if zlib.crc32(window) % share.of != share.index or window in seen:
                continue
            if tried.candidates >= share.most:
                tried.complete = False
                return tried
            if len(seen) >= _REMEMBERED:  # to try one twice costs less than to remember all
                seen.clear()
            seen.add(window)
            tried.candidates += 1
            if AESGCM(window).encrypt(nonce, start, None).startswith(expected) and opens(window, puzzle):
                tried.found.append((index, at))
            if tried.candidates % _TOLD_EVERY == 0:
                progress(done + at)
        done += len(data)
    return tried
