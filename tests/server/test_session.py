"""One connection's core without sockets: what sockets show too seldom to be tested there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import (
    Control,
    Drain,
    Error,
    Join,
    Joined,
    Leave,
    Left,
    MemberLeft,
    Side,
    Welcome,
)
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header
from sealcast.server.config import AppConfig, AppLimits, AppPolicy, Config, ServerConfig
from sealcast.server.engine.memory import MemoryBroker
from sealcast.server.hub import Hub
from sealcast.server.interfaces import Broker
from sealcast.server.logs import SessionLog
from sealcast.server.session import Session

from .fakes import LateBroker

APP = "0123456789abcdef0123456789abcdef"


class StillClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 1_800_000_000


class FakeTransport:
    """Collects what is written; closes when told to."""

    def __init__(self) -> None:
        self.backed_up = False
        self.written = b""
        self.writes = 0
        self.pings = 0
        self.admissions = 0
        self.held = False
        self.closed: list[tuple[int, str]] = []

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.written += data
            self.writes += 1

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False

    def ping(self) -> None:
        self.pings += 1

    def admitted(self) -> None:
        self.admissions += 1

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def told(self) -> list[Control]:
        """Return the controls in what was written, and forget it."""
        data, self.written, self.writes = self.written, b"", 0
        found = []
        while data:
            start, length = 2, data[1]
            if length >= 126:
                start = 4 if length == 126 else 10
                length = int.from_bytes(data[2:start], "big")
            if data[start] == envelope.CONTROL:
                found.append(controls.decode(data[start : start + length], Side.SERVER)[0])
            data = data[start + length :]
        return found


class Rig:
    """A hub with sessions on fake transports; ``turn`` is the loop coming round."""

    def __init__(self, broker: Broker | None = None, **limits: float) -> None:
        self.clock = StillClock()
        self.soon: list[Callable[[], None]] = []
        app = AppConfig(
            app_id=APP,
            policy=AppPolicy(allow_app_id_only=True),
            limits=AppLimits(**limits),  # type: ignore[arg-type]
        )
        config = Config(server=ServerConfig(heartbeat=20, unauthenticated=10), apps=(app,))
        self.ticks: list[tuple[float, Callable[[], None]]] = []
        self.hub = Hub(config, broker or MemoryBroker(), self.clock, self.soon.append, self.call_later)

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        self.ticks.append((delay, call))

    def tick(self) -> None:
        """Let the timers end, and the loop come round."""
        ticks, self.ticks[:] = list(self.ticks), []
        for _, call in ticks:
            call()
        self.turn()

    def connect(self) -> tuple[Session, FakeTransport]:
        app = self.hub.app(APP)
        assert app is not None
        transport = FakeTransport()
        return Session(self.hub, app, transport, SessionLog(1, APP, "127.0.0.1", 0)), transport

    def member(self, user: str, channel: str = "room") -> tuple[Session, FakeTransport, Joined]:
        session, transport = self.connect()
        session.receive(controls.encode(Join(channel=channel, user=user), 1))
        joined = transport.told()[-1]
        assert isinstance(joined, Joined)
        return session, transport, joined

    def turn(self) -> None:
        soon, self.soon[:] = list(self.soon), []
        for call in soon:
            call()

    def later(self, seconds: float) -> None:
        self.clock.now += seconds + 0.05
        self.hub.wheel.advance(self.clock.now)


def frame(joined: Joined, counter: int, size: int) -> bytes:
    body = bytes((0x10 | Kind.VIDEO, 0, 0, 2)) + encode_header(1, counter) + bytes(size)
    return envelope.frame(joined.channel, joined.member, body)


def message(joined: Joined, counter: int, size: int = 20) -> bytes:
    body = bytes((0x10 | Kind.MESSAGE, 0, 0, 1)) + encode_header(0, counter) + bytes(size)
    return envelope.message(joined.channel, joined.member, counter + 100, body)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_connection_is_welcomed_first(rig: Rig) -> None:
    _, transport = rig.connect()
    (welcome,) = transport.told()
    assert isinstance(welcome, Welcome)


def test_a_peer_is_admitted_when_it_is_a_member_and_not_before(rig: Rig) -> None:
    session, transport = rig.connect()
    session.receive(controls.encode(Join(channel="no*", user="ann"), 1))
    assert transport.admissions == 0
    session.receive(controls.encode(Join(channel="room", user="ann"), 2))
    assert transport.admissions == 1


def test_a_lost_connection_is_forgotten_everywhere(rig: Rig) -> None:
    session, _, _ = rig.member("ann")
    app = rig.hub.app(APP)
    assert app is not None
    session.lost(None)
    assert (app.channels, app.connections) == ({}, 0)
    assert session.due is None
    rig.later(3600)
    assert rig.hub.metrics.ended == {"connection_lost": 1}


def test_messages_that_overflow_end_the_connection_after_the_turn(rig: Rig) -> None:
    rig = Rig(outbox=4096)
    session, transport, _ = rig.member("slow")
    ann, to_ann, joined = rig.member("ann")
    rig.turn()
    transport.told()
    session.pause()
    for counter in range(3):
        ann.receive(message(joined, counter, 2000))
    rig.turn()
    assert session.closing is None, "a channel must not lose a member while it is fanning out"
    rig.turn()
    assert transport.closed == [(4002, "slow_consumer")]
    assert transport.told() == []
    rig.turn()
    (left,) = [control for control in to_ann.told() if isinstance(control, MemberLeft)]
    assert left.reason == "slow_consumer"
    session.resume()
    assert transport.told() == []
    session.lost(1006)
    assert rig.hub.metrics.ended == {"slow_consumer": 1}


def test_an_overflow_of_a_connection_that_is_lost_in_the_same_turn_is_no_error(rig: Rig) -> None:
    rig = Rig(outbox=1024)
    session, transport, _ = rig.member("slow")
    ann, _, joined = rig.member("ann")
    rig.turn()
    session.pause()
    ann.receive(message(joined, 0, 2000))
    rig.turn()
    session.lost(None)
    rig.turn()
    assert transport.closed == [], "it is gone: there is nothing to close"
    assert rig.hub.metrics.ended == {"connection_lost": 1}


def test_a_connection_that_was_ended_is_ended_once(rig: Rig) -> None:
    session, transport, _ = rig.member("ann")
    session.refuse("text_refused")
    session.refuse("protocol_error")
    session.drain(1.0)
    session.receive(b"\xff")
    assert transport.closed == [(4504, "text_refused")]
    session.lost(4504)
    assert rig.hub.metrics.ended == {"text_refused": 1}


def test_what_was_sent_in_the_turn_in_which_its_sender_is_lost_still_counts(rig: Rig) -> None:
    ann, _, joined = rig.member("ann")
    _, to_bob, _ = rig.member("bob")
    rig.turn()
    to_bob.told()
    ann.receive(message(joined, 0))
    ann.lost(None)
    rig.turn()
    assert to_bob.written[2] == envelope.DELIVERED
    rig.turn()
    assert [type(control) for control in to_bob.told()] == [MemberLeft]


def test_a_member_that_leaves_gets_its_acks_before_the_answer(rig: Rig) -> None:
    ann, transport, joined = rig.member("ann")
    ann.receive(message(joined, 0))
    ann.receive(controls.encode(Leave(channel=joined.channel), 2))
    assert [type(control) for control in transport.told()] == [controls.Ack, Left]


def test_a_member_of_two_channels_that_is_lost_leaves_both(rig: Rig) -> None:
    ann, _, _ = rig.member("ann")
    ann.receive(controls.encode(Join(channel="other", user="ann"), 2))
    watchers = [rig.member("bob"), rig.member("eve", "other")]
    ann.lost(1000)
    rig.turn()
    for _, transport, _ in watchers:
        (left,) = transport.told()
        assert isinstance(left, MemberLeft)
        assert left.reason == "left"


def test_nothing_can_be_asked_of_a_connection_that_drains(rig: Rig) -> None:
    ann, transport, _ = rig.member("ann")
    ann.drain(2.5)
    assert transport.told() == [Drain(delay=2.5)]
    assert transport.closed == [(4001, "draining")]


def test_a_silent_connection_is_pinged_once_and_ended_at_twice_the_heartbeat(rig: Rig) -> None:
    ann, transport, _ = rig.member("ann")
    rig.later(20)
    rig.later(10)
    assert (transport.pings, transport.closed) == (1, [])
    rig.later(10)
    assert transport.closed == [(4003, "heartbeat_timeout")]
    rig.later(100)
    assert (transport.pings, len(transport.closed)) == (1, 1)
    ann.lost(None)


def test_a_session_does_not_say_who_is_in_it(rig: Rig) -> None:
    ann, _, _ = rig.member("ann-0815")
    assert "0815" not in repr(ann)
    assert APP in repr(ann)


def test_frames_refused_after_the_last_report_are_reported_a_second_later(rig: Rig) -> None:
    ann, transport, joined = rig.member("ann")
    bad = envelope.frame(joined.channel, joined.member, bytes((0x21, 0, 0, 2)))
    for _ in range(5):
        ann.receive(bad)
    rig.later(1.0)
    rig.later(1.0)
    counts = [control.count for control in transport.told() if isinstance(control, Error)]
    assert counts == [1, 4]


def test_what_nobody_could_send_on_in_time_is_refused_and_taken_again_later(rig: Rig) -> None:
    ann, to_ann, joined = rig.member("ann")
    _, to_bob, _ = rig.member("bob")
    rig.turn()
    to_bob.told()
    for counter in range(60):
        ann.receive(message(joined, counter, 60_000))
        ann.receive(frame(joined, 1000 + counter, 200_000))
    assert to_ann.held, "nothing more is read"
    accepted, refused = rig.hub.metrics.bytes_in, rig.hub.metrics.limited["channel_backlog"]
    assert 8 * 2**20 < accepted < 9 * 2**20
    assert refused == 120 - rig.hub.metrics.frames_in - rig.hub.metrics.messages_in
    errors = [control for control in to_ann.told() if isinstance(control, Error)]
    assert {(error.name, error.retry_after) for error in errors} == {("rate_limited", 0.1)}
    while rig.soon:
        rig.turn()
    assert not to_ann.held
    assert len(to_bob.written) >= accepted, "what was taken is delivered"
    ann.receive(frame(joined, 5000, 100))
    assert rig.hub.metrics.limited["channel_backlog"] == refused


def test_while_the_engine_is_too_slow_messages_are_refused_and_frames_are_not() -> None:
    broker = LateBroker()
    rig = Rig(broker)
    members = [rig.member(f"user-{number}") for number in range(10)]
    for session, _, joined in members:
        for counter in range(15):
            session.receive(message(joined, counter, 60_000))
    while rig.soon:
        rig.turn()
    assert not any(transport.held for _, transport, _ in members), "nobody has too much alone"
    assert 8 * 2**20 < rig.hub.metrics.bytes_in < 8 * 2**20 + 70_000
    ann, to_ann, joined = members[0]
    to_ann.told()
    ann.receive(message(joined, 100))
    ann.receive(frame(joined, 0, 20))
    while rig.soon:
        rig.turn()
    (refusal,) = to_ann.told()
    assert isinstance(refusal, Error)
    assert (refusal.name, refusal.retry_after) == ("rate_limited", 0.5)
    assert (rig.hub.metrics.frames_in, rig.hub.metrics.deliveries) == (1, 9)
    refused = rig.hub.metrics.limited["storage_backlog"]
    broker.place(len(broker.waiting))
    ann.receive(message(joined, 101))
    assert rig.hub.metrics.limited["storage_backlog"] == refused


def test_a_connection_held_by_two_channels_is_read_from_when_both_let_it_go(rig: Rig) -> None:
    ann, to_ann, _ = rig.member("ann")
    ann.hold()
    ann.hold()
    ann.release()
    assert to_ann.held
    ann.release()
    assert not to_ann.held


def test_an_app_with_a_tick_collects_for_that_long() -> None:
    rig = Rig(flush_tick=0.005)
    ann, _, joined = rig.member("ann")
    _, to_bob, _ = rig.member("bob")
    rig.tick()
    to_bob.told()
    for counter in range(3):
        ann.receive(frame(joined, counter, 100))
        rig.turn()
    assert to_bob.written == b""
    assert [delay for delay, _ in rig.ticks] == [0.005]
    rig.tick()
    assert to_bob.writes == 1
    assert len(to_bob.written) > 300
