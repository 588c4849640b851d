"""How large a payload may be, given what the server takes and what sealing adds."""

from __future__ import annotations

from typing import Final, Protocol

from sealcast.protocol.names import Kind

from .errors import SealError

__all__ = ["FRAME_KINDS", "largest_payload", "sealed_size"]

FRAME_KINDS: Final = (Kind.AUDIO, Kind.VIDEO, Kind.SCREEN, Kind.DATA, Kind.CUSTOM)
"""The kinds that travel as frames of a stream."""


class _Crypto(Protocol):
    def sealed_size(self, kind: Kind, length: int) -> int: ...


def sealed_size(crypto: _Crypto, kind: Kind, length: int) -> int | None:
    """Return the bytes that a payload of *length* becomes at most; None when it cannot be sealed at all."""
    try:
        return crypto.sealed_size(kind, length)
    except SealError:
        return None  # padded to a constant size that is smaller


def largest_payload(crypto: _Crypto, kind: Kind, most: int) -> int:
    """Return the largest payload of a kind that takes no more than *most* bytes from the descriptor on.

    What sealing adds depends on kind and padding, but never shrinks as the payload grows: bisection.
    """
    low, high = 0, max(most, 0) + 1
    while high - low > 1:
        middle = (low + high) // 2
        size = sealed_size(crypto, kind, middle)
        low, high = (middle, high) if size is not None and size <= most else (low, middle)
    return low
