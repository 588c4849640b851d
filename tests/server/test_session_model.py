"""Sessions against a model: whatever happens in whatever order, everybody gets exactly what is theirs.

The model is a list of events for each channel. A member's view is what stands behind its own joining,
without what it did itself. Members that are backed up get the same, later: nothing here is old or large
enough to be dropped. A membership that ends may miss the frames that waited for it, and who came and went
in its last turn, but no message and no direct.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple
from unittest.mock import patch

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from sealcast.protocol import controls, envelope
from sealcast.protocol.codes import Code
from sealcast.protocol.controls import (
    Direct,
    Directed,
    Error,
    Join,
    Joined,
    Leave,
    Left,
    MemberJoined,
    MemberLeft,
    Side,
)
from sealcast.protocol.sframe import encode_header
from sealcast.server import turns
from sealcast.server.config import AppConfig, AppPolicy, Config
from sealcast.server.engine.memory import MemoryBroker
from sealcast.server.hub import Hub
from sealcast.server.logs import SessionLog
from sealcast.server.session import Session
from sealcast.server.turns import WRITE_COST

APP = "0123456789abcdef0123456789abcdef"
CHANNELS = ("one", "two")
USERS = ("ann", "bob", "eve")


class Event(NamedTuple):
    """Something that happened in a channel: what, who did it, and what is seen of it."""

    what: str
    member: int
    data: bytes | str
    only: int | None = None
    """The one member that sees it; None: all but who did it."""


def lasts(event: Event) -> bool:
    """Say whether an event may not be dropped even when the membership ends."""
    return event.what.startswith(("message", "direct"))


class Link:
    """A session, its transport, and what has been written to it."""

    def __init__(self) -> None:
        self.backed_up = False
        self.written = b""
        self.read = 0
        self.closed = False
        self.session: Session
        self.refs = itertools.count(1)
        self.counter = itertools.count()
        self.memberships: dict[str, Joined] = {}
        self.reading: dict[int, Seat] = {}
        """By channel number, the membership whose view is being read."""

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.written += data

    def hold(self) -> None:
        raise AssertionError

    def release(self) -> None:
        raise AssertionError

    def ping(self) -> None:
        raise AssertionError

    def admitted(self) -> None:
        pass

    def close(self, code: int, reason: str) -> None:
        self.closed = True

    def messages(self) -> list[bytes]:
        """Return the WebSocket messages written since the last time."""
        found, data = [], self.written
        while self.read < len(data):
            start, length = self.read + 2, data[self.read + 1]
            if length >= 126:
                start, length = self.read + 4, int.from_bytes(data[self.read + 2 : self.read + 4], "big")
            found.append(data[start : start + length])
            self.read = start + length
        return found


class Silent(SessionLog):
    """Writes nothing down."""

    def ended(self, cause: Code, peer_code: int | None, now: float) -> None:
        pass


class Seat(NamedTuple):
    """One membership in the model: where it began, and what its member saw."""

    link: Link
    name: str
    user: str
    member: int
    channel: int
    start: int
    seen: list[Event]
    until: list[int]


class Sessions(RuleBasedStateMachine):
    """Connections of one app, doing what they may."""

    links = Bundle("links")

    @initialize()
    def start(self) -> None:
        self.soon: list[Callable[[], None]] = []
        config = Config(apps=(AppConfig(app_id=APP, policy=AppPolicy(allow_app_id_only=True)),))
        self.hub = Hub(config, MemoryBroker(), self, self.soon.append)
        self.log: dict[str, list[Event]] = {name: [] for name in CHANNELS}
        self.seats: list[Seat] = []
        self.offsets = dict.fromkeys(CHANNELS, 0)
        self.all_links: list[Link] = []

    def monotonic(self) -> float:
        return 1000.0

    def wall(self) -> float:
        return 2_000_000_000.0

    # --- what may happen ---

    @rule(target=links)
    def connect(self) -> Link:
        link = Link()
        app = self.hub.app(APP)
        assert app is not None
        link.session = Session(self.hub, app, link, Silent(1, APP, "", 0.0))
        self.all_links.append(link)
        return link

    @rule(link=links, name=st.sampled_from(CHANNELS), user=st.sampled_from(USERS))
    def join(self, link: Link, name: str, user: str) -> None:
        if link.closed or name in link.memberships:
            return
        for seat in self.seats:
            if not seat.until and (seat.name, seat.user) == (name, user):
                self._end(seat, "replaced")
        app = self.hub.app(APP)
        assert app is not None
        link.session.receive(controls.encode(Join(channel=name, user=user), next(link.refs)))
        member = app.channels[name].by_user[user]
        self.log[name].append(Event("joined", member.number, user))
        seat = Seat(link, name, user, member.number, member.channel.number, len(self.log[name]), [], [])
        self.seats.append(seat)
        link.memberships[name] = member.joined(self.wall(), {})

    @rule(link=links, name=st.sampled_from(CHANNELS), size=st.integers(0, 300), message=st.booleans())
    def send(self, link: Link, name: str, size: int, message: bool) -> None:
        joined = link.memberships.get(name)
        if joined is None:
            return
        body = encode_header(0, next(link.counter)) + bytes(size)
        if message:
            body = bytes((0x14, 0, 0, 1)) + body
            link.session.receive(envelope.message(joined.channel, joined.member, next(link.refs), body))
            self.offsets[name] += 1
            self.log[name].append(Event(f"message {self.offsets[name]}", joined.member, body))
        else:
            body = bytes((0x11, 0, 0, 2)) + body
            link.session.receive(envelope.frame(joined.channel, joined.member, body))
            self.log[name].append(Event("frame", joined.member, body))

    @rule(link=links, name=st.sampled_from(CHANNELS), whom=st.integers(0, 5), data=st.binary(max_size=20))
    def direct(self, link: Link, name: str, whom: int, data: bytes) -> None:
        joined = link.memberships.get(name)
        others = [s for s in self.seats if s.name == name and not s.until and s.link is not link]
        if joined is None or not others:
            return
        other = others[whom % len(others)]
        control = Direct(channel=joined.channel, member=other.member, data=data)
        link.session.receive(controls.encode(control, next(link.refs)))
        self.log[name].append(Event("direct", joined.member, data, only=other.member))

    @rule(link=links, name=st.sampled_from(CHANNELS))
    def leave(self, link: Link, name: str) -> None:
        joined = link.memberships.get(name)
        if joined is None:
            return
        link.session.receive(controls.encode(Leave(channel=joined.channel), next(link.refs)))
        self._ended(link, "left", name)

    @rule(link=consumes(links), code=st.sampled_from([None, 1000]))
    def lose(self, link: Link, code: int | None) -> None:
        link.session.lost(code)
        self._ended(link, "left" if code else "connection_lost")
        link.closed = True

    @rule(link=links)
    def back_up(self, link: Link) -> None:
        if not link.backed_up and not link.closed:
            link.backed_up = True
            link.session.pause()

    @rule(link=links)
    def catch_up(self, link: Link) -> None:
        if link.backed_up:
            link.backed_up = False
            link.session.resume()

    @rule()
    def turn(self) -> None:
        soon, self.soon[:] = list(self.soon), []
        for call in soon:
            call()

    # --- what has to be so ---

    def _ended(self, link: Link, reason: str, name: str | None = None) -> None:
        for seat in self.seats:
            if seat.link is link and not seat.until and name in (None, seat.name):
                self._end(seat, reason)

    def _end(self, seat: Seat, reason: str) -> None:
        seat.until.append(len(self.log[seat.name]))
        self.log[seat.name].append(Event("left", seat.member, reason))
        del seat.link.memberships[seat.name]

    @invariant()
    def everybody_saw_a_beginning_of_what_is_theirs(self) -> None:
        for link in self.all_links:
            self._read(link)
        for seat in self.seats:
            expected = self._view(seat)
            if seat.until:
                rest = iter(expected)
                assert all(event in rest for event in seat.seen), "nothing else, and in order"
            else:
                assert seat.seen == expected[: len(seat.seen)]

    def teardown(self) -> None:
        for link in self.all_links:
            self.catch_up(link)
        while self.soon:
            self.turn()
        self.everybody_saw_a_beginning_of_what_is_theirs()
        for seat in self.seats:
            expected = self._view(seat)
            if not seat.until:
                assert seat.seen == expected, "in the end they saw all of it"
            elif not seat.link.closed:
                assert [e for e in seat.seen if lasts(e)] == [e for e in expected if lasts(e)]
        app = self.hub.app(APP)
        assert app is not None
        present = {(seat.name, seat.member) for seat in self.seats if not seat.until}
        assert present == {(name, member) for name, room in app.channels.items() for member in room.members}

    def _view(self, seat: Seat) -> list[Event]:
        end = seat.until[0] if seat.until else None
        return [
            event
            for event in self.log[seat.name][seat.start : end]
            if event.member != seat.member and event.only in (None, seat.member)
        ]

    def _read(self, link: Link) -> None:
        for data in link.messages():
            if data[0] != envelope.CONTROL:
                head = envelope.decode(data)
                what = "frame" if head.type == envelope.FRAME else f"message {head.number}"
                self._saw(link, head.channel, Event(what, head.member, data[head.start :]))
                continue
            control, _ = controls.decode(data, Side.SERVER)
            assert not isinstance(control, Error), control
            if isinstance(control, MemberJoined):
                self._saw(link, control.channel, Event("joined", control.member, control.user))
            elif isinstance(control, MemberLeft):
                self._saw(link, control.channel, Event("left", control.member, control.reason))
            elif isinstance(control, Directed):
                me = link.reading[control.channel].member
                self._saw(link, control.channel, Event("direct", control.member, control.data, me))
            elif isinstance(control, Joined):
                (seat,) = [
                    s for s in self.seats if (s.channel, s.member) == (control.channel, control.member)
                ]
                link.reading[control.channel] = seat
            elif isinstance(control, Left):
                assert link.reading.pop(control.channel).until

    def _saw(self, link: Link, channel: int, event: Event) -> None:
        link.reading[channel].seen.append(event)


class SlicedSessions(Sessions):
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


TestSessions = Sessions.TestCase
TestSessions.settings = settings(max_examples=100, stateful_step_count=40)
TestSlicedSessions = SlicedSessions.TestCase
TestSlicedSessions.settings = settings(max_examples=100, stateful_step_count=40)
