"""A channel with fakes around it: a broker, outlets, and a loop that comes round when told to."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sealcast.protocol import envelope
from sealcast.protocol.codes import Code
from sealcast.protocol.controls import Control
from sealcast.protocol.descriptor import Descriptor, streams_of
from sealcast.protocol.names import Kind, Privilege
from sealcast.protocol.sframe import encode_header
from sealcast.server.auth import Rights
from sealcast.server.budget import Used
from sealcast.server.channel import Channel
from sealcast.server.clock import TimingWheel
from sealcast.server.config import DeliveryPolicy
from sealcast.server.engine.memory import MemoryBroker
from sealcast.server.engine.stream import Stream
from sealcast.server.interfaces import (
    NOTICE,
    Author,
    ChannelKey,
    Entry,
    Keep,
    Kept,
    Message,
    Page,
    Position,
    Sink,
    Subscription,
)
from sealcast.server.member import Member
from sealcast.server.metrics import Metrics
from sealcast.server.presence import PresencePolicy
from sealcast.server.shedding import Waiting
from sealcast.server.turns import Turns

NOW = 1000.0
KEEP = Keep(100, 2**20, 60.0)
ALL = Rights(NOW + 100, dict.fromkeys(Privilege, NOW + 100))


class FakeBroker:
    """Places messages at once, or, when *slow*, only when ``place`` or ``fail`` is called."""

    def __init__(self, *, slow: bool = False) -> None:
        self.sinks: dict[ChannelKey, Sink] = {}
        self.turns: list[list[Entry]] = []
        self.stream = Stream(KEEP, Used(), "epoch")
        self.slow = slow
        self.waiting: list[tuple[ChannelKey, Message]] = []

    def publish(self, key: ChannelKey, turn: list[Entry]) -> None:
        self.turns.append(turn)
        messages = [entry for entry in turn if isinstance(entry, Message)]
        if not self.slow:
            for message in messages:
                self.stream.place(message, NOW)
            self.sinks[key].deliver(turn)
            return
        self.waiting += [(key, message) for message in messages]
        if others := [entry for entry in turn if not isinstance(entry, Message)]:
            self.sinks[key].deliver(others)

    def place(self, count: int = 1) -> None:
        """Give the first messages that wait their places."""
        for _ in range(count):
            key, message = self.waiting.pop(0)
            if self.stream.settled(message):
                self.sinks[key].settle([message])
            else:
                self.stream.place(message, NOW)
                self.sinks[key].deliver([message])

    def fail(self, count: int = 1) -> None:
        """Refuse the first messages that wait."""
        for _ in range(count):
            key, message = self.waiting.pop(0)
            self.sinks[key].refuse([message], "not_stored")

    def subscribe(self, key: ChannelKey, sink: Sink, keep: Keep) -> Subscription:
        self.sinks[key] = sink
        return Subscription(self.stream.position, self.stream.last_member)

    def unsubscribe(self, key: ChannelKey) -> None:
        del self.sinks[key]

    def since(self, key: ChannelKey, position: Position, most: int, most_bytes: int) -> Sequence[Kept] | None:
        return self.stream.ring.since(position.offset, self.stream.offset, most, most_bytes)

    def page(
        self, key: ChannelKey, *, after: int = 0, before: int | None = None, limit: int, most_bytes: int
    ) -> Page:
        return self.stream.ring.page(after=after, before=before, limit=limit, most_bytes=most_bytes)

    def held(self, key: ChannelKey) -> tuple[int, int]:
        return len(self.stream.ring), self.stream.ring.size

    def authors(self, key: ChannelKey, members: Collection[int]) -> dict[int, Author]:
        return self.stream.authors(members)

    def sent_by(self, key: ChannelKey, user: str, run: bytes) -> Collection[int]:
        return self.stream.repeats.of_run(user, run)

    def erase(self, key: ChannelKey, upto: int | None = None) -> int:
        return self.stream.erase(upto)


class LateBroker(MemoryBroker):
    """The memory engine; while *late*, messages wait until ``place`` or ``fail`` is called."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        super().__init__(wall)
        self.late = True
        self.waiting: list[tuple[ChannelKey, Message]] = []

    def publish(self, key: ChannelKey, turn: list[Entry]) -> None:
        if not self.late:
            super().publish(key, turn)
            return
        self.waiting += [(key, entry) for entry in turn if isinstance(entry, Message)]
        if others := [entry for entry in turn if not isinstance(entry, Message)]:
            super().publish(key, others)

    def place(self, count: int = 1) -> None:
        """Give the first messages that wait their places."""
        for key, batch in self._take(count):
            super().publish(key, batch)

    def fail(self, count: int = 1) -> None:
        """Refuse the first messages that wait."""
        for key, batch in self._take(count):
            self._sinks[key].refuse(batch, "not_stored")

    def _take(self, count: int) -> list[tuple[ChannelKey, list[Any]]]:
        batch, self.waiting = self.waiting[:count], self.waiting[count:]
        return [
            (key, [message for _, message in group])
            for key, group in itertools.groupby(batch, key=lambda one: one[0])
        ]


class FakeOutlet:
    """Collects WebSocket messages; the fan-out's write and the slow path's queue are told apart."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.queued: list[Waiting] = []
        self.told: list[tuple[Control, int]] = []
        self.held = 0
        self.on_write: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.on_write()

    def queue(self, items: Sequence[Waiting]) -> None:
        self.queued.extend(items)

    def tell(self, control: Control, ref: int = 0) -> None:
        self.told.append((control, ref))

    def leave(self, channel: int, code: Code) -> None:
        raise AssertionError

    def drops(self, channel: int) -> Mapping[tuple[str, str], int]:
        return {}

    def hold(self) -> None:
        self.held += 1

    def release(self) -> None:
        self.held -= 1

    def messages(self) -> list[bytes]:
        """Return the WebSocket messages in what was written, in order."""
        return unframe(b"".join(self.writes))


def unframe(data: bytes) -> list[bytes]:
    messages = []
    while data:
        assert data[0] == 0x82, "a whole binary message"
        start, length = 2, data[1]
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(data[2:start], "big")
        messages.append(data[start : start + length])
        data = data[start + length :]
    return messages


class House:
    """A channel with fakes around it.

    *beside* is another one in the same process: both are served in turn.
    """

    def __init__(self, beside: House | None = None, number: int = 7, *, slow: bool = False) -> None:
        self.broker = FakeBroker(slow=slow)
        self.finished: list[Channel] = []
        self.soon: list[Callable[[], None]] = beside.soon if beside else []
        self.metrics = beside.metrics if beside else Metrics()
        self.turns = beside.turns if beside else Turns(self.soon.append, lambda: NOW, self.metrics)
        self.channel = Channel(
            ChannelKey("0" * 32, f"room {number}"),
            number,
            encryption_required=True,
            delivery="realtime",
            keep=KEEP,
            presence=PresencePolicy(60_000, 1.0, 0.0),
            wheel=TimingWheel(NOW),
            broker=self.broker,
            metrics=self.metrics,
            now=lambda: NOW,
            turns=self.turns,
            finished=self.finished.append,
        )

    def add(self, user: str, hello: bytes | None = None, run: bytes = b"") -> tuple[Member, FakeOutlet]:
        outlet = FakeOutlet()
        return self.channel.add(user, hello, ALL, outlet, NOW, run), outlet

    def turn(self) -> None:
        """Let the loop come round."""
        soon, self.soon[:] = list(self.soon), []
        for call in soon:
            call()

    def settle(self) -> int:
        """Let the loop come round until nothing is left to do; return how often it did."""
        turns = 0
        while self.soon:
            self.turn()
            turns += 1
        return turns


def frame(member: Member, number: int, size: int = 20, kind: Kind = Kind.AUDIO) -> bytes:
    head = Descriptor(kind, stream=streams_of(kind)[0]).encode() + encode_header(1, number)
    return envelope.frame(7, member.number, head + os.urandom(size))


def waiting(
    kind: int,
    *,
    since: float = 0.0,
    size: int = 100,
    body: bytes = b"",
    channel: int = 1,
    sender: int = 1,
    policy: DeliveryPolicy = "realtime",
    keyed: bool = True,
    **described: int,
) -> Waiting:
    """Return something that waits: a frame described by a descriptor's fields, or a message or notice.

    Its wire is *size* bytes that begin with *body*.
    """
    wire = body.ljust(size - 1, b".") + b"\n"
    if kind in (NOTICE, Kind.MESSAGE):
        return Waiting(kind, wire, channel, since)
    described.setdefault("stream", streams_of(Kind(kind))[0])
    data = envelope.frame(channel, sender, Descriptor(Kind(kind), **described).encode())
    return Waiting.frame(data, wire, channel, since, policy, keyed=keyed)


def message(member: Member, number: int, ref: int, size: int = 20) -> bytes:
    head = Descriptor(Kind.MESSAGE, stream=1).encode() + encode_header(0, number)
    return envelope.message(7, member.number, ref, head + os.urandom(size))


def quiet(house: House, *users: str) -> list[tuple[Member, FakeOutlet]]:
    """Add members and forget that they were announced."""
    members = [house.add(user) for user in users]
    house.turn()
    for _, outlet in members:
        outlet.writes.clear()
    house.broker.turns.clear()
    return members
