"""The memory engine: the reference for every other one. One process, nothing kept over a restart."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence

from sealcast.protocol.names import Kind

from ..author import Author
from ..budget import Used
from ..interfaces import Broker, ChannelKey, Entry, Position, Sink
from ..metadata import Change, ItemBounds, Items, Refused

__all__ = ["MemoryBroker"]


class _Stream:
    __slots__ = ("epoch", "items", "offset", "sink")

    def __init__(self, used: Used) -> None:
        self.epoch = secrets.token_hex(8)
        self.items = Items(used)
        self.offset = 0
        self.sink: Sink | None = None


class MemoryBroker:
    """Places a message the moment it is published and delivers the whole turn at once.

    Args:
        remembered: how many channels of one app keep their position without members; the oldest is
            forgotten first, and starts a new epoch if it comes back.

    """

    def __init__(self, remembered: int = 10_000) -> None:
        self._streams: dict[ChannelKey, _Stream] = {}
        self._idle: dict[str, OrderedDict[str, _Stream]] = {}
        self._used: dict[str, Used] = {}
        self._remembered = remembered

    def publish(self, key: ChannelKey, turn: list[Entry]) -> None:
        """Place the turn's messages and deliver it, before returning."""
        stream = self._streams[key]
        for entry in turn:
            if entry.kind == Kind.MESSAGE:
                stream.offset += 1
                entry.offset = stream.offset
        self._deliver(stream, turn)

    def subscribe(self, key: ChannelKey, sink: Sink) -> Position:
        """Start delivering a channel's turns to *sink*; return its position now."""
        stream = self._idle_of(key).pop(key.channel, None) or _Stream(
            self._used.setdefault(key.app_id, Used())
        )
        stream.sink = sink
        self._streams[key] = stream
        return Position(stream.epoch, stream.offset)

    def unsubscribe(self, key: ChannelKey) -> None:
        """Stop delivering and remember the position."""
        stream = self._streams.pop(key)
        stream.sink = None
        if stream.offset == 0 and stream.items.revision == 0:
            return  # nothing was placed: there is nothing to continue
        idle = self._idle_of(key)
        idle[key.channel] = stream
        if len(idle) > self._remembered:
            _, oldest = idle.popitem(last=False)
            oldest.items.clear()

    def get_items(self, key: ChannelKey) -> Items:
        """Return the metadata of a channel that is subscribed to."""
        return self._streams[key].items

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
        items = self._streams[key].items
        try:
            change = items.plan(name, value, revision, author, bounds)
        except Refused as refused:
            done(refused.name)
            return
        items.make(change)
        done(change)

    def _idle_of(self, key: ChannelKey) -> OrderedDict[str, _Stream]:
        # One for each app: what one does must not make another's positions be forgotten.
        return self._idle.setdefault(key.app_id, OrderedDict())

    @staticmethod
    def _deliver(stream: _Stream, turn: Sequence[Entry]) -> None:
        if stream.sink is not None:
            stream.sink.deliver(turn)


_: type[Broker] = MemoryBroker
