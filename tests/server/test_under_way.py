"""An engine may take its time to place a message: what happens to everything else meanwhile."""

from __future__ import annotations

import pytest

from sealcast.protocol import controls
from sealcast.protocol.controls import Ack, Control, Error, MemberJoined, MemberLeft, Side

from .fakes import FakeOutlet, House, frame, message, quiet


@pytest.fixture
def house() -> House:
    """A channel whose engine places messages when it is told to."""
    return House(slow=True)


def heard(outlet: FakeOutlet) -> list[Control | int]:
    """What a member got: controls, and the offsets of messages (0: a frame)."""
    got: list[Control | int] = []
    for data in outlet.messages():
        if data[0] == 0:
            got.append(controls.decode(data, Side.SERVER)[0])
        else:
            got.append(int.from_bytes(data[12:20], "big") if data[0] == 3 else 0)
    return got


def test_a_message_is_delivered_and_acknowledged_when_it_has_its_place(house: House) -> None:
    (ann, to_ann), (_, to_bob) = quiet(house, "ann", "bob")
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.settle()
    assert heard(to_bob) == []
    assert to_ann.told == []
    house.broker.place()
    house.settle()
    assert heard(to_bob) == [1]
    assert to_ann.told == [(Ack(channel=7, offset=1), 9)]


def test_frames_do_not_wait_for_messages(house: House) -> None:
    (ann, _), (_, to_bob) = quiet(house, "ann", "bob")
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.collect(ann, 1, frame(ann, 1))
    house.settle()
    assert heard(to_bob) == [0]
    house.broker.place()
    house.settle()
    assert heard(to_bob) == [0, 1]


def test_who_leaves_is_told_to_have_left_after_its_messages(house: House) -> None:
    (ann, _), (_, to_bob) = quiet(house, "ann", "bob")
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.collect(ann, 4, message(ann, 2, 10), 10)
    house.channel.remove(ann, "left")
    house.settle()
    assert heard(to_bob) == []
    house.broker.place()
    house.settle()
    assert heard(to_bob) == [1]
    house.broker.place()
    house.settle()
    assert heard(to_bob) == [1, 2, MemberLeft(channel=7, member=ann.number, reason="left")]


def test_who_leaves_with_messages_that_fail_is_told_to_have_left_all_the_same(house: House) -> None:
    (ann, to_ann), (_, to_bob) = quiet(house, "ann", "bob")
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.remove(ann, "left")
    house.settle()
    house.broker.fail()
    house.settle()
    assert heard(to_bob) == [MemberLeft(channel=7, member=ann.number, reason="left")]
    assert to_ann.told == [], "it is not there to hear of it"


def test_nobody_is_acknowledged_to_that_has_left(house: House) -> None:
    (ann, to_ann), _ = quiet(house, "ann", "bob")
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.remove(ann, "left")
    house.broker.place()
    house.settle()
    assert to_ann.told == []


def test_a_message_that_is_not_stored_is_refused_and_nobody_gets_it(house: House) -> None:
    (ann, to_ann), (_, to_bob) = quiet(house, "ann", "bob")
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.collect(ann, 4, message(ann, 2, 10), 10)
    house.settle()
    house.broker.fail()
    house.broker.place()
    house.settle()
    ((refusal, ref), (ack, other)) = to_ann.told
    assert isinstance(refusal, Error)
    assert (refusal.name, refusal.temporary, ref) == ("not_stored", True, 9)
    assert (ack, other) == (Ack(channel=7, offset=1), 10)
    assert heard(to_bob) == [1]
    assert house.metrics.refused["not_stored"] == 1


def test_a_message_that_comes_again_while_it_is_under_way_is_delivered_once(house: House) -> None:
    (ann, to_ann), (_, to_bob) = quiet(house, "ann", "bob")
    ann.run = bytes(16)
    for counter in (1, 2):
        house.channel.collect(ann, 4, message(ann, counter, 9), 9)
    house.settle()
    house.broker.place(2)
    house.settle()
    assert heard(to_bob) == [1]
    assert sorted(ack.repeated for ack, _ in to_ann.told if isinstance(ack, Ack)) == [False, True]


def test_who_joins_meanwhile_gets_the_message_and_knows_whose_it_is(house: House) -> None:
    (ann, _), (_, to_bob) = quiet(house, "ann", "bob")
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.remove(ann, "left")
    house.settle()
    carol, to_carol = house.add("carol")
    assert house.channel.absent_authors(()) == [ann.author]
    assert house.channel.position.offset == 0
    house.settle()
    house.broker.place()
    house.settle()
    left = MemberLeft(channel=7, member=ann.number, reason="left")
    assert heard(to_carol) == [1, left]
    assert heard(to_bob) == [MemberJoined(channel=7, member=carol.number, user="carol"), 1, left]


def test_a_channel_is_over_when_nothing_is_under_way_any_more(house: House) -> None:
    ((ann, _),) = quiet(house, "ann")
    finished: list[object] = []
    house.channel._finished = finished.append
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.remove(ann, "left")
    assert not house.channel.over
    house.settle()
    house.broker.place()
    assert house.channel.over
    assert finished == [house.channel]
