"""What is told of the life of channels and members, to whoever keeps it: webhooks, session records, pages.

The relay's core calls this in the middle of its work, so nothing here may wait, fail or take long: what it
hears is noted, and looked after later. It hears names, numbers and reasons, never what was said.

It does not hear of programs that publish over the API, though members see each as a member for a moment: they
are nobody who comes and goes. Nor of a channel in which nobody else has been.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .interfaces import ChannelKey
from .member import Member
from .visitor import Visitor

__all__ = ["Nobody", "Several", "Witness"]


class Witness(Protocol):
    """Hears of the life of channels and members."""

    def channel_opened(self, key: ChannelKey, number: int) -> None:
        """A channel has its first member; *number* is its number in this process."""
        ...

    def channel_closed(self, key: ChannelKey, number: int) -> None:
        """A channel is over."""
        ...

    def member_joined(self, member: Member) -> None:
        """A user became a member; one that only comes back after a lost connection did not."""
        ...

    def member_left(self, member: Member, reason: str) -> None:
        """A membership ended, with the name of an end code."""
        ...

    def token_refused(self, visitor: Visitor, channel: str, user: str, reason: str) -> None:
        """A join or renewal was refused for its token, with the name of a reply code.

        *channel* and *user* are what was asked for: nobody has proved anything.
        """
        ...

    def address_blocked(self, app_id: str, address: str, reason: str, seconds: float) -> None:
        """An address, or an IPv6 network, is kept out for so long because of what it did.

        *app_id* is the app at which that was, or empty when it was none.
        """
        ...


class Nobody:
    """Hears and forgets."""

    def channel_opened(self, key: ChannelKey, number: int) -> None:
        """Do nothing."""

    def channel_closed(self, key: ChannelKey, number: int) -> None:
        """Do nothing."""

    def member_joined(self, member: Member) -> None:
        """Do nothing."""

    def member_left(self, member: Member, reason: str) -> None:
        """Do nothing."""

    def token_refused(self, visitor: Visitor, channel: str, user: str, reason: str) -> None:
        """Do nothing."""

    def address_blocked(self, app_id: str, address: str, reason: str, seconds: float) -> None:
        """Do nothing."""


class Several:
    """Tells several witnesses, in order."""

    def __init__(self, witnesses: Iterable[Witness]) -> None:
        self._witnesses = tuple(witnesses)

    def channel_opened(self, key: ChannelKey, number: int) -> None:
        """Tell all."""
        for witness in self._witnesses:
            witness.channel_opened(key, number)

    def channel_closed(self, key: ChannelKey, number: int) -> None:
        """Tell all."""
        for witness in self._witnesses:
            witness.channel_closed(key, number)

    def member_joined(self, member: Member) -> None:
        """Tell all."""
        for witness in self._witnesses:
            witness.member_joined(member)

    def member_left(self, member: Member, reason: str) -> None:
        """Tell all."""
        for witness in self._witnesses:
            witness.member_left(member, reason)

    def token_refused(self, visitor: Visitor, channel: str, user: str, reason: str) -> None:
        """Tell all."""
        for witness in self._witnesses:
            witness.token_refused(visitor, channel, user, reason)

    def address_blocked(self, app_id: str, address: str, reason: str, seconds: float) -> None:
        """Tell all."""
        for witness in self._witnesses:
            witness.address_blocked(app_id, address, reason, seconds)
