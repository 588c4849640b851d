"""The descriptor: four clear bytes before every sealed frame, all that the relay may read of it.

::

    byte 0   version (4 bits) | kind (4 bits)       version 1 sealed, 2 clear text
    byte 1   flags                                  01 keyframe 02 discardable 04 end of group 08 padded
                                                    10 signed 20 keep 40 custom 80 reserved, zero
    byte 2   temporal layer (3) | spatial layer (2) | priority (3)
    byte 3   stream

The kind decides the streams it may use: 0 carries control, 1 carries messages, 2-255 carry frames.
A sealed frame authenticates its descriptor: the relay can act on it and cannot change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from .codes import reply
from .errors import LocalProtocolError, RemoteProtocolError
from .names import Kind

__all__ = [
    "BYTES",
    "CLEAR",
    "CONTROL_STREAM",
    "CUSTOM",
    "DISCARDABLE",
    "END_OF_GROUP",
    "FIRST_FRAME_STREAM",
    "KEEP",
    "KEYFRAME",
    "LAST_FRAME_STREAM",
    "MESSAGE_STREAM",
    "PADDED",
    "RESERVED",
    "SEALED",
    "SIGNED",
    "Descriptor",
    "DescriptorError",
    "decode",
    "streams_of",
]

BYTES: Final = 4
"""The size of a descriptor."""

SEALED: Final = 1
"""Version 1: an SFrame ciphertext (RFC 9605) follows."""
CLEAR: Final = 2
"""Version 2: clear text follows. Only a client without a key makes or accepts it."""

KEYFRAME: Final = 0x01
"""Decodable without earlier frames."""
DISCARDABLE: Final = 0x02
"""No other frame depends on it: the first to drop."""
END_OF_GROUP: Final = 0x04
"""The last frame of its group."""
PADDED: Final = 0x08
"""The plaintext ends with padding."""
SIGNED: Final = 0x10
"""The plaintext starts with a signature."""
KEEP: Final = 0x20
"""To be kept in the channel's history."""
CUSTOM: Final = 0x40
"""Sealed by an application's own cipher."""
RESERVED: Final = 0x80
"""Always zero; refused when set."""

CONTROL_STREAM: Final = 0
MESSAGE_STREAM: Final = 1
FIRST_FRAME_STREAM: Final = 2
LAST_FRAME_STREAM: Final = 255

_CACHED = 4096


class DescriptorError(RemoteProtocolError):
    """Four bytes that are not a descriptor of sealcast.1."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reply("bad_frame"))


def streams_of(kind: Kind) -> range:
    """Return the stream numbers that a kind may use."""
    if kind is Kind.CONTROL:
        return range(CONTROL_STREAM, CONTROL_STREAM + 1)
    if kind is Kind.MESSAGE:
        return range(MESSAGE_STREAM, MESSAGE_STREAM + 1)
    return range(FIRST_FRAME_STREAM, LAST_FRAME_STREAM + 1)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What a frame says about itself in the clear. Checked when made: one that exists can be sent.

    Raises:
        LocalProtocolError: a field is out of range, or the kind may not use the stream.

    """

    kind: Kind
    flags: int = 0
    temporal: int = 0
    """The temporal layer, 0-7."""
    spatial: int = 0
    """The spatial layer, 0-3."""
    priority: int = 0
    """0-7; under pressure the lowest goes first."""
    stream: int = 0
    """0-255; see ``streams_of``."""
    version: int = SEALED
    wire: bytes = field(init=False, repr=False, compare=False)
    """The four bytes."""

    def __post_init__(self) -> None:
        try:
            kind = Kind(self.kind)
        except ValueError:
            raise LocalProtocolError("a descriptor names an unknown kind") from None
        if self.version not in (SEALED, CLEAR):
            raise LocalProtocolError("a descriptor has version 1 (sealed) or 2 (clear text)")
        if not 0 <= self.flags < RESERVED:
            raise LocalProtocolError("a descriptor's reserved flag is set")
        if not (0 <= self.temporal <= 7 and 0 <= self.spatial <= 3 and 0 <= self.priority <= 7):
            raise LocalProtocolError("a descriptor's layer or priority is out of range")
        if self.stream not in streams_of(kind):
            raise LocalProtocolError("a descriptor's stream does not fit its kind")
        layers = self.temporal << 5 | self.spatial << 3 | self.priority
        wire = bytes((self.version << 4 | kind, self.flags, layers, self.stream))
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "wire", wire)

    def encode(self) -> bytes:
        """Return the four bytes."""
        return self.wire

    @property
    def sealed(self) -> bool:
        """Whether an SFrame ciphertext follows, rather than clear text."""
        return self.version == SEALED

    @property
    def keyframe(self) -> bool:
        """Whether the frame can be decoded without earlier ones."""
        return bool(self.flags & KEYFRAME)

    @property
    def discardable(self) -> bool:
        """Whether no other frame depends on this one."""
        return bool(self.flags & DISCARDABLE)

    @property
    def keep(self) -> bool:
        """Whether the frame is to be kept in the channel's history."""
        return bool(self.flags & KEEP)


@lru_cache(maxsize=_CACHED)
def _read(wire: bytes) -> Descriptor:
    if len(wire) != BYTES:
        raise DescriptorError("a descriptor cut short")
    head, flags, layers, stream = wire
    try:
        kind = Kind(head & 15)
    except ValueError:
        raise DescriptorError("a descriptor names an unknown kind") from None
    try:
        return Descriptor(kind, flags, layers >> 5, layers >> 3 & 3, layers & 7, stream, head >> 4)
    except LocalProtocolError as error:
        raise DescriptorError(str(error)) from None


def decode(data: bytes | memoryview, offset: int = 0) -> Descriptor:
    """Read the descriptor that starts at *offset*.

    Equal bytes give the same object: a stream has few descriptors, so most calls are one lookup.

    Raises:
        DescriptorError: cut short, unknown version or kind, the reserved flag is set, or the
            stream does not fit the kind.

    """
    return _read(bytes(data[offset : offset + BYTES]))
