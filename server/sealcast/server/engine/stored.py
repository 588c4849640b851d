"""The persistent engine: a message has its place, and is delivered, when it has been written down.

An ack says: the message is on disk, and was handed to every member's connection. The logic is here, without
I/O; a ``Journal`` writes. One batch is being written at a time, and what is published meanwhile
becomes the next one: the slower the disk, the larger the batches. A batch that fails is refused as a whole:
nobody has got any of it, and its places are given again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
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
    Keep,
    Kept,
    Message,
    Sink,
    Subscription,
)
from ..logs import logger
from ..metadata import Refused, Shelf
from .journal import Journal, Loaded, Mark, Part, Row
from .reading import Reading
from .repeats import MOST, Identity
from .ring import COST
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


class StoredBroker(Reading):
    """Places messages in the order in which they are published, when the journal has them.

    Args:
        journal: writes.
        wall: the present, in Unix seconds.

    """

    def __init__(self, journal: Journal, wall: Callable[[], float]) -> None:
        super().__init__(wall)
        self._journal = journal
        self._used = {app: Used(amount) for app, amount in journal.metadata().items()}
        """The metadata of each app, also of channels that nobody is in: it stays."""
        self._waiting: deque[tuple[ChannelKey, Message | _Setting]] = deque()
        self._waiting_bytes = 0
        self._unwritten: Counter[ChannelKey] = Counter()
        """How much of each channel waits or is being written; those with nothing have no count."""
        self._touched: set[ChannelKey] = set()
        """Channels whose mark has to be written though nothing is placed in them."""
        self._again: dict[tuple[ChannelKey, Identity], list[Message]] = {}
        """By what is under way: the same message, sent again meanwhile."""
        self._writing: list[_Placed | _Planned] | None = None
        self._failing = False
        self._failed_at = 0.0
        self._written_some = asyncio.Event()
        """Set whenever a batch has been dealt with; cleared by whoever waits."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be written, nor is being."""
        return self._writing is None and not self._waiting and not self._touched

    def streams(self) -> list[Stream]:
        """Return the channels that are in memory, for who counts what they keep."""
        return list(self._streams.values())

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages and changes wait to be written, and the bytes of them."""
        return len(self._waiting), self._waiting_bytes

    @property
    def failed_at(self) -> float | None:
        """When a batch could not be written, in Unix seconds; None when the last one could."""
        return self._failed_at if self._failing else None

    async def settled(self) -> None:
        """Wait until nothing is under way any more."""
        while not self.idle:
            self._written_some.clear()
            await self._written_some.wait()

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
            self._wait(key, entry, len(entry.data))

    def _wait(self, key: ChannelKey, item: Message | _Setting, size: int) -> None:
        self._waiting.append((key, item))
        self._waiting_bytes += size + _COST
        self._unwritten[key] += 1

    # --- channels ---

    def subscribe(self, key: ChannelKey, sink: Sink, keep: Keep) -> Subscription:
        """Start delivering a channel's turns to *sink*; return where it stands now.

        It is read from the journal here and now: a few milliseconds, once for each time that a channel
        comes to life, and bounded by what it may keep. To wait elsewhere would make every join a task.

        Raises:
            EngineDown: it cannot be read.

        """
        stream = self._stream(key, keep)
        outdated = stream.keep.ttl != keep.ttl and not stream.blank
        stream.allow(keep)
        self._streams[key] = stream
        self._sinks[key] = sink
        if outdated:  # the journal goes by it when nobody is here
            self._touched.add(key)
            self._pump()
        return Subscription(stream.position, stream.last_member)

    def unsubscribe(self, key: ChannelKey) -> None:
        """Stop delivering; the journal has what is needed to go on."""
        del self._sinks[key]
        self._forget(key)

    def _forget(self, key: ChannelKey) -> None:
        """Let go of a channel that nobody is in, unless something of it has yet to be written."""
        if not (key in self._sinks or key in self._unwritten or key in self._touched):
            self._streams.pop(key, None)

    def _dealt_with(self, key: ChannelKey) -> None:
        """Count something that waits or is being written no more."""
        self._unwritten[key] -= 1
        if not self._unwritten[key]:
            del self._unwritten[key]

    def _stream(self, key: ChannelKey, keep: Keep) -> Stream:
        stream = self._streams.get(key)
        if stream is None:
            used = self._used.setdefault(key.app_id, Used())
            loaded = self._journal.load(key, max(MOST, keep.messages))
            if loaded is None:
                return Stream(keep, used)
            stream = _restored(loaded, keep._replace(ttl=loaded.mark.ttl), used)
        return stream

    # --- what was kept ---

    def erase(self, key: ChannelKey, upto: int | None = None) -> int:
        """Throw away kept messages; they are gone from the journal with its next batch.

        Raises:
            EngineDown: a channel that nobody is in cannot be read.

        """
        stream = self._streams.get(key) or self._unvisited(key)
        if stream is None or stream.blank:
            return 0
        gone = stream.erase(upto)
        self._streams[key] = stream
        self._touched.add(key)
        self._pump()
        return gone

    def _unvisited(self, key: ChannelKey) -> Stream | None:
        """Return a channel that nobody is in as it was written down, all of it; None when it was not."""
        loaded = self._journal.load(key, MOST)
        if loaded is None:
            return None
        size = sum(len(row.kept.data) + COST for row in loaded.rows)
        keep = Keep(len(loaded.rows), size, loaded.mark.ttl)
        return _restored(loaded, keep, self._used.setdefault(key.app_id, Used()))

    # --- metadata ---

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
        self._wait(key, _Setting(name, value, revision, author, bounds, done), len(value or b""))
        self._pump()

    # --- writing ---

    def _pump(self) -> None:
        """Begin to write the next batch, if none is being written."""
        while self._writing is None and (self._waiting or self._touched):
            self._write()

    def _write(self) -> None:
        gathered: dict[ChannelKey, tuple[list[Row], list[Change]]] = {}
        writing: list[_Placed | _Planned] = []
        unwritten: list[tuple[ChannelKey, _Done, Change | str]] = []
        at = self._wall()
        while self._waiting and len(writing) < BATCH_MOST:
            key, item = self._waiting[0]
            rows, changes = gathered.get(key) or ([], [])
            if isinstance(item, _Setting):
                if changes:
                    break  # it is planned on what the one before comes to
                self._waiting.popleft()
                self._waiting_bytes -= len(item.value or b"") + _COST
                planned = self._plan(key, item)
                if isinstance(planned, str) or not planned.made:
                    unwritten.append((key, item.done, planned))
                    continue
                changes.append(planned)
                writing.append(_Planned(key, planned, item.done))
            else:
                self._waiting.popleft()
                self._waiting_bytes -= len(item.data) + _COST
                offset = self._streams[key].offset + len(rows) + 1
                kept = Kept(offset, item.author.member, at, item.data[MESSAGE_START:])
                rows.append(Row(kept, item.author, identity_of(item)))
                writing.append(_Placed(key, item, at))
            gathered[key] = rows, changes
        touched, self._touched = self._touched, set()
        for key in touched:
            gathered.setdefault(key, ([], []))
        if gathered:
            batch = {key: Part(self._mark(key, *of), *of) for key, of in gathered.items()}
            self._writing = writing
            self._journal.commit(batch, lambda error: self._written(touched, error))
        # Only now: who is told may come with the next thing at once, which then waits for this batch.
        for key, done, planned in unwritten:
            self._dealt_with(key)
            done(planned)
            self._forget(key)

    def _plan(self, key: ChannelKey, setting: _Setting) -> Change | str:
        name, value, revision, author, bounds, _ = setting
        try:
            return self._streams[key].shelf.plan(name, value, revision, author, bounds)
        except Refused as refused:
            return refused.name

    def _mark(self, key: ChannelKey, rows: Sequence[Row], changes: Sequence[Change]) -> Mark:
        stream = self._streams[key]
        members = [*(row.kept.member for row in rows), *(change.author.member for change in changes)]
        offset = rows[-1].kept.offset if rows else stream.offset
        return Mark(
            stream.epoch,
            offset,
            max([stream.last_member, *members]),
            changes[-1].revision if changes else stream.shelf.revision,
            stream.keep.ttl,
            stream.ring.floor if stream.keep.messages or not rows else offset,
        )

    def _written(self, touched: set[ChannelKey], error: Exception | None) -> None:
        writing, self._writing = self._writing or [], None
        for one in writing:
            self._dealt_with(one.key)
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
            self._failed_at = self._wall()
            self._touched |= touched
            self._give_up(writing)
        for key in keys:
            self._forget(key)
        if error is None or self._waiting:
            self._pump()
        self._written_some.set()

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
