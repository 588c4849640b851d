"""What members send to each other directly, through the relay and unread by it.

::

    direct = u8 type | body        1 wrap: see ``wrap``        2 ack: u32 epoch | u8 step

An ack says that a wrap's key is held. It is not signed: a false one makes a sender use its new key a
little early, and the relay can cause worse by withholding the wrap.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from sealcast.client.errors import WrapMalformed

from .ratchet import STEP_MAX
from .reader import Reader

__all__ = ["DIRECT_MAX", "Ack", "Direct", "DirectType", "encode_ack", "encode_wrap", "read_direct"]

DIRECT_MAX: Final = 4096
"""The largest payload of a ``direct`` control, in bytes."""


class DirectType(enum.IntEnum):
    """The first byte of a direct payload."""

    WRAP = 1
    ACK = 2


class Direct(NamedTuple):
    """A payload for one member, to be sent before any frame that is sealed later."""

    member: int
    data: bytes

    def __repr__(self) -> str:
        return f"Direct(member={self.member}, {len(self.data)} bytes)"


class Ack(NamedTuple):
    """The key of this epoch and step has arrived."""

    epoch: int
    step: int


def encode_wrap(wrap: bytes) -> bytes:
    """Return the payload that carries a wrap."""
    return bytes((DirectType.WRAP,)) + wrap


def encode_ack(epoch: int, step: int) -> bytes:
    """Return the payload that carries an ack."""
    return bytes((DirectType.ACK,)) + epoch.to_bytes(4, "big") + step.to_bytes(1, "big")


def read_direct(data: bytes) -> bytes | Ack:
    """Return the wrap, as bytes, or the ack in a direct payload.

    Raises:
        WrapMalformed: too long, of an unknown type, or an ack of the wrong size.

    """
    if len(data) > DIRECT_MAX:
        raise WrapMalformed("the direct payload is too long")
    reader = Reader(data, "direct payload", WrapMalformed)
    kind = reader.integer(1)
    if kind == DirectType.WRAP:
        return reader.rest()
    if kind != DirectType.ACK:
        raise reader.refuse("is of an unknown type")
    epoch, step = reader.integer(4), reader.integer(1)
    if step > STEP_MAX:
        raise reader.refuse("names a step that does not exist")
    reader.end()
    return Ack(epoch, step)
