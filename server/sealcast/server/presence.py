"""Who is told when that somebody came or went: at once, or in a large channel together, at intervals.

In a channel of a thousand members each one that comes would be a thousand notices. Above ``instant`` members
the changes are collected and told by one control; who came and went within one interval is not told at all.
A member is introduced at once before anything of its own is sent: the others need its hello to open that.
That it has gone is told in the next interval, or at once if it had spoken.
Pure: what is to be said is returned, and time is kept by the owner.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sealcast.protocol.controls import (
    Control,
    Departure,
    MemberInfo,
    MemberJoined,
    MemberLeft,
    PresenceChanged,
)

__all__ = ["Presence", "PresencePolicy", "listed_cost"]

_MEMBER_COST: Final = 32
"""Bytes of a member in ``joined``, beside its name and hello."""

_BACK: Final = 0.75
"""The part of ``instant`` below which changes are told at once again."""


def listed_cost(user: str, hello: bytes | None) -> int:
    """Return how many bytes a member without a state takes in ``joined``."""
    return _MEMBER_COST + len(user) + len(hello or b"")


class PresencePolicy(NamedTuple):
    """How a channel tells who is there."""

    instant: int
    """Up to so many members changes are told at once."""
    interval: float
    """Else every so many seconds."""
    linger: float
    """How long a member whose connection was lost is kept, in seconds."""


class Presence:
    """What the members of one channel have been told of each other.

    Args:
        channel: its number.
        policy: when to tell.

    """

    __slots__ = ("_came", "_channel", "_policy", "_went", "collecting")

    def __init__(self, channel: int, policy: PresencePolicy) -> None:
        self._channel = channel
        self._policy = policy
        self._came: dict[int, MemberInfo] = {}
        """Members that the others have not been told of."""
        self._went: dict[int, str] = {}
        """Members that have gone, and why, of which the others have not been told."""
        self.collecting = False
        """Whether changes are told at intervals."""

    @property
    def waits(self) -> bool:
        """Whether there is something to tell at the end of the interval."""
        return bool(self._came or self._went)

    def counted(self, members: int) -> None:
        """Note how many members there are now."""
        if members > self._policy.instant:
            self.collecting = True
        elif members <= self._policy.instant * _BACK:
            self.collecting = False

    def came(self, member: MemberInfo) -> Control | None:
        """Note that somebody joined; return what to tell the others at once."""
        if self.collecting:
            self._came[member.member] = member
            return None
        return self._joined(member)

    def speaks(self, number: int) -> Control | None:
        """Note that a member is about to be heard; return what to tell the others before that."""
        member = self._came.pop(number, None)
        return None if member is None else self._joined(member)

    def changed(self, member: MemberInfo) -> bool:
        """Note that a member is introduced differently now; return whether the others know it already."""
        if member.member not in self._came:
            return True
        self._came[member.member] = member
        return False

    def went(self, number: int, reason: str, *, spoke: bool) -> Control | None:
        """Note that a member has gone; return what to tell the others at once."""
        if self._came.pop(number, None) is not None:
            return None
        if self.collecting and not spoke:
            self._went[number] = reason
            return None
        return MemberLeft(channel=self._channel, member=number, reason=reason)

    def summary(self, total: int) -> Control | None:
        """Return what has changed since the last one, with how many there are now; None for nothing."""
        if not self.waits:
            return None
        came, self._came = self._came, {}
        went, self._went = self._went, {}
        return PresenceChanged(
            channel=self._channel,
            joined=tuple(came.values()),
            left=tuple(Departure(member=number, reason=reason) for number, reason in went.items()),
            total=total,
        )

    def _joined(self, member: MemberInfo) -> Control:
        return MemberJoined(channel=self._channel, member=member.member, user=member.user, hello=member.hello)
