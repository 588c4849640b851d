"""The envelope: what the relay reads to route a binary message, and nothing more.

Every WebSocket message of sealcast.1 is binary and starts with a type byte; integers are big-endian.

====================== ======= =====================================================================
``0x00`` control        both    one MessagePack array, see ``controls``
``0x01`` frame          both    ``01 000000 | u32 channel | u32 member | D(4) | SFrame``
``0x02`` message        → srv   ``02 000000 | u32 channel | u32 member | u32 ref | D(4) | SFrame``
``0x03`` delivered      → clt   ``03 000000 | u32 channel | u32 member | u64 offset | D(4) | SFrame``
====================== ======= =====================================================================

Bytes 4 to 12, channel and member, are the *route key*: the relay finds the sending member with one
lookup of these eight bytes, which is also the proof that this session may send as that member.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from .codes import end, reply
from .errors import RemoteProtocolError

__all__ = [
    "CONTROL",
    "DELIVERED",
    "DELIVERED_START",
    "FRAME",
    "FRAME_START",
    "MESSAGE",
    "MESSAGE_START",
    "Envelope",
    "decode",
    "delivered",
    "frame",
    "message",
    "route_key",
]

CONTROL: Final = 0x00
FRAME: Final = 0x01
MESSAGE: Final = 0x02
DELIVERED: Final = 0x03

FRAME_START: Final = 12
"""Where the descriptor starts in a frame."""
MESSAGE_START: Final = 16
"""Where the descriptor starts in a message on its way to the server."""
DELIVERED_START: Final = 20
"""Where the descriptor starts in a delivered message."""

_FRAME = struct.Struct(">III")
_MESSAGE = struct.Struct(">IIII")
_DELIVERED = struct.Struct(">IIIQ")
_ROUTE = struct.Struct(">II")

_DESCRIPTOR_BYTES = 4


class Envelope(NamedTuple):
    """What stands before the descriptor."""

    type: int
    channel: int
    member: int
    number: int
    """The ref of a message, the offset of a delivered one, 0 for a frame."""
    start: int
    """Where the descriptor starts."""


def route_key(channel: int, member: int) -> bytes:
    """Return the eight bytes by which the relay finds a sending member."""
    return _ROUTE.pack(channel, member)


def frame(channel: int, member: int, sealed: bytes) -> bytes:
    """Put the envelope of a frame before *sealed* (``D | SFrame``)."""
    return _FRAME.pack(FRAME << 24, channel, member) + sealed


def message(channel: int, member: int, ref: int, sealed: bytes) -> bytes:
    """Put the envelope of a message to the server before *sealed*; *ref* is echoed in its ack."""
    return _MESSAGE.pack(MESSAGE << 24, channel, member, ref) + sealed


def delivered(channel: int, member: int, offset: int, sealed: bytes | memoryview) -> bytes:
    """Put the envelope of a delivered message before *sealed*; *offset* is its place in the channel."""
    return b"".join((_DELIVERED.pack(DELIVERED << 24, channel, member, offset), sealed))


def decode(data: bytes | memoryview) -> Envelope:
    """Read the envelope of a frame, message or delivered message.

    Raises:
        RemoteProtocolError: with the end code ``protocol_error`` for an unknown type, and with the
            reply code ``bad_frame`` when the message is cut short or its reserved bytes are not zero.

    """
    kind = data[0] if len(data) else -1
    if kind == FRAME:
        layout, start = _FRAME, FRAME_START
    elif kind == MESSAGE:
        layout, start = _MESSAGE, MESSAGE_START
    elif kind == DELIVERED:
        layout, start = _DELIVERED, DELIVERED_START
    else:
        raise RemoteProtocolError("a binary message of unknown type", end("protocol_error"))
    if len(data) < start + _DESCRIPTOR_BYTES:
        raise RemoteProtocolError("an envelope cut short", reply("bad_frame"))
    head, channel, member, *rest = layout.unpack_from(data)
    if head & 0xFFFFFF:
        raise RemoteProtocolError("reserved bytes of an envelope are not zero", reply("bad_frame"))
    return Envelope(kind, channel, member, rest[0] if rest else 0, start)
