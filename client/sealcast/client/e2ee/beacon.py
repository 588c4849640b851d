"""The beacon: a sealed and signed control frame by which a sender proves that it is here now.

::

    body = 16 zero bytes | u64 milliseconds since 1970 | u32 epoch
           | u8 n | n x (u8 stream | u64 next counter) | u8 m | m x challenge(8) | roster(32)

Echoing a receiver's challenge proves that the session is not yesterday's; the counters show what was
withheld; the roster hash shows who is given another picture of the channel. The zero bytes make the
frame open under one key only: AES-GCM by itself promises no such thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sealcast.client.errors import OpenFailed

from .hello import CHALLENGE
from .reader import Reader

__all__ = ["ECHOES_MAX", "ROSTER", "ZEROS", "Beacon", "encode_beacon", "read_beacon"]

ZEROS: Final = bytes(16)
ROSTER: Final = 32
ECHOES_MAX: Final = 255
"""Challenges that fit into one beacon."""
_STREAMS_MAX: Final = 255


@dataclass(frozen=True, slots=True)
class Beacon:
    """What a beacon says."""

    time_ms: int
    epoch: int
    streams: tuple[tuple[int, int], ...]
    """For each stream sealed under the present key: its number and the counter that comes next."""
    challenges: tuple[bytes, ...]
    """Challenges from the hellos of others, echoed."""
    roster: bytes
    """The hash of who is there, as the sender sees it (``roster_hash``)."""


def encode_beacon(beacon: Beacon) -> bytes:
    """Return the body.

    Raises:
        ValueError: more streams or challenges than fit.

    """
    if len(beacon.streams) > _STREAMS_MAX or len(beacon.challenges) > ECHOES_MAX:
        raise ValueError("a beacon holds at most 255 streams and 255 challenges")
    return b"".join(
        (
            ZEROS,
            beacon.time_ms.to_bytes(8, "big"),
            beacon.epoch.to_bytes(4, "big"),
            len(beacon.streams).to_bytes(1, "big"),
            *(bytes((stream,)) + following.to_bytes(8, "big") for stream, following in beacon.streams),
            len(beacon.challenges).to_bytes(1, "big"),
            *beacon.challenges,
            beacon.roster,
        )
    )


def read_beacon(body: bytes) -> Beacon:
    """Parse the body of a beacon.

    Raises:
        OpenFailed: it does not begin with the zero bytes, is cut short, or has bytes left over.

    """
    reader = Reader(body, "beacon", OpenFailed)
    if reader.take(len(ZEROS)) != ZEROS:
        raise reader.refuse("does not begin as one")
    time_ms, epoch = reader.integer(8), reader.integer(4)
    streams = tuple((reader.integer(1), reader.integer(8)) for _ in range(reader.integer(1)))
    challenges = tuple(reader.take(CHALLENGE) for _ in range(reader.integer(1)))
    roster = reader.take(ROSTER)
    reader.end()
    return Beacon(time_ms, epoch, streams, challenges, roster)
