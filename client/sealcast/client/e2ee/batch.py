"""Batch signatures: who of the members sent the media, known within half a second, for little.

::

    body = u8 1 | u8 n | n x (u16 KID | u64 first counter | u8 b | bitmap(b) | 12 bytes for each set bit)

A control frame, signed like every one, that covers what its sender has sealed in the last 500 ms. Bit
i of the bitmap, from the highest, stands for the first counter + i; for each that is set, in that order,
there are the first 12 bytes of the SHA-256 of the frame from the descriptor to the tag. The whole
ciphertext is hashed: a GCM tag alone stands for many frames to who has the key.

Frames are delivered at once. What the signature says about them comes after.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from sealcast.client.errors import OpenFailed
from sealcast.protocol.descriptor import BYTES
from sealcast.protocol.sframe import read_header

from .reader import Reader
from .rekey import Name

__all__ = [
    "BATCH",
    "BATCH_FRAMES",
    "BATCH_SECONDS",
    "DIGEST",
    "SIGNED_WITHIN",
    "BatchReader",
    "BatchWriter",
    "Run",
    "Verdict",
    "encode_batch",
    "frame_digest",
    "read_batch",
]

BATCH: Final = 1
"""The first byte of a batch's body."""
BATCH_SECONDS: Final = 0.5
BATCH_FRAMES: Final = 256
"""Frames after which a batch is sent without waiting."""
DIGEST: Final = 12
SIGNED_WITHIN: Final = 1.5
"""Seconds after which a frame that no batch covers counts as unsigned."""
AWAITED_EACH: Final = 4096
"""Frames of one session that may wait for their batch; the oldest beyond count as unsigned."""

_BITS_MAX: Final = 255 * 8
_KID_MAX: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Run:
    """The frames of one key id in a batch: counters, in rising order, with their digests."""

    kid: int
    frames: tuple[tuple[int, bytes], ...]


def frame_digest(frame: bytes) -> bytes:
    """Return what a batch says of a frame (``D | SFrame``)."""
    return hashlib.sha256(frame).digest()[:DIGEST]


def encode_batch(runs: Iterable[Run]) -> bytes:
    """Return the body of a batch.

    Raises:
        ValueError: more runs than fit, an empty one, or counters that are too far apart.

    """
    parts = [b""]
    for run in runs:
        first = run.frames[0][0] if run.frames else 0
        span = run.frames[-1][0] - first + 1 if run.frames else 0
        if not 0 < span <= _BITS_MAX:
            raise ValueError("a run holds frames whose counters are at most 2040 apart")
        size = -(-span // 8)
        bits = 0
        for ctr, _ in run.frames:
            bits |= 1 << 8 * size - 1 - (ctr - first)
        parts.append(run.kid.to_bytes(2, "big") + first.to_bytes(8, "big") + bytes((size,)))
        parts.append(bits.to_bytes(size, "big") + b"".join(digest for _, digest in run.frames))
    count = (len(parts) - 1) // 2
    if count > 255:
        raise ValueError("a batch holds at most 255 runs")
    parts[0] = bytes((BATCH, count))
    return b"".join(parts)


def read_batch(body: bytes) -> tuple[Run, ...]:
    """Parse the body of a batch.

    Raises:
        OpenFailed: it is malformed, or names a key id twice.

    """
    reader = Reader(body, "batch of signatures", OpenFailed)
    if reader.integer(1) != BATCH:
        raise reader.refuse("is of an unknown kind")
    runs: dict[int, Run] = {}
    for _ in range(reader.integer(1)):
        kid, first, size = reader.integer(2), reader.integer(8), reader.integer(1)
        bits = reader.integer(size)
        counters = [first + i for i in range(size * 8) if bits >> size * 8 - 1 - i & 1]
        if not counters or counters[0] != first or kid in runs:
            raise reader.refuse("has a run that is empty, begins late or comes twice")
        runs[kid] = Run(kid, tuple((ctr, reader.take(DIGEST)) for ctr in counters))
    reader.end()
    return tuple(runs.values())


class BatchWriter:
    """Collects what this side seals. ``add`` may be called from several threads."""

    __slots__ = ("_count", "_frames", "_lock", "_since")

    def __init__(self) -> None:
        self._frames: dict[int, list[tuple[int, bytes]]] = {}
        self._count = 0
        self._since: float | None = None
        self._lock = threading.Lock()

    def add(self, frame: bytes) -> None:
        """Note a sealed frame."""
        kid, ctr, _ = read_header(frame, BYTES)
        with self._lock:
            self._frames.setdefault(kid, []).append((ctr, frame_digest(frame)))
            self._count += 1

    @property
    def waits_for_start(self) -> bool:
        """Whether ``start`` has to be called, or the batch is full."""
        return self._count > 0 and (self._since is None or self._count >= BATCH_FRAMES)

    def start(self, now: float) -> None:
        """Let the half second run from *now*, if there is something and it does not run yet."""
        if self._count and self._since is None:
            self._since = now

    def next_timeout(self) -> float | None:
        """Return when the batch is to be sent."""
        return None if self._since is None else self._since + BATCH_SECONDS

    def take(self, now: float) -> list[bytes]:
        """Return the bodies that are to be sent at *now*, and begin anew."""
        due = self._since is not None and now >= self._since + BATCH_SECONDS
        with self._lock:
            if not due and self._count < BATCH_FRAMES:
                return []
            frames, self._frames, self._count = self._frames, {}, 0
        self._since = None
        return [encode_batch(part) for part in _parts(frames)]


def _parts(frames: dict[int, list[tuple[int, bytes]]]) -> list[list[Run]]:
    """Cut into batches in which no key id comes twice and no run is too long."""
    parts: list[list[Run]] = []
    for kid, noted in sorted(frames.items()):
        cut: list[list[tuple[int, bytes]]] = []
        # Threads may note frames in another order than that of their counters.
        for ctr, digest in sorted(noted):
            if not cut or ctr - cut[-1][0][0] >= _BITS_MAX:
                cut.append([])
            cut[-1].append((ctr, digest))
        for place, run in enumerate(cut):
            if place == len(parts):
                parts.append([])
            parts[place].append(Run(kid, tuple(run)))
    return [part[i : i + 255] for part in parts for i in range(0, len(part), 255)]


class Verdict(NamedTuple):
    """What signatures say about frames of one stream that were delivered."""

    name: Name
    stream: int
    good: int
    bad: int
    """Frames that their sender has not signed: made by another member, or changed by one."""


class _Awaited(NamedTuple):
    digest: bytes
    until: float


class BatchReader:
    """Waits with the digests of what was delivered for the batches that vouch for it."""

    __slots__ = ("_awaited", "_each", "_unsigned")

    def __init__(self, *, each: int = AWAITED_EACH) -> None:
        self._each = each
        self._awaited: dict[Name, dict[tuple[int, int], _Awaited]] = {}
        self._unsigned: list[tuple[Name, int]] = []

    def note(self, name: Name, kid: int, ctr: int, frame: bytes, now: float) -> None:
        """Note a media frame that was opened."""
        frames = self._awaited.setdefault(name, {})
        frames[kid, ctr] = _Awaited(frame_digest(frame), now + SIGNED_WITHIN)
        if len(frames) > self._each:
            oldest = next(iter(frames))
            del frames[oldest]
            self._unsigned.append((name, oldest[0] >> 8))

    def batch(self, name: Name, runs: Iterable[Run]) -> list[Verdict]:
        """Take an authentic batch of *name*; return what it says of the frames that came."""
        frames = self._awaited.get(name, {})
        counts: dict[int, list[int]] = {}
        for run in runs:
            signed = dict(run.frames)
            last = run.frames[-1][0]
            for kid, ctr in [key for key in frames if key[0] == run.kid and key[1] <= last]:
                awaited = frames.pop((kid, ctr))
                good = signed.get(ctr) == awaited.digest
                counts.setdefault(kid >> 8, [0, 0])[0 if good else 1] += 1
        return [Verdict(name, stream, good, bad) for stream, (good, bad) in counts.items()]

    def forget(self, name: Name) -> None:
        """Let a session go; what is still awaited of it counts as unsigned, at the next timeout."""
        for kid, _ in self._awaited.pop(name, {}):
            self._unsigned.append((name, kid >> 8))

    def next_timeout(self) -> float | None:
        """Return when the first frame counts as unsigned; None when none is awaited."""
        if self._unsigned:
            return 0.0
        firsts = (next(iter(frames.values())).until for frames in self._awaited.values() if frames)
        return min(firsts, default=None)

    def handle_timeout(self, now: float) -> list[Verdict]:
        """Return the frames that no batch has covered in time."""
        late, self._unsigned = self._unsigned, []
        for name, frames in list(self._awaited.items()):
            while frames and (first := next(iter(frames.items())))[1].until <= now:
                del frames[first[0]]
                late.append((name, first[0][0] >> 8))
            if not frames:
                del self._awaited[name]
        return [Verdict(name, stream, 0, late.count((name, stream))) for name, stream in dict.fromkeys(late)]
