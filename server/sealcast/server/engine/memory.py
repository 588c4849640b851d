"""The memory engine: the reference for every other one. One process, nothing kept over a restart."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from ..budget import Used
from ..interfaces import (
    Author,
    Broker,
    Change,
    ChannelKey,
    Entry,
    ItemBounds,
    Keep,
    Message,
    Sink,
    Subscription,
)
from ..metadata import Refused
from .reading import Reading
from .stream import Stream

__all__ = ["MemoryBroker"]


class MemoryBroker(Reading):
    """Places a message the moment it is published and delivers the whole turn at once.

    An ack says: the message has its place in this process, and was handed to every member's connection.

    Args:
        wall: the present, in Unix seconds.
        remembered: how many channels of one app keep position and messages without members; the oldest is
            forgotten first, and starts a new epoch if it comes back.
        total: bytes that the channels of one app without members may keep together.

    """

    def __init__(
        self, wall: Callable[[], float] = time.time, remembered: int = 10_000, total: int = 256 * 2**20
    ) -> None:
        super().__init__(wall)
        self._idle: dict[str, OrderedDict[str, Stream]] = {}
        self._idle_bytes: dict[str, int] = {}
        self._used: dict[str, Used] = {}
        """The bytes of metadata of each app."""
        self._remembered = remembered
        self._total = total

    def publish(self, key: ChannelKey, turn: list[Entry]) -> None:
        """Place the turn's messages and deliver it, before returning."""
        stream, sink = self._streams[key], self._sinks[key]
        repeated: list[Message] = []
        for entry in turn:
            if isinstance(entry, Message):
                if stream.settled(entry):
                    repeated.append(entry)
                else:
                    stream.place(entry, self._wall())
        if repeated:
            known = set(repeated)
            turn = [entry for entry in turn if entry not in known]
        if turn:
            sink.deliver(turn)
        if repeated:
            sink.settle(repeated)

    def subscribe(self, key: ChannelKey, sink: Sink, keep: Keep) -> Subscription:
        """Start delivering a channel's turns to *sink*; return where it stands now."""
        stream = self._take_idle(key) or Stream(keep, self._used.setdefault(key.app_id, Used()))
        stream.allow(keep)
        self._streams[key], self._sinks[key] = stream, sink
        return Subscription(stream.position, stream.last_member)

    def unsubscribe(self, key: ChannelKey) -> None:
        """Stop delivering and remember where the channel stands."""
        stream = self._streams.pop(key)
        del self._sinks[key]
        if stream.blank:
            return  # nothing was placed: there is nothing to continue
        # One for each app: what one does must not make another's be forgotten.
        idle = self._idle.setdefault(key.app_id, OrderedDict())
        idle[key.channel] = stream
        self._idle_bytes[key.app_id] = self._idle_bytes.get(key.app_id, 0) + stream.size
        while len(idle) > self._remembered or self._idle_bytes[key.app_id] > self._total:
            forgotten = self._take_idle(ChannelKey(key.app_id, next(iter(idle))))
            assert forgotten is not None
            forgotten.shelf.clear()

    def set_item(
        self,
        key: ChannelKey,
        name: str,
        value: bytes | None,
        revision: int | None,
        author: Author,
        bounds: ItemBounds,
        done: Callable[[Change | str], None],
    ) -> None:
        """Change the metadata of a channel; *done* is called before this returns."""
        stream = self._streams[key]
        try:
            change = stream.shelf.plan(name, value, revision, author, bounds)
        except Refused as refused:
            done(refused.name)
            return
        stream.change(change)
        done(change)

    def erase(self, key: ChannelKey, upto: int | None = None) -> int:
        """Throw away the kept messages up to and including an offset, or all; return how many."""
        if key in self._streams:
            return self._streams[key].erase(upto)
        stream = self._take_idle(key)
        if stream is None:
            return 0
        gone = stream.erase(upto)
        self._idle[key.app_id][key.channel] = stream
        self._idle_bytes[key.app_id] += stream.size
        return gone

    def streams(self) -> list[Stream]:
        """Return everything that is kept, for who counts it."""
        idle = [stream for streams in self._idle.values() for stream in streams.values()]
        return [*self._streams.values(), *idle]

    def _take_idle(self, key: ChannelKey) -> Stream | None:
        stream = self._idle.get(key.app_id, OrderedDict()).pop(key.channel, None)
        if stream is not None:
            self._idle_bytes[key.app_id] -= stream.size
        return stream


_: type[Broker] = MemoryBroker
