"""The way out to one connection: straight while it keeps up, through an outbox while it does not."""

from __future__ import annotations

from typing import Any

import pytest

from sealcast.protocol.controls import Dropped
from sealcast.protocol.descriptor import KEYFRAME
from sealcast.protocol.names import Kind
from sealcast.server.config import AppLimits
from sealcast.server.delivery import Delivery, Overfull
from sealcast.server.metrics import Metrics

from .fakes import waiting

AUDIO, MESSAGE, VIDEO = Kind.AUDIO, Kind.MESSAGE, Kind.VIDEO


class FakeTransport:
    """Takes so many bytes and is backed up then."""

    def __init__(self) -> None:
        self.backed_up = False
        self.written: list[bytes] = []
        self.room = 10**9

    def write(self, data: bytes) -> None:
        self.written.append(data)
        self.room -= len(data)
        self.backed_up = self.room <= 0

    def hold(self) -> None:
        raise AssertionError

    def release(self) -> None:
        raise AssertionError

    def ping(self) -> None:
        raise AssertionError

    def admitted(self) -> None:
        raise AssertionError

    def close(self, code: int, reason: str) -> None:
        raise AssertionError


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def delivery(transport: FakeTransport, metrics: Metrics) -> Delivery:
    return Delivery(transport, AppLimits(outbox=110_000, outbox_age=0.5), metrics)


def queue(delivery: Delivery, kind: int, body: bytes, now: float = 0.0, **how: Any) -> bool:
    """Queue one frame whose wire is exactly *body*; return whether the connection is not slow any more."""
    item = waiting(kind, since=now, **how)
    item.wire = body
    return delivery.queue([item], now)


@pytest.fixture
def slow(delivery: Delivery, transport: FakeTransport) -> Delivery:
    """Return a delivery whose transport is backed up."""
    transport.backed_up = True
    delivery.pause()
    return delivery


def test_a_connection_that_keeps_up_is_written_to_at_once(
    delivery: Delivery, transport: FakeTransport
) -> None:
    delivery.send(b"one", 0.0)
    delivery.write(b"two")
    assert transport.written == [b"one", b"two"]
    assert not delivery.slow


def test_nothing_is_queued_for_a_connection_that_keeps_up(
    delivery: Delivery, transport: FakeTransport
) -> None:
    assert not queue(delivery, AUDIO, b"frame")
    assert transport.written == []
    assert not delivery.resume(0.0)


def test_controls_wait_in_order_with_frames_while_it_is_backed_up(
    delivery: Delivery, transport: FakeTransport
) -> None:
    transport.backed_up = True
    assert delivery.pause()
    assert not delivery.pause(), "it is news once"
    assert not queue(delivery, AUDIO, b"a")
    assert not delivery.send(b"b", 0.0)
    assert not queue(delivery, MESSAGE, b"c")
    assert transport.written == []
    transport.backed_up = False
    assert delivery.resume(0.1)
    assert b"".join(transport.written) == b"abc"
    assert not delivery.slow


def test_it_hands_on_what_the_transport_takes_and_keeps_the_rest(
    slow: Delivery, transport: FakeTransport
) -> None:
    for number in range(19):
        slow.queue([waiting(AUDIO, size=5000, body=b"%02d" % number)], 0.0)
    transport.room, transport.backed_up = 40_000, False
    assert not slow.resume(0.0)
    sent = len(b"".join(transport.written))
    assert 40_000 <= sent <= 40_000 + 64 * 1024, "one portion over the mark, at most"
    transport.room, transport.backed_up = 10**9, False
    assert slow.resume(0.0)
    out = b"".join(transport.written)
    assert [out[start : start + 2] for start in range(0, 95_000, 5000)] == [b"%02d" % n for n in range(19)]


def test_it_stays_slow_when_the_last_portion_fills_the_transport(
    slow: Delivery, transport: FakeTransport
) -> None:
    queue(slow, AUDIO, bytes(100))
    transport.room, transport.backed_up = 50, False
    assert not slow.resume(0.0)
    assert slow.slow


def test_what_is_too_old_is_counted_and_told(
    slow: Delivery, transport: FakeTransport, metrics: Metrics
) -> None:
    queue(slow, AUDIO, b"old", channel=7)
    queue(slow, MESSAGE, b"kept", channel=7)
    queue(slow, AUDIO, b"new", 1.0, channel=7)
    transport.backed_up = False
    assert slow.resume(1.0)
    assert b"".join(transport.written) == b"keptnew"
    assert slow.report(1.0) == [Dropped(channel=7, counts={"audio": 1}, reasons={"age": 1})]
    assert slow.report(100.0) == []
    assert metrics.dropped_for == {"audio/age": 1}


def test_drops_are_told_once_a_second_and_after_each_backlog(
    slow: Delivery, transport: FakeTransport
) -> None:
    told = []
    for now in (0.0, 10.0, 10.1):
        transport.backed_up = True
        slow.pause()
        queue(slow, AUDIO, b"old", now - 1)
        assert slow.due() is None, "not while it is backed up"
        transport.backed_up = False
        slow.resume(now)
        told.append(slow.report(now))
    assert [len(controls) for controls in told] == [1, 1, 1]
    transport.backed_up = True
    slow.pause()
    for number in range(3):
        slow.queue([waiting(VIDEO, since=11.0 + number)], 11.0 + number)
    transport.backed_up = False
    slow.resume(14.0)
    (control,) = slow.report(14.0)
    assert control.counts == {"video": 3}
    queue(slow, VIDEO, b"undecodable", 14.1)
    assert slow.report(14.1) == []
    assert slow.due() == 15.0
    assert slow.report(15.0) == [Dropped(channel=1, counts={"video": 1}, reasons={"keyframe": 1})]


def test_a_left_channel_is_forgotten(delivery: Delivery, transport: FakeTransport) -> None:
    delivery.forget(1)
    transport.backed_up = True
    delivery.pause()
    queue(delivery, AUDIO, b"frame", channel=1)
    queue(delivery, AUDIO, b"other", channel=2)
    delivery.forget(1)
    transport.backed_up = False
    assert delivery.resume(0.0)
    assert b"".join(transport.written) == b"other"


@pytest.mark.parametrize("as_control", [True, False])
def test_nothing_is_sent_across_the_gap_when_it_was_overfull(
    slow: Delivery, transport: FakeTransport, metrics: Metrics, as_control: bool
) -> None:
    slow.queue([waiting(MESSAGE, size=60_000)], 0.0)
    with pytest.raises(Overfull):
        slow.send(bytes(60_000), 0.0) if as_control else slow.queue([waiting(MESSAGE, size=60_000)], 0.0)
    transport.backed_up = False
    assert not slow.resume(0.0)
    assert slow.slow
    assert transport.written == []
    slow.close()
    assert metrics.dropped_for == {"message/ended": 1 if as_control else 2}


# --- a stream that waits for its keyframe ---


def test_it_stays_slow_until_a_broken_stream_has_its_keyframe(
    slow: Delivery, transport: FakeTransport
) -> None:
    queue(slow, VIDEO, b"lost")
    transport.backed_up = False
    assert not slow.resume(1.0), "the shared path would bring what cannot be decoded"
    assert not queue(slow, VIDEO, b"undecodable", 1.0)
    assert not queue(slow, AUDIO, b"audio ", 1.0)
    assert not slow.send(b"control ", 1.0)
    assert b"".join(transport.written) == b"audio control ", "all else goes out at once"
    assert queue(slow, VIDEO, b"keyframe ", 1.0, flags=KEYFRAME)
    assert not slow.slow
    assert b"".join(transport.written) == b"audio control keyframe "


def test_it_does_not_wait_for_a_stream_that_fell_silent(slow: Delivery, transport: FakeTransport) -> None:
    queue(slow, VIDEO, b"lost")
    transport.backed_up = False
    assert not slow.resume(1.0)
    assert not queue(slow, AUDIO, b"audio", 5.9)
    assert queue(slow, AUDIO, b"audio", 7.0)


def test_it_does_not_wait_for_a_stream_of_a_channel_that_was_left(
    slow: Delivery, transport: FakeTransport
) -> None:
    queue(slow, VIDEO, b"lost", channel=3)
    slow.forget(3)
    transport.backed_up = False
    assert slow.resume(1.0)
