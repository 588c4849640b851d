"""The fields that access tokens are made of: one reader, the packers, strict base64.

All integers are little-endian. A *text* is a u16 length and that many bytes of UTF-8; a *map* is a u16
count and as many pairs of u16 key and u32 value. What is read is bounded by the bytes at hand: no
count or length that they claim allocates anything.

This module is a part of ``sealcast.protocol.tokens``, which is the public one.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from .errors import TokenMalformed

__all__ = [
    "FrozenMap",
    "Reader",
    "decode_base64",
    "pack_data",
    "pack_i16",
    "pack_map",
    "pack_text",
    "pack_u16",
    "pack_u32",
]

K = TypeVar("K")
V = TypeVar("V", covariant=True)

_U16: Final = struct.Struct("<H")
_I16: Final = struct.Struct("<h")
_U32: Final = struct.Struct("<I")
_PAIR: Final = struct.Struct("<HI")


class FrozenMap(Mapping[K, V]):
    """A mapping that cannot be changed, so that what was verified stays what was verified."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Mapping[K, V] | None = None) -> None:
        self._entries = dict(entries or {})

    def __getitem__(self, key: K) -> V:
        return self._entries[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __hash__(self) -> int:
        return hash(frozenset(self._entries.items()))

    def __repr__(self) -> str:
        return repr(self._entries)


# --- packing: ValueError when a value does not fit -------------------------------------------------


def pack_u16(value: int, what: str) -> bytes:
    """Pack a u16; ValueError, which calls the value *what*, when it is none."""
    if not isinstance(value, int) or not 0 <= value <= 0xFFFF:
        raise ValueError(f"{what} must be a whole number from 0 to 65535")
    return _U16.pack(value)


def pack_i16(value: int, what: str) -> bytes:
    """Pack an i16; ValueError, which calls the value *what*, when it is none."""
    if not isinstance(value, int) or not -0x8000 <= value <= 0x7FFF:
        raise ValueError(f"{what} must be a whole number from -32768 to 32767")
    return _I16.pack(value)


def pack_u32(value: int, what: str) -> bytes:
    """Pack a u32; ValueError, which calls the value *what*, when it is none."""
    if not isinstance(value, int) or not 0 <= value <= 0xFFFFFFFF:
        raise ValueError(f"{what} must be a whole number from 0 to 4294967295")
    return _U32.pack(value)


def pack_data(data: bytes, what: str) -> bytes:
    """Pack bytes behind their u16 length; ValueError, which calls them *what*, above 65535."""
    return pack_u16(len(data), f"the length of {what}") + data


def pack_text(text: str, what: str) -> bytes:
    """Pack UTF-8 behind its u16 length; ValueError when it does not fit."""
    return pack_data(text.encode(), what)


def pack_map(entries: Mapping[int, int], what: str) -> bytes:
    """Pack a map of u16 to u32, keys ascending as every builder does it. Raises ValueError."""
    packed = [pack_u16(key, what) + pack_u32(entries[key], what) for key in sorted(entries)]
    return pack_u16(len(packed), what) + b"".join(packed)


# --- reading: TokenMalformed when the bytes do not hold what they promise --------------------------


def decode_base64(text: str) -> bytes:
    """Decode standard base64 with its padding, and nothing that merely resembles it.

    Decoders differ in what they forgive: other alphabets, blanks, missing padding, stray bits in the
    last character. One payload has one spelling here. Raises TokenMalformed.
    """
    try:
        data = binascii.a2b_base64(text)
    except ValueError:
        data = b""
    if not data or binascii.b2a_base64(data, newline=False) != text.encode("utf-8", "replace"):
        raise TokenMalformed("the token's text is not base64 with its padding")
    return data


class Reader:
    """Reads little-endian fields off the front of *data*; every method raises TokenMalformed when short."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if len(piece) != size:
            raise TokenMalformed("the token is cut short")
        self._at += size
        return piece

    def u16(self) -> int:
        """Read an unsigned 16-bit integer."""
        value: int = _U16.unpack(self._take(2))[0]
        return value

    def i16(self) -> int:
        """Read a signed 16-bit integer."""
        value: int = _I16.unpack(self._take(2))[0]
        return value

    def u32(self) -> int:
        """Read an unsigned 32-bit integer."""
        value: int = _U32.unpack(self._take(4))[0]
        return value

    def data(self) -> bytes:
        """Read bytes behind their u16 length."""
        return self._take(self.u16())

    def text(self) -> str:
        """Read UTF-8 behind its u16 length."""
        data = self.data()
        # A UnicodeDecodeError would carry the bytes along as the context of ours.
        text = data.decode("utf-8", "replace")
        if text.encode() != data:
            raise TokenMalformed("the token holds a name that is not UTF-8")
        return text

    def map(self) -> FrozenMap[int, int]:
        """Read a map of u16 to u32. A key that stands twice has no one meaning and is refused."""
        count = self.u16()
        entries = dict(_PAIR.iter_unpack(self._take(count * _PAIR.size)))
        if len(entries) != count:
            raise TokenMalformed("the token lists a privilege twice")
        return FrozenMap(entries)

    def rest(self) -> bytes:
        """Return what has not been read yet, without reading it."""
        return self._data[self._at :]

    def close(self) -> None:
        """Insist that everything has been read."""
        if self._at != len(self._data):
            raise TokenMalformed("the token has bytes left over")
