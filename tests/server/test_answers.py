"""Large answers to a connection that does not keep up: they never end it, and one at a time waits."""

from __future__ import annotations

import itertools

import pytest

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import (
    Control,
    Error,
    History,
    Join,
    Joined,
    Past,
    Ping,
    Place,
    Pong,
    Renew,
    Side,
)
from sealcast.server.session import Session

from .fakes import unframe
from .test_session import FakeTransport, Rig, message

SIZE = 60_000


class Slow:
    """A member of the channel `hall` whose connection takes nothing until it is told to."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.session: Session
        self.transport: FakeTransport
        self.session, self.transport, self.hall = rig.member("bob", "hall")
        self.refs = itertools.count(10)
        self.transport.backed_up = True
        self.session.pause()

    def ask(self, control: Control) -> int:
        """Send a request; return its ref."""
        ref = next(self.refs)
        self.session.receive(controls.encode(control, ref))
        return ref

    def take(self) -> list[tuple[Control, int] | int]:
        """Take all that waits; return controls with their refs, and the offsets of messages."""
        self.transport.backed_up = False
        self.session.resume()
        while self.rig.soon:
            self.rig.turn()
        got: list[tuple[Control, int] | int] = []
        for data in unframe(self.transport.written):
            if data[0] == envelope.CONTROL:
                got.append(controls.decode(data, Side.SERVER))
            else:
                got.append(int.from_bytes(data[12:20], "big"))
        self.transport.written = b""
        return got


class Talk:
    """A channel in which ann has said ten messages, 600 KB together."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.ann, _, self.joined = rig.member("ann", name)
        self.counter = itertools.count()
        self.place = Place(epoch=self.joined.epoch, offset=0)
        for _ in range(10):
            self.say()
        while rig.soon:
            rig.turn()

    def say(self, size: int = SIZE) -> None:
        self.ann.receive(message(self.joined, next(self.counter), size))


@pytest.fixture
def rig() -> Rig:
    """A relay whose outboxes have room for 100 KB."""
    return Rig(outbox=100_000)


def test_what_was_missed_reaches_a_slow_connection_though_it_is_larger_than_its_outbox(rig: Rig) -> None:
    talk, bob = Talk(rig, "talk"), Slow(rig)
    ref = bob.ask(Join(channel="talk", user="bob", since=talk.place))
    talk.say(100)
    rig.turn()
    assert bob.transport.written == b""
    (joined, to), *offsets = bob.take()  # type: ignore[misc]
    assert isinstance(joined, Joined)
    assert (joined.recovered, to) == (True, ref)
    assert offsets == list(range(1, 12)), "and what was said meanwhile comes behind it"


def test_one_such_answer_waits_at_a_time(rig: Rig) -> None:
    first, second, bob = Talk(rig, "first"), Talk(rig, "second"), Slow(rig)
    join = Join(channel="second", user="bob", since=second.place)
    bob.ask(Join(channel="first", user="bob", since=first.place))
    ref = bob.ask(join)
    ping = bob.ask(Ping())
    _, *offsets, refusal, pong = bob.take()
    assert offsets == list(range(1, 11))
    assert isinstance(refusal, tuple)
    assert isinstance(refusal[0], Error)
    assert (refusal[0].name, refusal[0].retry_after, refusal[1]) == ("rate_limited", 1.0, ref)
    assert pong == (Pong(), ping)
    bob.ask(join)
    (joined, _), *offsets = bob.take()  # type: ignore[misc]
    assert isinstance(joined, Joined)
    assert joined.recovered
    assert offsets == list(range(1, 11))


def test_a_membership_is_renewed_all_the_same(rig: Rig) -> None:
    talk, bob = Talk(rig, "talk"), Slow(rig)
    bob.ask(Join(channel="talk", user="bob", since=talk.place))
    bob.ask(Renew(channel=bob.hall.channel, token="none"))
    (judged, _) = bob.take()[-1]  # type: ignore[misc]
    assert isinstance(judged, Error)
    assert judged.name == "invalid_token", "its token has been looked at"


def test_pages_that_are_asked_for_faster_than_they_are_taken_are_refused_for_a_while(rig: Rig) -> None:
    Talk(rig, "hall")
    bob = Slow(rig)
    asked = [bob.ask(History(channel=bob.hall.channel, limit=256)) for _ in range(4)]
    answers = {ref: control for control, ref in bob.take()}  # type: ignore[misc]
    assert [type(answers[ref]) for ref in asked] == [Past, Past, Error, Error]
    assert answers[asked[2]].name == "rate_limited"
    assert rig.hub.metrics.limited["answers_waiting"] == 2
    bob.ask(History(channel=bob.hall.channel, limit=256))
    assert isinstance(bob.take()[0][0], Past)  # type: ignore[index]


def test_a_connection_that_takes_nothing_is_still_ended(rig: Rig) -> None:
    talk, bob = Talk(rig, "talk"), Slow(rig)
    bob.ask(Join(channel="talk", user="bob", since=talk.place))
    for _ in range(3):
        talk.say()
    while rig.soon:
        rig.turn()
    assert bob.transport.closed == [(4002, "slow_consumer")]
