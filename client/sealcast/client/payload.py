"""What an application may hand over to be sent."""

from __future__ import annotations

from typing import TypeAlias

__all__ = ["Payload", "payload_bytes"]

Payload: TypeAlias = bytes | bytearray | memoryview


def payload_bytes(data: Payload) -> bytes:
    """Return *data* as bytes, so that changing a buffer afterwards changes nothing.

    Raises:
        TypeError: it is not bytes; text has to be encoded first.

    """
    if isinstance(data, bytes):
        return data
    if isinstance(data, bytearray | memoryview):
        return bytes(data)
    if isinstance(data, str):
        raise TypeError("a payload is bytes; encode text first: text.encode()")
    raise TypeError(f"a payload is bytes, not {type(data).__name__}")
