"""The way out to one connection: straight while it keeps up, through an outbox while it does not."""

from __future__ import annotations

import pytest

from sealcast.protocol.names import Kind
from sealcast.server.config import AppLimits
from sealcast.server.delivery import Delivery
from sealcast.server.outbox import Overfull

AUDIO, MESSAGE = int(Kind.AUDIO), int(Kind.MESSAGE)


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
def delivery(transport: FakeTransport) -> Delivery:
    return Delivery(transport, AppLimits(outbox=100_000, outbox_age=0.5))


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
    delivery.queue(AUDIO, b"frame", 1, 0.0)
    assert transport.written == []
    assert not delivery.resume(0.0)


def test_controls_wait_in_order_with_frames_while_it_is_backed_up(
    delivery: Delivery, transport: FakeTransport
) -> None:
    assert delivery.pause()
    assert not delivery.pause(), "it is news once"
    delivery.queue(AUDIO, b"a", 1, 0.0)
    delivery.send(b"b", 0.0)
    delivery.queue(MESSAGE, b"c", 1, 0.0)
    assert transport.written == []
    assert delivery.resume(0.1)
    assert b"".join(transport.written) == b"abc"
    assert not delivery.slow


def test_it_hands_on_what_the_transport_takes_and_keeps_the_rest(
    delivery: Delivery, transport: FakeTransport
) -> None:
    delivery.pause()
    for number in range(19):
        delivery.queue(AUDIO, b"%02d" % number + bytes(4998), 1, 0.0)
    transport.room = 40_000
    assert not delivery.resume(0.0)
    sent = len(b"".join(transport.written))
    assert 40_000 <= sent <= 40_000 + 64 * 1024, "one portion over the mark, at most"
    transport.room, transport.backed_up = 10**9, False
    assert delivery.resume(0.0)
    out = b"".join(transport.written)
    assert [out[start : start + 2] for start in range(0, 95_000, 5000)] == [b"%02d" % n for n in range(19)]


def test_it_stays_slow_when_the_last_portion_fills_the_transport(
    delivery: Delivery, transport: FakeTransport
) -> None:
    delivery.pause()
    delivery.queue(AUDIO, bytes(100), 1, 0.0)
    transport.room = 50
    assert not delivery.resume(0.0)
    assert delivery.slow


def test_what_is_too_old_is_counted_and_told_once(delivery: Delivery, transport: FakeTransport) -> None:
    delivery.pause()
    delivery.queue(AUDIO, b"old", 7, 0.0)
    delivery.queue(MESSAGE, b"kept", 7, 0.0)
    delivery.queue(AUDIO, b"new", 7, 1.0)
    assert delivery.resume(1.0)
    assert b"".join(transport.written) == b"keptnew"
    assert delivery.take_drops() == {7: {"audio": 1}}
    assert delivery.take_drops() == {}


def test_drops_are_remembered_from_one_backlog_to_the_next(
    delivery: Delivery, transport: FakeTransport
) -> None:
    for now in (0.0, 10.0):
        delivery.pause()
        delivery.queue(AUDIO, b"old", 7, now)
        assert delivery.resume(now + 1)
    assert delivery.take_drops() == {7: {"audio": 2}}


def test_a_left_channel_is_forgotten(delivery: Delivery, transport: FakeTransport) -> None:
    delivery.forget(1)
    delivery.pause()
    delivery.queue(AUDIO, b"frame", 1, 0.0)
    delivery.queue(AUDIO, b"other", 2, 0.0)
    delivery.forget(1)
    assert delivery.resume(0.0)
    assert b"".join(transport.written) == b"other"


@pytest.mark.parametrize("as_control", [True, False])
def test_nothing_is_sent_across_the_gap_when_it_was_overfull(
    delivery: Delivery, transport: FakeTransport, as_control: bool
) -> None:
    delivery.pause()
    delivery.queue(MESSAGE, bytes(60_000), 1, 0.0)
    with pytest.raises(Overfull):
        delivery.send(bytes(60_000), 0.0) if as_control else delivery.queue(MESSAGE, bytes(60_000), 1, 0.0)
    assert not delivery.resume(0.0)
    assert delivery.slow
    assert transport.written == []
