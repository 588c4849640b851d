"""The SFrame header (RFC 9605 §4.3): key id and counter in 1-17 bytes. No keys, no cipher.

::

    config | KID bytes | CTR bytes          config = X KKK Y CCC, most significant bit first
    X=0  KKK is the KID (0-7)               X=1  the KID follows, in KKK + 1 bytes
    Y=0  CCC is the CTR (0-7)               Y=1  the CTR follows, in CCC + 1 bytes

Both integers are big-endian and take the fewest bytes that hold them. One pair of numbers has one
encoding, so two headers that differ are two different headers; a longer encoding is refused.

The relay reads every frame's header, hence the table of layouts: one lookup of the config byte
instead of taking it apart.
"""

from __future__ import annotations

from typing import Final

from .codes import reply
from .errors import LocalProtocolError, RemoteProtocolError

__all__ = ["HEADER_MAX", "LEAST", "HeaderError", "encode_header", "read_header"]

HEADER_MAX: Final = 17
"""The longest header: the config byte and two integers of eight bytes."""

_U64 = 2**64 - 1


class HeaderError(RemoteProtocolError):
    """Bytes that do not start with an SFrame header: cut short, or an integer in too many bytes."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, reply("encryption_required"))


def _layout(config: int) -> tuple[int, int, int, int]:
    """Return (KID bytes, CTR bytes, KID in the config byte, CTR in the config byte)."""
    kid_field, ctr_field = config >> 4 & 7, config & 7
    kid_bytes, kid = (kid_field + 1, 0) if config & 0x80 else (0, kid_field)
    ctr_bytes, ctr = (ctr_field + 1, 0) if config & 0x08 else (0, ctr_field)
    return kid_bytes, ctr_bytes, kid, ctr


_LAYOUTS: Final = tuple(map(_layout, range(256)))
LEAST: Final = (0, 8, *(1 << 8 * (size - 1) for size in range(2, 9)))
"""The smallest integer that may take that many bytes."""


def encode_header(kid: int, ctr: int) -> bytes:
    """Return the header for this key id and counter, both 0 to 2^64 - 1.

    Raises:
        LocalProtocolError: one of them is out of range.

    """
    if not (0 <= kid <= _U64 and 0 <= ctr <= _U64):
        raise LocalProtocolError("a key id or counter outside 0 to 2^64 - 1 has no SFrame header")
    if kid > 7:
        size = (kid.bit_length() + 7) >> 3
        config, tail = 0x80 | (size - 1) << 4, kid.to_bytes(size, "big")
    else:
        config, tail = kid << 4, b""
    if ctr > 7:
        size = (ctr.bit_length() + 7) >> 3
        return bytes((config | 0x08 | (size - 1),)) + tail + ctr.to_bytes(size, "big")
    return bytes((config | ctr,)) + tail


def read_header(data: bytes | memoryview, offset: int = 0) -> tuple[int, int, int]:
    """Read the header that starts at *offset*; return (KID, CTR, where it ends).

    *data* is not copied.

    Raises:
        HeaderError: the header is cut short, or an integer is not in its shortest form.

    """
    try:
        kid_bytes, ctr_bytes, kid, ctr = _LAYOUTS[data[offset]]
    except IndexError:
        raise HeaderError("an SFrame header cut short") from None
    middle = offset + 1 + kid_bytes
    end = middle + ctr_bytes
    if end > len(data):
        raise HeaderError("an SFrame header cut short")
    if kid_bytes:
        if kid_bytes == 2:
            kid = data[middle - 2] << 8 | data[middle - 1]
        else:
            kid = int.from_bytes(data[offset + 1 : middle], "big")
        if kid < LEAST[kid_bytes]:
            raise HeaderError("the key id of an SFrame header is not in its shortest form")
    if ctr_bytes:
        if ctr_bytes == 2:
            ctr = data[middle] << 8 | data[middle + 1]
        else:
            ctr = int.from_bytes(data[middle:end], "big")
        if ctr < LEAST[ctr_bytes]:
            raise HeaderError("the counter of an SFrame header is not in its shortest form")
    return kid, ctr, end
