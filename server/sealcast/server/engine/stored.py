"""The persistent engine: a message has its place, and is delivered, when it has been written down.

An ack says: the message is on disk, and was handed to every member's connection. The logic is here, without
I/O; a ``Journal`` writes. One batch is being written at a time, and what is published meanwhile
becomes the next one: the slower the disk, the larger the batches. A batch that fails is refused as a whole:
nobody has got any of it, and its places are given again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple, TypeAlias

from sealcast.protocol.envelope import MESSAGE_START

from ..budget import Used
from ..interfaces import (
    Author,
    Broker,
    Change,
    ChannelKey,
    Entry,
    ItemBounds,
    Items,
    Keep,
    Kept,
    Message,
    Page,
    Position,
    Sink,
    Subscription,
)
from ..logs import logger
from ..metadata import Refused, Shelf
from .journal import Batch, Journal, Loaded, Mark, Row
from .repeats import MOST, Identity
from .stream import Stream, identity_of

__all__ = ["StoredBroker"]

WAITING_BYTES: Final = 32 * 2**20
"""Bytes of messages that may wait to be written; over it new ones are refused."""
BATCH_MOST: Final = 2_000
"""Messages and changes written at once."""
_COST: Final = 512

_Done: TypeAlias = Callable[[Change | str], None]


class _Setting(NamedTuple):
    """A change of metadata that waits."""

    name: str
    value: bytes | None
    revision: int | None
    author: Author
    bounds: ItemBounds
    done: _Done


class _Placed(NamedTuple):
    """A message that is being written."""

    key: ChannelKey
    entry: Message
    at: float


class _Planned(NamedTuple):
    """A change that is being written."""

    key: ChannelKey
    change: Change
    done: _Done


class StoredBroker:
    """Places messages in the order in which they are published, when the journal has them.

    Args:
        journal: writes.
        wall: the present, in Unix seconds.
        refused: told how many messages were not stored, each time.

    """

    def __init__(
        self, journal: Journal, wall: Callable[[], float], refused: Callable[[int], None] = lambda count: None
    ) -> None:
        self._journal = journal
        self._wall = wall
        self._note_refused = refused
        self._streams: dict[ChannelKey, Stream] = {}
        self._sinks: dict[ChannelKey, Sink] = {}
        self._used = {app: Used(amount) for app, amount in journal.metadata().items()}
        """The metadata of each app, also of channels that nobody is in: it stays."""
        self._waiting: deque[tuple[ChannelKey, Message | _Setting]] = deque()
        self._waiting_bytes = 0
        self._touched: set[ChannelKey] = set()
        """Channels whose mark has to be written though nothing is placed in them."""
        self._again: dict[tuple[ChannelKey, Identity], list[Message]] = {}
        """By what is under way: the same message, sent again meanwhile."""
        self._writing: list[_Placed | _Planned] | None = None
        self._failing = False
        self._rest: asyncio.Future[None] | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written, nor is being."""
        return self._writing is None and not self._waiting and not self._touched

    async def settled(self) -> None:
        """Wait until nothing is under way any more."""
        while not self.idle:
            self._rest = asyncio.get_running_loop().create_future()
            await self._rest

    # --- turns ---

    def publish(self, key: ChannelKey, turn: list[Entry]) -> None:
        """Deliver what needs no place at once, and let messages wait for theirs."""
        messages = [entry for entry in turn if isinstance(entry, Message)]
        if not messages:
            self._sinks[key].deliver(turn)
            return
        others = [entry for entry in turn if not isinstance(entry, Message)]
        if others:
            self._sinks[key].deliver(others)
        for entry in messages:
            self._take(key, entry)
        self._pump()

    def _take(self, key: ChannelKey, entry: Message) -> None:
        if self._streams[key].settled(entry):
            self._sinks[key].settle([entry])
            return
        identity = identity_of(entry)
        again = self._again.get((key, identity)) if identity.run else None
        if again is not None:
            again.append(entry)
        elif self._waiting_bytes + len(entry.data) > WAITING_BYTES:
            self._refuse(key, [entry])
        else:
            if identity.run:
                self._again[key, identity] = []
            self._waiting.append((key, entry))
            self._waiting_bytes += len(entry.data) + _COST

    # --- channels ---

    def subscribe(self, key: ChannelKey, sink: Sink, keep: Keep) -> Subscription:
        """Start delivering a channel's turns to *sink*; return where it stands now.

        It is read from the journal here and now: a few milliseconds, once for each time that a channel
        comes to life, and bounded by what it may keep. To wait elsewhere would make every join a task.

        Raises:
            EngineDown: it cannot be read.

        """
        stream = self._stream(key, keep)
        stream.allow(keep)
        self._streams[key] = stream
        self._sinks[key] = sink
        return Subscription(stream.position, stream.last_member)

    def unsubscribe(self, key: ChannelKey) -> None:
        """Stop delivering; the journal has what is needed to go on."""
        del self._sinks[key]
        self._forget(key)

    def _forget(self, key: ChannelKey) -> None:
        """Let go of a channel that nobody is in, unless something of it has yet to be written."""
        waiting = any(waits == key for waits, _ in self._waiting) or key in self._touched
        writing = any(one.key == key for one in self._writing or ())
        if key not in self._sinks and not waiting and not writing:
            self._streams.pop(key, None)

    def _stream(self, key: ChannelKey, keep: Keep) -> Stream:
        stream = self._streams.get(key)
        if stream is not None:
            return stream
        used = self._used.setdefault(key.app_id, Used())
        loaded = self._journal.load(key, max(MOST, keep.messages))
        return Stream(keep, used) if loaded is None else _restored(loaded, keep, used)

    # --- what was kept ---

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

    def erase(self, key: ChannelKey, upto: int | None = None) -> int:
        """Throw away kept messages; they are gone from the journal with its next batch."""
        stream = self._stream(key, Keep(10**6, 2**30, 1e9))
        if stream.blank:
            return 0
        gone = stream.erase(upto)
        self._streams[key] = stream
        self._touched.add(key)
        self._pump()
        return gone

    def _fresh(self, key: ChannelKey) -> Stream:
        stream = self._streams[key]
        stream.expire(self._wall())
        return stream

    # --- metadata ---

    def get_items(self, key: ChannelKey) -> Items:
        """Return the metadata of a channel, as far as it is written down."""
        return self._streams[key].shelf.items

    def set_item(
        self,
        key: ChannelKey,
        name: str,
        value: bytes | None,
        revision: int | None,
        author: Author,
        bounds: ItemBounds,
        done: _Done,
    ) -> None:
        """Change the metadata of a channel; *done* is called when that is written down, or cannot be."""
        if self._waiting_bytes > WAITING_BYTES:
            done("not_stored")
            return
        self._waiting.append((key, _Setting(name, value, revision, author, bounds, done)))
        self._waiting_bytes += len(value or b"") + _COST
        self._pump()

    # --- writing ---

    def _pump(self) -> None:
        """Begin to write the next batch, if none is being written."""
        while self._writing is None and (self._waiting or self._touched):
            self._write()

    def _write(self) -> None:
        batch, writing = Batch(), list[_Placed | _Planned]()
        offsets: dict[ChannelKey, int] = {}
        changed: set[ChannelKey] = set()
        at = self._wall()
        while self._waiting and len(writing) < BATCH_MOST:
            key, item = self._waiting[0]
            if isinstance(item, _Setting):
                if key in changed:
                    break  # it is planned on what the one before comes to
                self._waiting.popleft()
                self._waiting_bytes -= len(item.value or b"") + _COST
                planned = self._plan(key, item)
                if planned is not None:
                    changed.add(key)
                    batch.changes.append((key, planned.change))
                    writing.append(planned)
                continue
            self._waiting.popleft()
            self._waiting_bytes -= len(item.data) + _COST
            offset = offsets[key] = offsets.get(key, self._streams[key].offset) + 1
            kept = Kept(offset, item.author.member, at, item.data[MESSAGE_START:])
            batch.rows.append((key, Row(kept, item.author, identity_of(item))))
            writing.append(_Placed(key, item, at))
        touched, self._touched = self._touched, set()
        for key in {*offsets, *changed, *touched}:
            batch.marks[key] = self._mark(key, offsets.get(key), batch)
        if not batch.marks:
            return
        self._writing = writing
        self._journal.commit(batch, lambda error: self._written(touched, error))

    def _plan(self, key: ChannelKey, setting: _Setting) -> _Planned | None:
        name, value, revision, author, bounds, done = setting
        try:
            change = self._streams[key].shelf.plan(name, value, revision, author, bounds)
        except Refused as refused:
            done(refused.name)
            return None
        if not change.made:
            done(change)
            return None
        return _Planned(key, change, done)

    def _mark(self, key: ChannelKey, offset: int | None, batch: Batch) -> Mark:
        stream = self._streams[key]
        numbers = [row.kept.member for other, row in batch.rows if other == key]
        numbers += [change.author.member for other, change in batch.changes if other == key]
        revisions = [change.revision for other, change in batch.changes if other == key]
        return Mark(
            stream.epoch,
            stream.offset if offset is None else offset,
            max(numbers, default=stream.last_member) if numbers else stream.last_member,
            max(revisions, default=stream.shelf.revision),
            stream.keep.ttl,
            stream.ring.floor if stream.keep.messages or offset is None else offset,
        )

    def _written(self, touched: set[ChannelKey], error: Exception | None) -> None:
        writing, self._writing = self._writing or [], None
        keys = {one.key for one in writing} | touched
        if error is None:
            if self._failing:
                self._failing = False
                logger.info("messages can be stored again")
            self._place(writing)
        else:
            if not self._failing:
                self._failing = True
                logger.error("messages cannot be stored, and are refused", reason=str(error))
            self._touched |= touched
            self._give_up(writing)
        for key in keys:
            if key in self._streams and key not in self._sinks:
                self._forget(key)
        if error is None or self._waiting:
            self._pump()
        if self._rest is not None and not self._rest.done():
            self._rest.set_result(None)

    def _place(self, writing: list[_Placed | _Planned]) -> None:
        turns: dict[ChannelKey, list[Entry]] = {}
        settled: dict[ChannelKey, list[Message]] = {}
        for one in writing:
            stream = self._streams[one.key]
            if isinstance(one, _Planned):
                stream.change(one.change)
                continue
            stream.place(one.entry, one.at)
            turns.setdefault(one.key, []).append(one.entry)
            for again in self._again.pop((one.key, identity_of(one.entry)), ()):
                stream.settled(again)
                settled.setdefault(one.key, []).append(again)
        for key, turn in turns.items():
            if key in self._sinks:
                self._sinks[key].deliver(turn)
        for key, entries in settled.items():
            if key in self._sinks:
                self._sinks[key].settle(entries)
        for one in writing:
            if isinstance(one, _Planned):
                one.done(one.change)

    def _give_up(self, writing: list[_Placed | _Planned]) -> None:
        refused: dict[ChannelKey, list[Message]] = {}
        for one in writing:
            if isinstance(one, _Planned):
                one.done("not_stored")
                continue
            entries = refused.setdefault(one.key, [])
            entries.append(one.entry)
            entries += self._again.pop((one.key, identity_of(one.entry)), ())
        for key, entries in refused.items():
            self._refuse(key, entries)

    def _refuse(self, key: ChannelKey, entries: list[Message]) -> None:
        self._note_refused(len(entries))
        if key in self._sinks:
            self._sinks[key].refuse(entries, "not_stored")


def _restored(loaded: Loaded, keep: Keep, used: Used) -> Stream:
    mark = loaded.mark
    stream = Stream(keep, used, mark.epoch)
    stream.offset, stream.last_member = mark.offset, mark.last_member
    stream.shelf = Shelf(used, mark.revision, loaded.items, counted=True)
    for identity, offset in loaded.repeats:
        stream.repeats.note(identity, offset)
    stream.ring.floor = loaded.rows[0].kept.offset - 1 if loaded.rows else mark.offset
    for row in loaded.rows:
        stream.restore(row.kept, row.author, row.identity)
    return stream


_: type[Broker] = StoredBroker
