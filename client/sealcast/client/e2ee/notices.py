"""What the encryption of a channel has to tell its owner, besides frames and errors."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["KeySwitched", "Notice", "OldWrapIgnored", "TrustEnded"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened. Never holds a key."""


@dataclass(frozen=True, slots=True)
class KeySwitched(Notice):
    """This side seals under another key from now on. Video should follow with a keyframe."""

    epoch: int
    step: int


@dataclass(frozen=True, slots=True)
class OldWrapIgnored(Notice):
    """A member's correctly signed wrap came again after a later one: replayed, or badly late."""

    member: int
    epoch: int
    step: int


@dataclass(frozen=True, slots=True)
class TrustEnded(Notice):
    """A member's certificate ran out while it was there. It gets no more keys and nothing of it opens."""

    member: int
    user: str
