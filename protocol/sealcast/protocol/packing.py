"""MessagePack within bounds: what a control may be made of, checked before anything is built.

MessagePack declares the length of an array before its items, and a decoder allocates by that word: a
few kilobytes of nested heads can claim gigabytes. ``unpack`` walks over the heads first, builds
nothing, and counts; only what stays within the bounds is handed to the decoder. Extension types,
map keys that are not text and keys that stand twice are refused.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

__all__ = ["MAP_MAX", "unpack"]

MAP_MAX: Final = 64
"""Entries of one map."""

# How many bytes follow the head byte, and how many values follow those. Heads with a length of their
# own are in the tables after this one; what is in none of them is not part of sealcast.1.
_FIXED: Final[dict[int, tuple[int, int]]] = {
    **dict.fromkeys((*range(0x80), *range(0xE0, 0x100)), (0, 0)),  # small integers
    **{0x80 + n: (0, 2 * n) for n in range(16)},  # small maps
    **{0x90 + n: (0, n) for n in range(16)},  # small arrays
    **{0xA0 + n: (n, 0) for n in range(32)},  # short text
    **dict.fromkeys((0xC0, 0xC2, 0xC3), (0, 0)),  # nil, false, true
    **dict.fromkeys((0xCC, 0xD0), (1, 0)),
    **dict.fromkeys((0xCD, 0xD1), (2, 0)),
    **dict.fromkeys((0xCA, 0xCE, 0xD2), (4, 0)),
    **dict.fromkeys((0xCB, 0xCF, 0xD3), (8, 0)),
}
# head: bytes of the length, bytes per unit of it, values per unit of it
_MEASURED: Final[dict[int, tuple[int, int, int]]] = {
    **{0xC4 + n: (1 << n, 1, 0) for n in range(3)},  # bytes
    **{0xD9 + n: (1 << n, 1, 0) for n in range(3)},  # text
    **{0xDC + n: (2 << n, 0, 1) for n in range(2)},  # arrays
    **{0xDE + n: (2 << n, 0, 2) for n in range(2)},  # maps
}


def unpack(data: memoryview, *, values: int, array: int) -> Any:
    """Read one MessagePack value; arrays become tuples.

    Args:
        data: the bytes, all of them.
        values: the most values that may stand in it, keys and containers counted.
        array: the most items of one array.

    Raises:
        ValueError: the bytes are not MessagePack, or not within the bounds. The text never quotes them.

    """
    _measure(data, values)
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            use_list=False,
            strict_map_key=True,
            object_pairs_hook=_map,
            max_array_len=array,
            max_map_len=MAP_MAX,
            max_ext_len=0,
        )
    except (ValueError, msgpack.UnpackException):
        # The decoder's own words could quote the peer's bytes, so they are not carried on.
        raise ValueError("a length, a key or a text that is not allowed") from None


def _measure(data: memoryview, most: int) -> None:
    """Walk from head to head; raises ValueError when more than *most* values are declared."""
    at, size = 0, len(data)
    declared = seen = 1
    while seen <= declared:
        if at >= size:
            raise ValueError("cut short")
        head = data[at]
        if head in _FIXED:
            skipped, more = _FIXED[head]
            at += 1 + skipped
        elif head in _MEASURED:
            width, skipped, more = _MEASURED[head]
            units = int.from_bytes(data[at + 1 : at + 1 + width])
            at += 1 + width + skipped * units
            more *= units
        else:
            raise ValueError("an extension type, or no MessagePack at all")
        declared += more
        if declared > most:
            raise ValueError("too many values")
        seen += 1
    if at != size:
        raise ValueError("cut short, or bytes after the end")


def _map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs) or any(type(key) is not str for key in found):
        raise ValueError("a key stands twice, or is not text")
    return found
