"""Counts what the core tells of the life of channels and members, for all of the relay and by app."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..interfaces import ChannelKey
from ..member import Member
from ..visitor import Visitor
from ..witness import Witness
from .board import Sample

__all__ = ["Sent", "Tally"]


class Sent:
    """What members have sent."""

    __slots__ = ("bytes", "count")

    def __init__(self, count: int = 0, size: int = 0) -> None:
        self.count = count
        self.bytes = size

    def add(self, count: int, size: int) -> None:
        """Add so many frames and messages, and their bytes."""
        self.count += count
        self.bytes += size


class Tally:
    """A witness that counts."""

    def __init__(self) -> None:
        self.departed: dict[str, Sent] = {}
        """By app: what members have sent that are gone."""
        self._opened = 0
        self._left: Counter[str] = Counter()
        self._tokens: Counter[str] = Counter()
        self._blocked: Counter[str] = Counter()

    def __call__(self) -> Iterator[Sample]:
        """Return what was counted."""
        yield Sample("channels_opened_total", self._opened)
        for reason, count in self._left.items():
            yield Sample("members_left_total", count, (reason,))
        for reason, count in self._tokens.items():
            yield Sample("tokens_refused_total", count, (reason,))
        for reason, count in self._blocked.items():
            yield Sample("addresses_blocked_total", count, (reason,))

    def channel_opened(self, key: ChannelKey, number: int) -> None:
        """Count it."""
        self._opened += 1

    def channel_closed(self, key: ChannelKey, number: int) -> None:
        """Do nothing: open ones can be counted."""

    def member_joined(self, member: Member) -> None:
        """Do nothing: joins are counted already."""

    def member_left(self, member: Member, reason: str) -> None:
        """Count why, and what it had sent."""
        self._left[reason] += 1
        app_id = member.channel.key.app_id
        self.departed.setdefault(app_id, Sent()).add(member.frames_in, member.bytes_in)

    def token_refused(self, visitor: Visitor, channel: str, user: str, reason: str) -> None:
        """Count why."""
        self._tokens[reason] += 1

    def address_blocked(self, app_id: str, address: str, reason: str, seconds: float) -> None:
        """Count why."""
        self._blocked[reason] += 1


_: type[Witness] = Tally
