"""Every window of a memory, tried as the key of captured frames: this finds a key that nobody looks for.

A window is a run of 16 or 32 bytes with fewer than four zero bytes. Of random keys one in two million
(16 bytes) or in a hundred thousand (32 bytes) has more. To try one, the first counter block of every
frame is encrypted under it, all in one go: GCM and CCM add a frame's first block to exactly that, and
what stands in the block is known, so what must come out is known too. A match counts once the whole
frame, tag and all, opens under it.

Pure but for the cipher. Several workers share a memory: each tries the windows whose checksum is its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

__all__ = ["BLOCK", "ZEROS", "Mode", "Share", "Target", "Tried", "opens", "try_windows", "windows"]

Mode: TypeAlias = Literal["gcm", "ccm"]
"""How a frame is sealed under its AES key, with a nonce of 12 bytes and a tag of 16."""
ZEROS: Final = 4
"""A window with so many zero bytes is taken for no key."""
BLOCK: Final = 16
"""Bytes of the first block of a frame."""

_PAGE: Final = 4096
_REMEMBERED: Final = 1_000_000
_TOLD_EVERY: Final = 20_000


class Target(NamedTuple):
    """A captured frame without its key; ``repr`` shows sizes."""

    mode: Mode
    nonce: bytes
    aad: bytes
    body: bytes
    """Ciphertext and tag."""
    start: bytes
    """What is inside, its first block."""

    def __repr__(self) -> str:
        return f"Target({self.mode}, {len(self.body)} bytes)"

    @property
    def counter(self) -> bytes:
        """The block whose encryption is added to the first block of the frame."""
        if self.mode == "gcm":  # NIST SP 800-38D: 1 is for the tag
            return self.nonce + b"\0\0\0\2"
        return b"\2" + self.nonce + b"\0\0\1"  # RFC 3610 with a length of three bytes: 0 is for the tag

    @property
    def stream(self) -> bytes:
        """What the encryption of ``counter`` must be."""
        return bytes(one ^ other for one, other in zip(self.body, self.start, strict=False))


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
    found: list[tuple[int, int, int]] = field(default_factory=list)
    """Windows that are a key: (which text, offset in it, of which target)."""


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


def opens(key: bytes, target: Target) -> bool:
    """Say whether the whole frame opens under *key*."""
    aead = AESGCM(key) if target.mode == "gcm" else AESCCM(key)
    try:
        aead.decrypt(target.nonce, target.body, target.aad)
    except InvalidTag:
        return False
    return True


class _Trial:
    """All targets, made ready to be tried with one window after the other."""

    def __init__(self, targets: Sequence[Target]) -> None:
        if any(len(target.start) != BLOCK for target in targets):
            raise ValueError("of every target the whole first block must be known")
        self._targets = targets
        self._counters = b"".join(target.counter for target in targets)
        self._streams = [target.stream for target in targets]
        self._first = int.from_bytes(bytes(stream[0] for stream in self._streams), "big")
        self._ecb = modes.ECB()  # noqa: S305 - the bare block cipher is what counter modes are made of

    def fitting(self, window: bytes) -> list[int]:
        """Return the targets that open under *window*."""
        made = Cipher(algorithms.AES(window), self._ecb).encryptor().update(self._counters)
        # One byte of each block at a time leaves a few to be looked at, and costs next to nothing.
        count = len(self._targets)
        different = (int.from_bytes(made[::BLOCK], "big") ^ self._first).to_bytes(count, "big")
        found = []
        at = different.find(0)
        while at >= 0:
            block = made[at * BLOCK : (at + 1) * BLOCK]
            if block == self._streams[at] and opens(window, self._targets[at]):
                found.append(at)
            at = different.find(0, at + 1)
        return found


def try_windows(
    texts: Iterable[bytes],
    key_size: int,
    targets: Sequence[Target],
    share: Share,
    progress: Callable[[int], None],
) -> Tried:
    """Try this share of all windows as the key of any target; *progress* is told how many bytes are done.

    Raises:
        ValueError: a target's first block is not known, or *key_size* is not that of an AES key.

    """
    trial = _Trial(targets)
    tried = Tried()
    seen: set[bytes] = set()
    done = 0
    for index, data in enumerate(texts):
        for at, window in windows(data, key_size, share.stride):
            if zlib.crc32(window) % share.of != share.index or window in seen:
                continue
            if tried.candidates >= share.most:
                tried.complete = False
                return tried
            if len(seen) >= _REMEMBERED:  # to try one twice costs less than to remember all
                seen.clear()
            seen.add(window)
            tried.candidates += 1
            tried.found += [(index, at, target) for target in trial.fitting(window)]
            if tried.candidates % _TOLD_EVERY == 0:
                progress(done + at)
        done += len(data)
    return tried
