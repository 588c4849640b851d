"""What receiving has to tell an application besides frames: what was lost, and what looks wrong."""

from __future__ import annotations

from dataclasses import dataclass

from sealcast.client.errors import SealError

from .notices import Notice

__all__ = ["Authentic", "Lost", "RosterSplit", "Stalled", "Suppressed", "Unauthentic"]


@dataclass(frozen=True, slots=True)
class Lost(Notice):
    """Frames that had been held were given up; *reason* is what would have been raised for each."""

    member: int
    reason: type[SealError]
    count: int


@dataclass(frozen=True, slots=True)
class Stalled(Notice):
    """No beacon of a sender for 15 s, though it is there: somebody withholds what it sends."""

    member: int
    user: str


@dataclass(frozen=True, slots=True)
class Suppressed(Notice):
    """A sender's beacon says that it has sealed frames, at the end of a stream, which did not arrive."""

    member: int
    user: str
    stream: int
    missing: int


@dataclass(frozen=True, slots=True)
class RosterSplit(Notice):
    """A sender has seen other members, or holds other keys of them, than this side for 10 s."""

    member: int
    user: str


@dataclass(frozen=True, slots=True)
class Authentic(Notice):
    """Media of a sender's stream carries its signature: at first, or again."""

    member: int
    user: str
    stream: int


@dataclass(frozen=True, slots=True)
class Unauthentic(Notice):
    """Media that was delivered as a sender's has not been signed by it: another member made it."""

    member: int
    user: str
    stream: int
    count: int
