"""Coming and going against a model: every member gets every message once, in order, and knows whose it is.

The engine places messages at once, or when it is told to, or not at all; members leave, come back with a
place that is right or wrong, and send again what has no answer. Links back up, and turns go out in slices.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, NamedTuple
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import (
    Ack,
    Control,
    Error,
    Join,
    Joined,
    Leave,
    Left,
    MemberJoined,
    MemberLeft,
    Place,
    PresenceChanged,
    Side,
)
from sealcast.protocol.sframe import encode_header
from sealcast.server import turns
from sealcast.server.config import (
    AppConfig,
    AppHistory,
    AppLimits,
    AppPolicy,
    AppPresence,
    Config,
    ServerConfig,
)
from sealcast.server.hub import Hub
from sealcast.server.interfaces import ChannelKey, Entry, Keep, Message, Sink, Subscription
from sealcast.server.session import Session
from sealcast.server.turns import WRITE_COST

from .fakes import LateBroker
from .test_session_model import APP, Link, Silent

USERS: Final = ("ann", "bob", "eve")
RUNS: Final = (b"", bytes(16), bytes(range(16)))
KEPT: Final = 8
AGAIN: Final = 6


class Placed(NamedTuple):
    """A message that has its place."""

    member: int
    user: str
    run: bytes
    body: bytes


class Recorder:
    """Stands between the engine and a channel, and writes down what has been placed."""

    def __init__(self, sink: Sink, log: list[Placed]) -> None:
        self.sink = sink
        self.log = log

    def deliver(self, turn: Sequence[Entry]) -> None:
        for entry in turn:
            if isinstance(entry, Message):
                author, body = entry.author, entry.data[envelope.MESSAGE_START :]
                self.log.append(Placed(author.member, author.user, entry.run, body))
                assert entry.offset == len(self.log)
        self.sink.deliver(turn)

    def settle(self, entries: Sequence[Message]) -> None:
        self.sink.settle(entries)

    def refuse(self, entries: Sequence[Message], name: str) -> None:
        self.sink.refuse(entries, name)


class Engine(LateBroker):
    """An engine that may be slow, and writes down what it has placed, by epoch."""

    def __init__(self) -> None:
        super().__init__(wall=lambda: 2_000_000_000.0)
        self.late = False
        self.logs: dict[str, list[Placed]] = {}
        self.epoch = ""

    def subscribe(self, key: ChannelKey, sink: Sink, keep: Keep) -> Subscription:
        recorder = Recorder(sink, [])
        subscription = super().subscribe(key, recorder, keep)
        self.epoch = subscription.position.epoch
        recorder.log = self.logs.setdefault(self.epoch, recorder.log)
        return subscription


class Seat:
    """One membership: how it began, and what its member was told."""

    def __init__(self, link: Link, user: str, run: bytes, since: Place | None) -> None:
        self.link = link
        self.user = user
        self.run = run
        self.since = since
        self.over = False
        self.joined: Joined
        self.known: dict[int, str] = {}
        self.seen: list[tuple[int, int, bytes]] = []
        self.answers: dict[int, Control] = {}
        self.sent: dict[int, bytes] = {}
        self.newest = 0
        """How many messages had their place when it joined."""


class Comers(RuleBasedStateMachine):
    """Users of one channel who come and go."""

    PRESENCE: ClassVar[dict[str, float]] = {}

    @initialize()
    def start(self) -> None:
        self.soon: list[Callable[[], None]] = []
        app = AppConfig(
            app_id=APP,
            policy=AppPolicy(allow_app_id_only=True),
            history=AppHistory(messages=KEPT),
            presence=AppPresence(**self.PRESENCE),
            limits=AppLimits(recovery_messages=AGAIN, joins_per_minute=10_000),
        )
        self.broker = Engine()
        self.now = 1000.0
        config = Config(server=ServerConfig(heartbeat=3600), apps=(app,))
        self.hub = Hub(config, self.broker, self, self.soon.append)
        self.seats: list[Seat] = []
        self.here: dict[str, Seat] = {}
        self.runs: dict[str, bytes] = {}
        self.refs = itertools.count(1000)
        self.counter = itertools.count()
        self.unanswered: dict[tuple[str, bytes], list[int]] = {}
        """Refs of messages that had no answer when their senders' memberships ended."""

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 2_000_000_000.0

    # --- what may happen ---

    @rule(
        user=st.sampled_from(USERS),
        run=st.sampled_from(RUNS),
        back=st.integers(-1, 10) | st.none(),
        right=st.sampled_from([True, True, True, False]),
        same=st.booleans(),
        again=st.booleans(),
    )
    def join(self, user: str, run: bytes, back: int | None, right: bool, same: bool, again: bool) -> None:
        """Join on a connection of its own, with a place some messages back; an older membership ends."""
        before = self.here.get(user)
        run = self.runs.get(user, run) if same else run
        newest = len(self.broker.logs.get(self.broker.epoch, ()))
        since = None
        if back is not None:
            epoch = self.broker.epoch if right else "another epoch"
            since = Place(epoch=epoch, offset=max(newest - back, 0))
        link = Link()
        app = self.hub.app(APP)
        assert app is not None
        link.session = Session(self.hub, app, link, Silent(1, APP, "", 0.0))
        seat = Seat(link, user, run, since)
        join = Join(channel="room", user=user, since=since, run=run or None)
        link.session.receive(controls.encode(join, 1))
        seat.newest = len(self.broker.logs[self.broker.epoch])
        if before is not None:
            self._over(before)
        self.seats.append(seat)
        self.here[user], self.runs[user] = seat, run
        self._read(seat)
        if again and run:
            for ref in self.unanswered.pop((user, run), []):
                self._send(seat, ref, 7)

    @precondition(lambda self: self.here)
    @rule(who=st.integers(0, 2), sizes=st.lists(st.integers(0, 200), min_size=1, max_size=3))
    def send(self, who: int, sizes: list[int]) -> None:
        for size in sizes:
            self._send(self._pick(who), next(self.refs), size)

    @precondition(lambda self: self.here)
    @rule(who=st.integers(0, 2))
    def frame(self, who: int) -> None:
        seat = self._pick(who)
        body = bytes((0x11, 0, 0, 2)) + encode_header(0, next(self.counter)) + bytes(20)
        seat.link.session.receive(envelope.frame(seat.joined.channel, seat.joined.member, body))

    @precondition(lambda self: self.here)
    @rule(who=st.integers(0, 2), lost=st.booleans())
    def go(self, who: int, lost: bool) -> None:
        seat = self._pick(who)
        del self.here[seat.user]
        if lost:
            seat.link.session.lost(None)
            seat.link.closed = True
        else:
            seat.link.session.receive(controls.encode(Leave(channel=seat.joined.channel), 2))
        self._over(seat, missed=lost)  # as if no answer had arrived

    @rule(late=st.booleans())
    def hurry(self, late: bool) -> None:
        """The engine becomes slow, or, with nothing under way, fast again."""
        if late or not self.broker.waiting:
            self.broker.late = late

    @precondition(lambda self: self.broker.waiting)
    @rule(count=st.integers(1, 4))
    def place(self, count: int) -> None:
        self.broker.place(count)

    @precondition(lambda self: self.broker.waiting)
    @rule(count=st.integers(1, 2))
    def fail(self, count: int) -> None:
        self.broker.fail(count)

    @precondition(lambda self: self.here)
    @rule(who=st.integers(0, 2))
    def back_up(self, who: int) -> None:
        seat = self._pick(who)
        if not seat.link.backed_up:
            seat.link.backed_up = True
            seat.link.session.pause()

    @precondition(lambda self: self.here)
    @rule(who=st.integers(0, 2))
    def catch_up(self, who: int) -> None:
        self._catch_up(self._pick(who))

    @rule()
    def pass_time(self) -> None:
        """Let whoever lingers be gone, and let it be told who came and went."""
        self.now += 6.0
        self.hub.wheel.advance(self.now)

    @rule()
    def turn(self) -> None:
        soon, self.soon[:] = list(self.soon), []
        for call in soon:
            call()

    # --- what has to be so ---

    @invariant()
    def everybody_has_a_beginning_of_what_is_theirs(self) -> None:
        for seat in self.seats:
            self._read(seat)
            expected = self._theirs(seat)
            assert seat.seen == expected[: len(seat.seen)]

    def teardown(self) -> None:
        self.pass_time()
        while self.broker.waiting or self.soon:
            self.broker.place(100)
            self.turn()
        for seat in self.seats:
            self._catch_up(seat)
            self._read(seat)
        for seat in self.here.values():
            assert seat.seen == self._theirs(seat), "in the end it has all of it"
            assert seat.answers.keys() == seat.sent.keys(), "every message has its answer"
        for log in self.broker.logs.values():
            bodies = [placed.body for placed in log]
            assert len(set(bodies)) == len(bodies), "nothing was taken twice"
        app = self.hub.app(APP)
        assert app is not None
        there = {user for channel in app.channels.values() for user in channel.by_user}
        assert there == self.here.keys()
        assert all(channel.members for channel in app.channels.values()), "no channel outlives its members"

    def _theirs(self, seat: Seat) -> list[tuple[int, int, bytes]]:
        joined = seat.joined
        log = self.broker.logs[joined.epoch]
        start = seat.newest
        if joined.recovered:
            assert seat.since is not None
            start = seat.since.offset
        return [
            (offset, placed.member, placed.body)
            for offset, placed in enumerate(log[start:], start + 1)
            if placed.member != joined.member
            and not (seat.run and (placed.user, placed.run) == (seat.user, seat.run))
        ]

    def _pick(self, who: int) -> Seat:
        return list(self.here.values())[who % len(self.here)]

    def _send(self, seat: Seat, ref: int, size: int) -> None:
        body = bytes((0x14, 0, 0, 1)) + encode_header(0, next(self.counter)) + bytes(size)
        seat.sent[ref] = body
        seat.link.session.receive(envelope.message(seat.joined.channel, seat.joined.member, ref, body))

    def _over(self, seat: Seat, *, missed: bool = False) -> None:
        self._catch_up(seat)
        self._read(seat)
        seat.over = True
        left = self.unanswered.setdefault((seat.user, seat.run), [])
        left += [ref for ref in seat.sent if missed or not isinstance(seat.answers.get(ref), Ack)]

    def _catch_up(self, seat: Seat) -> None:
        if seat.link.backed_up:
            seat.link.backed_up = False
            seat.link.session.resume()

    def _read(self, seat: Seat) -> None:
        for data in seat.link.messages():
            if data[0] == envelope.CONTROL:
                self._told(seat, *controls.decode(data, Side.SERVER))
                continue
            head = envelope.decode(data)
            assert head.member in seat.known or (
                head.type == envelope.DELIVERED and head.number <= seat.joined.offset
            ), "it is known who sent it"
            if head.type == envelope.DELIVERED:
                if head.number <= seat.joined.offset:
                    authors = {info.member: info.user for info in seat.joined.authors}
                    assert head.member in {**authors, **seat.known}
                seat.seen.append((head.number, head.member, data[head.start :]))

    def _told(self, seat: Seat, control: Control, ref: int) -> None:
        match control:
            case Joined():
                seat.joined = control
                seat.known = {info.member: info.user for info in control.members}
                assert control.member not in seat.known
                assert control.total == len(control.members) + 1
                self._check_joined(seat)
            case MemberJoined():
                # In a large channel who speaks is introduced to all, also to those who know it from `joined`.
                assert control.member not in seat.known or self.PRESENCE.get("instant")
                seat.known[control.member] = control.user
            case MemberLeft():
                seat.known.pop(control.member, None)
            case PresenceChanged():
                seat.known.update({info.member: info.user for info in control.joined})
                for departure in control.left:
                    seat.known.pop(departure.member, None)
            case Ack():
                assert ref not in seat.answers
                seat.answers[ref] = control
                placed = self.broker.logs[seat.joined.epoch][control.offset - 1]
                assert placed.user == seat.user
                assert control.repeated or placed.body == seat.sent[ref]
            case Error():
                assert control.name == "not_stored"
                assert ref not in seat.answers
                seat.answers[ref] = control
            case Left():
                pass

    def _check_joined(self, seat: Seat) -> None:
        joined, since = seat.joined, seat.since
        assert joined.offset == seat.newest
        if since is None or since.epoch != joined.epoch:
            assert not joined.recovered
            return
        missing = joined.offset - since.offset
        assert joined.recovered == (0 <= missing <= min(AGAIN, KEPT))


class LingeringComers(Comers):
    """The same where members whose connections are lost linger."""

    PRESENCE: ClassVar[dict[str, float]] = {"linger": 5.0}


class CrowdedComers(Comers):
    """The same where it is told at intervals who comes and goes."""

    PRESENCE: ClassVar[dict[str, float]] = {"linger": 5.0, "instant": 1, "interval": 5.0}


class SlicedComers(Comers):
    """The same while every turn goes out to one member at a time, and two in a turn of the loop."""

    @initialize()
    def start(self) -> None:
        self.patches = [patch.object(turns, "SLICE", 1), patch.object(turns, "TURN_MOST", 2 * WRITE_COST)]
        for each in self.patches:
            each.start()
        super().start()

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            for each in self.patches:
                each.stop()


TestComers = Comers.TestCase
TestComers.settings = settings(max_examples=100, stateful_step_count=50)
TestLingeringComers = LingeringComers.TestCase
TestLingeringComers.settings = settings(max_examples=100, stateful_step_count=50)
TestCrowdedComers = CrowdedComers.TestCase
TestCrowdedComers.settings = settings(max_examples=100, stateful_step_count=50)
TestSlicedComers = SlicedComers.TestCase
TestSlicedComers.settings = settings(max_examples=100, stateful_step_count=50)
