"""Padding: making sizes say less. Inside the encryption, and under the flag ``08 padded``.

::

    padded = payload | 0x80 | 00*            of a size that the rule picks, above the payload's

A signature, where there is one, is part of what is padded. The receiver needs no rule: it takes the
zeros and the 0x80 away. Three rules for the sender:

``none``            sizes are what they are
``buckets``         audio to the next multiple of 32; anything else to 64, 128, 256, 512, 1024, then
                    to multiples of 1024
``constant(size)``  every frame to the same size; what does not fit is refused

Cost: 16 bytes a frame on average for audio, up to as much again for what is shorter than 1024, 512
bytes on average above. Padding hides sizes, not times: who sends when stays visible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from sealcast.client.errors import OpenFailed, PaddingExceeded
from sealcast.protocol.names import Kind

__all__ = ["BUCKETS", "NONE", "Padding", "PaddingRule", "constant", "pad", "padding_rule", "unpad"]

_AUDIO_STEP: Final = 32
_STEP: Final = 1024
_LADDER: Final = (64, 128, 256, 512)
_SIZE_MAX: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Padding:
    """A rule. Made by ``NONE``, ``BUCKETS`` and ``constant(size)``."""

    name: str
    constant: int = 0

    def __str__(self) -> str:
        return f"constant({self.constant})" if self.constant else self.name

    @property
    def pads(self) -> bool:
        """Whether this rule pads at all."""
        return self.name != "none"

    def size(self, kind: Kind, length: int) -> int:
        """Return how many bytes *length* bytes of a kind become; always at least one more.

        Raises:
            PaddingExceeded: the size is constant and smaller.

        """
        least = length + 1
        if self.constant:
            if least > self.constant:
                raise PaddingExceeded
            return self.constant
        if kind is Kind.AUDIO:
            return -(-least // _AUDIO_STEP) * _AUDIO_STEP
        for step in _LADDER:
            if least <= step:
                return step
        return -(-least // _STEP) * _STEP


PaddingRule: TypeAlias = Padding | str

NONE: Final = Padding("none")
BUCKETS: Final = Padding("buckets")


def constant(size: int) -> Padding:
    """Return the rule that gives every frame *size* bytes: 1-16777216, and 65 more for messages' signatures.

    Raises:
        ValueError: the size is out of range.

    """
    if not 1 <= size <= _SIZE_MAX:
        raise ValueError(f"a constant padded size is from 1 to {_SIZE_MAX} bytes")
    return Padding("constant", size)


def padding_rule(rule: PaddingRule) -> Padding:
    """Return a rule by its name, ``none`` or ``buckets``; a rule is returned as it is.

    Raises:
        ValueError: there is no such rule.

    """
    if isinstance(rule, Padding):
        return rule
    for known in (NONE, BUCKETS):
        if rule == known.name:
            return known
    raise ValueError("padding is none, buckets or constant(size)")


def pad(data: bytes, size: int) -> bytes:
    """Return *data* padded to *size* bytes, which is above its length."""
    return (data + b"\x80").ljust(size, b"\0")


def unpad(data: bytes) -> bytes:
    """Return what was padded.

    Raises:
        OpenFailed: there is no padding to take away.

    """
    stripped = data.rstrip(b"\0")
    if not stripped.endswith(b"\x80"):
        raise OpenFailed("the frame says it is padded, and it is not")
    return stripped[:-1]
