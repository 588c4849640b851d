"""What the members of a channel share beside frames and messages: its metadata, and its locks.

Here it is asked for and changed, and the other members are told. Who may do so
is asked before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sealcast.protocol.controls import Lock as LockAsked
from sealcast.protocol.controls import (
    LockChanged,
    Locked,
    MemberInfo,
    MetadataChanged,
    MetadataItems,
    SetMetadata,
)
from sealcast.protocol.parts import Item as ItemInfo
from sealcast.protocol.parts import LockInfo

from .channel import Channel
from .clock import Clock, TimingWheel
from .config import AppLimits
from .interfaces import Broker, Change, ChannelKey, ItemBounds
from .lock_book import LockBook
from .locks import Held, LockBounds, LockChange, LockRefused, Owner
from .member import Member
from .metadata import is_name

__all__ = ["Declined", "Sharing"]

_TTL_LEAST: Final = 1.0


class Declined(Exception):
    """A request that is not carried out; ``name`` is the reply code that says why."""

    def __init__(self, name: str, retry_after: float | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.retry_after = retry_after


class Sharing:
    """The metadata and the locks of all channels of a process.

    Args:
        broker: keeps metadata.
        clock: the present.
        wheel: ends locks.
        limits: the bounds of an app.
        find: returns the channel of that key, if it has members here.

    """

    def __init__(
        self,
        broker: Broker,
        clock: Clock,
        wheel: TimingWheel,
        limits: Callable[[str], AppLimits],
        find: Callable[[ChannelKey], Channel | None],
    ) -> None:
        self._broker = broker
        self._clock = clock
        self._limits = limits
        self._find = find
        self._book = LockBook(clock, wheel, self._expired)

    # --- metadata ---

    def items(self, member: Member) -> MetadataItems:
        """Return the metadata and the locks of a member's channel."""
        channel = member.channel
        revision, items = self._broker.get_items(channel.key)
        authors = {item.author.member: item.author for item in items}
        locks = self._book.find(channel.key)
        now = self._clock.monotonic()
        return MetadataItems(
            channel=channel.number,
            revision=revision,
            items=tuple(
                ItemInfo(name=item.name, value=item.value, revision=item.revision, member=item.author.member)
                for item in items
            ),
            authors=tuple(
                MemberInfo(member=author.member, user=author.user, hello=author.hello)
                for author in authors.values()
            ),
            locks=() if locks is None else tuple(self._info(channel, held, now) for held in locks.held(now)),
        )

    def change(self, member: Member, asked: SetMetadata, done: Callable[[int | str], None]) -> None:
        """Set an item of metadata or take it away, and tell the others.

        *done* is called with the revision, or the name of the reply code that says why not: at once or
        later, when the engine has stored it.
        """
        key = member.channel.key
        limits = self._limits(key.app_id)
        bounds = ItemBounds(limits.metadata_items, limits.metadata_bytes, limits.metadata_total)

        def settled(outcome: Change | str) -> None:
            if isinstance(outcome, str):
                done(outcome)
                return
            if outcome.made:
                self._tell_change(key, outcome, member)
            done(outcome.revision)

        _introduce(member)
        self._broker.set_item(key, asked.name, asked.value, asked.revision, member.author, bounds, settled)

    def _tell_change(self, key: ChannelKey, change: Change, by: Member) -> None:
        channel = self._find(key)
        if channel is not None:
            channel.notify(
                MetadataChanged(
                    channel=channel.number,
                    name=change.name,
                    value=change.value,
                    revision=change.revision,
                    member=change.author.member,
                ),
                by,
            )

    # --- locks ---

    def lock(self, member: Member, asked: LockAsked) -> Locked:
        """Lock a name for a member, and tell the others.

        Raises:
            Declined: ``invalid_name``, ``bad_request``, ``lock_held`` or ``too_many_items``.

        """
        limits = self._limits(member.channel.key.app_id)
        if not is_name(asked.name):
            raise Declined("invalid_name")
        if not _TTL_LEAST <= asked.ttl <= limits.lock_ttl:
            raise Declined("bad_request")
        channel = member.channel
        bounds = LockBounds(limits.locks, limits.locks_total)
        try:
            fence = self._book.of(channel.key).lock(
                asked.name,
                Owner(member.user, member.run),
                asked.ttl,
                self._clock.monotonic(),
                bounds,
                take=asked.take,
            )
        except LockRefused as refused:
            raise Declined(refused.name, refused.retry_after) from None
        finally:
            self._tell_locks(channel, self._book.settle(channel.key), member)
        return Locked(channel=channel.number, name=asked.name, fence=fence, ttl=asked.ttl)

    def unlock(self, member: Member, name: str) -> None:
        """Give a member's lock back, and tell the others.

        Raises:
            Declined: ``not_lock_owner``.

        """
        channel = member.channel
        try:
            self._book.of(channel.key).unlock(name, member.user, self._clock.monotonic())
        except LockRefused as refused:
            raise Declined(refused.name) from None
        finally:
            self._tell_locks(channel, self._book.settle(channel.key), member)

    def _expired(self, key: ChannelKey, changes: Sequence[LockChange]) -> None:
        channel = self._find(key)
        if channel is not None:
            self._tell_locks(channel, changes, None)

    def _tell_locks(self, channel: Channel, changes: Sequence[LockChange], by: Member | None) -> None:
        for name, fence, reason, user in changes:
            changed = LockChanged(
                channel=channel.number,
                name=name,
                fence=fence,
                reason=reason,
                user=user,
                member=_number(channel, user),
            )
            if user is not None and by is not None:
                _introduce(by)
            # Its owner may not have noticed that time is over; all else is what the member asked for.
            channel.notify(changed, None if reason == "expired" else by)

    def _info(self, channel: Channel, held: Held, now: float) -> LockInfo:
        user = held.owner.user
        left = round(held.ends - now, 3)
        return LockInfo(name=held.name, fence=held.fence, user=user, ttl=left, member=_number(channel, user))


def _introduce(member: Member) -> None:
    """Let the others know a member before they hear what it has done."""
    if not member.spoke:
        member.channel.introduce(member)


def _number(channel: Channel, user: str | None) -> int | None:
    """Return the number of the member that a user is at present, if it is one."""
    member = None if user is None else channel.by_user.get(user)
    return None if member is None else member.number
