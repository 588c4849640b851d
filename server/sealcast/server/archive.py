"""What one channel has kept of its messages, as its members ask for it."""

from __future__ import annotations

from collections.abc import Collection

from .interfaces import Author, Broker, ChannelKey, Kept, Page, Position
from .member import Member

__all__ = ["Archive"]


class Archive:
    """The kept messages of a channel that is subscribed to.

    Args:
        broker: keeps them.
        key: the channel.

    """

    __slots__ = ("_broker", "_key")

    def __init__(self, broker: Broker, key: ChannelKey) -> None:
        self._broker = broker
        self._key = key

    def replay(self, member: Member, since: Position, most: int, most_bytes: int) -> list[Kept] | None:
        """Return what a member that has just been added missed after *since*; None if it cannot be whole.

        Its own messages are left out. What comes after these reaches it by itself.
        """
        found = self._broker.since(self._key, since, most, most_bytes)
        if not found:
            return None if found is None else []
        own = self._broker.sent_by(self._key, member.user, member.run) if member.run else ()
        return [kept for kept in found if kept.offset not in own and kept.member != member.number]

    def page(self, *, after: int, before: int | None, limit: int, most_bytes: int) -> Page:
        """Return messages below *before*, or above *after*."""
        return self._broker.page(self._key, after=after, before=before, limit=limit, most_bytes=most_bytes)

    def held(self) -> tuple[int, int]:
        """Return how many there are, and their bytes."""
        return self._broker.held(self._key)

    def authors(self, messages: Collection[Kept]) -> dict[int, Author]:
        """Return who sent these messages, by member number."""
        return self._broker.authors(self._key, {kept.member for kept in messages})
