"""WebSocket as it looks from outside: an HTTP head, then frames (RFC 6455 §5.2), masked or not.

Knows nothing of the libraries at both ends, and works for both directions alike: a witness that
shares no code with those whom it watches.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["HEAD_MAX", "PAYLOAD_MAX", "Reader", "WireError", "WireFrame", "path_of"]

HEAD_MAX: Final = 64 * 1024
"""The largest HTTP head, in bytes."""
PAYLOAD_MAX: Final = 32 * 1024 * 1024
"""The largest payload of one frame, in bytes."""

_HEAD_END = b"\r\n\r\n"


class WireError(ValueError):
    """Bytes that are not WebSocket; nothing after them can be read."""


class WireFrame(NamedTuple):
    """One WebSocket frame; ``repr`` shows no payload."""

    opcode: int
    final: bool
    masked: bool
    payload: bytes
    """Unmasked."""

    def __repr__(self) -> str:
        return f"WireFrame(opcode={self.opcode}, final={self.final}, {len(self.payload)} bytes)"


class Reader:
    """Takes one direction of one connection apart."""

    def __init__(self) -> None:
        self.head: bytes | None = None
        """The HTTP head with the empty line that ends it, once complete."""
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a head or frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[WireFrame]:
        """Take bytes in any portions; return the frames that are complete now.

        Raises:
            WireError: an oversized head or payload, or a reserved bit, which no agreed extension explains.

        """
        self._buffer += data
        if self.head is None and not self._take_head():
            return []
        return list(self._take_frames())

    def _take_head(self) -> bool:
        end = self._buffer.find(_HEAD_END)
        if end < 0 and len(self._buffer) <= HEAD_MAX:
            return False
        end += len(_HEAD_END)
        if not len(_HEAD_END) <= end <= HEAD_MAX:
            raise WireError("an HTTP head without an end")
        self.head = bytes(self._buffer[:end])
        del self._buffer[:end]
        return True

    def _take_frames(self) -> Iterator[WireFrame]:
        while (layout := _layout(self._buffer)) is not None:
            start, size, mask = layout
            if len(self._buffer) < start + size:
                return
            first = self._buffer[0]
            payload = bytes(self._buffer[start : start + size])
            del self._buffer[: start + size]
            yield WireFrame(first & 15, bool(first & 0x80), mask is not None, _unmask(payload, mask))


def _layout(data: bytearray) -> tuple[int, int, bytes | None] | None:
    """Return (where the payload starts, its size, the mask), or None while the header is incomplete."""
    if len(data) < 2:
        return None
    if data[0] & 0x70:
        raise WireError("a WebSocket frame with a reserved bit")
    size, start = data[1] & 0x7F, 2
    if size > 125:
        start = 4 if size == 126 else 10
        if len(data) < start:
            return None
        size = int.from_bytes(data[2:start], "big")
        if size > PAYLOAD_MAX:
            raise WireError("a WebSocket frame over the size limit")
    if not data[1] & 0x80:
        return start, size, None
    if len(data) < start + 4:
        return None
    return start + 4, size, bytes(data[start : start + 4])


def _unmask(payload: bytes, mask: bytes | None) -> bytes:
    if mask is None or not payload:
        return payload
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def path_of(head: bytes) -> str:
    """Return the path that a request's head asks for, empty when there is none."""
    parts = head.split(b"\r\n", 1)[0].split(b" ")
    return parts[1].decode("ascii", "replace") if len(parts) == 3 else ""
