"""What engines say of channels that are subscribed to, all of them alike: from their streams, in memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ..interfaces import Author, ChannelKey, Items, Kept, Page, Position, Sink
from .stream import Stream

__all__ = ["Reading"]


class Reading:
    """The reading half of an engine that has its channels in this process.

    Args:
        wall: the present, in Unix seconds.

    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._streams: dict[ChannelKey, Stream] = {}
        """Those that are subscribed to, at least."""
        self._sinks: dict[ChannelKey, Sink] = {}

    def since(self, key: ChannelKey, position: Position, most: int, most_bytes: int) -> Sequence[Kept] | None:
        """Return every message after *position*; None if one is missing, or there are too many."""
        stream = self._fresh(key)
        if position.epoch != stream.epoch:
            return None
        return stream.ring.since(position.offset, stream.offset, most, most_bytes)

    def page(
        self, key: ChannelKey, *, after: int = 0, before: int | None = None, limit: int, most_bytes: int
    ) -> Page:
        """Return the newest messages below *before*, or the oldest above *after*."""
        return self._fresh(key).ring.page(after=after, before=before, limit=limit, most_bytes=most_bytes)

    def held(self, key: ChannelKey) -> tuple[int, int]:
        """Return how many messages are kept, and how large they are."""
        ring = self._fresh(key).ring
        return len(ring), ring.size

    def authors(self, key: ChannelKey, members: Collection[int]) -> dict[int, Author]:
        """Return who sent kept messages under these member numbers."""
        return self._streams[key].authors(members)

    def sent_by(self, key: ChannelKey, user: str, run: bytes) -> Collection[int]:
        """Return the offsets of the messages of one run."""
        return self._streams[key].repeats.of_run(user, run)

    def get_items(self, key: ChannelKey) -> Items:
        """Return the metadata of a channel, as far as it is kept for good."""
        return self._streams[key].shelf.items

    def _fresh(self, key: ChannelKey) -> Stream:
        stream = self._streams[key]
        stream.expire(self._wall())
        return stream
