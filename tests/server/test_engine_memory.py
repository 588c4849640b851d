"""The memory engine: places, epochs, and what is remembered of channels that nobody is in."""

from __future__ import annotations

from collections.abc import Sequence

from sealcast.protocol.names import Kind
from sealcast.server.engine.memory import MemoryBroker
from sealcast.server.interfaces import NOTICE, ChannelKey, Entry, Position

APP, OTHER = "1" * 32, "2" * 32


class Sink:
    def __init__(self) -> None:
        self.turns: list[list[Entry]] = []

    def deliver(self, turn: Sequence[Entry]) -> None:
        self.turns.append(list(turn))


def place(broker: MemoryBroker, key: ChannelKey, count: int = 1) -> None:
    """Publish so many messages."""
    broker.publish(key, [Entry(None, Kind.MESSAGE, b"data") for _ in range(count)])


def test_messages_get_growing_offsets_and_nothing_else_gets_one() -> None:
    broker, sink, key = MemoryBroker(), Sink(), ChannelKey(APP, "room")
    assert broker.subscribe(key, sink).offset == 0
    kinds = [Kind.AUDIO, Kind.MESSAGE, NOTICE, Kind.MESSAGE, Kind.VIDEO, Kind.MESSAGE]
    turn = [Entry(None, kind, b"data") for kind in kinds]
    broker.publish(key, turn)
    assert [entry.offset for entry in turn] == [0, 1, 0, 2, 0, 3]
    assert sink.turns == [turn], "delivered at once, in order, as it came"


def test_the_position_continues_while_it_is_remembered() -> None:
    broker, key = MemoryBroker(), ChannelKey(APP, "room")
    epoch, _ = broker.subscribe(key, Sink())
    place(broker, key, 5)
    broker.unsubscribe(key)
    assert broker.subscribe(key, Sink()) == Position(epoch, 5)


def test_a_channel_without_messages_is_not_remembered() -> None:
    broker, key = MemoryBroker(), ChannelKey(APP, "room")
    first = broker.subscribe(key, Sink())
    broker.unsubscribe(key)
    assert broker.subscribe(key, Sink()).epoch != first.epoch


def test_the_channel_that_was_left_first_is_forgotten_first_and_starts_anew() -> None:
    broker = MemoryBroker(remembered=3)
    keys = [ChannelKey(APP, f"room {number}") for number in range(4)]
    before = []
    for key in keys:
        before.append(broker.subscribe(key, Sink()).epoch)
        place(broker, key)
        broker.unsubscribe(key)
    after = [broker.subscribe(key, Sink()) for key in keys]
    assert [position.offset for position in after] == [0, 1, 1, 1]
    assert after[0].epoch != before[0]
    assert [position.epoch for position in after[1:]] == before[1:]


def test_one_app_cannot_make_the_channels_of_another_be_forgotten() -> None:
    broker = MemoryBroker(remembered=10)
    key = ChannelKey(APP, "room")
    epoch, _ = broker.subscribe(key, Sink())
    place(broker, key)
    broker.unsubscribe(key)
    for number in range(100):
        other = ChannelKey(OTHER, f"room {number}")
        broker.subscribe(other, Sink())
        place(broker, other)
        broker.unsubscribe(other)
    assert broker.subscribe(key, Sink()) == Position(epoch, 1)


def test_apps_and_channels_have_their_own_positions() -> None:
    broker = MemoryBroker()
    keys = [ChannelKey(app, name) for app in (APP, OTHER) for name in ("one", "two")]
    positions = [broker.subscribe(key, Sink()) for key in keys]
    for count, key in enumerate(keys, 1):
        place(broker, key, count)
        broker.unsubscribe(key)
    assert [broker.subscribe(key, Sink()).offset for key in keys] == [1, 2, 3, 4]
    assert len({position.epoch for position in positions}) == 4
