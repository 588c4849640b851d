"""What the core tells, made into the events of webhooks."""

from __future__ import annotations

from typing import Final

from .clock import Clock
from .hooks.event import Event, Kind
from .hooks.service import Hooks
from .interfaces import ChannelKey
from .limits import Bucket
from .member import Member
from .visitor import Visitor

__all__ = ["Tidings"]

REFUSALS: Final = 30
"""Refused tokens of one address that are told in a minute; each costs a row and a delivery."""
_ADDRESSES_MOST: Final = 10_000


class Tidings:
    """A witness that tells the webhooks.

    Args:
        hooks: those of the relay.
        clock: the present.

    """

    def __init__(self, hooks: Hooks, clock: Clock) -> None:
        self._hooks = hooks
        self._clock = clock
        self._open: dict[tuple[int, int], tuple[float, str]] = {}
        """When each channel (its number, and 0) and membership began, and the event that told it."""
        self._refusals: dict[tuple[str, str], Bucket] = {}

    def channel_opened(self, key: ChannelKey, number: int) -> None:
        """Tell that a channel was created."""
        self._began(Kind.CHANNEL_CREATED, (number, 0), key.app_id, channel=key.channel)

    def channel_closed(self, key: ChannelKey, number: int) -> None:
        """Tell that a channel was destroyed."""
        self._ended(Kind.CHANNEL_DESTROYED, (number, 0), key.app_id, channel=key.channel)

    def member_joined(self, member: Member) -> None:
        """Tell that a member joined."""
        channel = member.channel
        self._began(
            Kind.MEMBER_JOINED,
            (channel.number, member.number),
            channel.key.app_id,
            channel=channel.key.channel,
            user=member.user,
            member=member.number,
        )

    def member_left(self, member: Member, reason: str) -> None:
        """Tell that a member left."""
        channel = member.channel
        self._ended(
            Kind.MEMBER_LEFT,
            (channel.number, member.number),
            channel.key.app_id,
            channel=channel.key.channel,
            user=member.user,
            member=member.number,
            reason=reason,
        )

    def token_refused(self, visitor: Visitor, channel: str, user: str, reason: str) -> None:
        """Tell that a token was refused, but not as often as somebody can make that happen."""
        if not self._hooks.wants(visitor.app_id, Kind.TOKEN_REFUSED):
            return
        if self._too_often(visitor):
            self._hooks.withheld += 1
            return
        self._tell(
            Kind.TOKEN_REFUSED,
            visitor.app_id,
            channel=channel,
            user=user,
            address=visitor.address,
            reason=reason,
        )

    def address_blocked(self, app_id: str, address: str, reason: str, seconds: float) -> None:
        """Tell that an address is kept out: the app at which it was, or all when it was none."""
        apps = [app_id] if app_id else self._hooks.apps(Kind.ADDRESS_BLOCKED)
        for each in apps:
            if self._hooks.wants(each, Kind.ADDRESS_BLOCKED):
                self._tell(Kind.ADDRESS_BLOCKED, each, address=address, reason=reason, seconds=seconds)

    def _began(
        self, kind: Kind, key: tuple[int, int], app_id: str, *, channel: str, **more: str | int
    ) -> None:
        wanted = self._hooks.wants(app_id, kind)
        told = self._tell(kind, app_id, channel=channel, **more) if wanted else ""
        self._open[key] = (self._clock.monotonic(), told)

    def _ended(
        self, kind: Kind, key: tuple[int, int], app_id: str, *, channel: str, **more: str | int
    ) -> None:
        began = self._open.pop(key, None)
        if began is None:
            return
        at, told = began
        # What was told to begin is told to end, whatever is wanted now: it stands in the database as open.
        if told or self._hooks.wants(app_id, kind):
            seconds = self._clock.monotonic() - at
            self._tell(kind, app_id, channel=channel, seconds=seconds, closes=told, **more)

    def _tell(self, kind: Kind, app_id: str, **more: str | float) -> str:
        hooks = self._hooks
        now = self._clock.wall()
        event = Event(kind, app_id, now, hooks.sequence.next(), node=hooks.node, **more)  # type: ignore[arg-type] # as the callers give them
        hooks.tell(event)
        return event.id

    def _too_often(self, visitor: Visitor) -> bool:
        now = self._clock.monotonic()
        key = (visitor.app_id, visitor.address)
        bucket = self._refusals.pop(key, None) or Bucket(REFUSALS / 60, REFUSALS, now)
        self._refusals[key] = bucket
        if len(self._refusals) > _ADDRESSES_MOST:
            del self._refusals[next(iter(self._refusals))]
        return bucket.take(now) > 0
