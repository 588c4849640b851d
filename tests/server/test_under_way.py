"""An engine may take its time to place a message: what happens to everything else meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Ack, Control, Error, MemberJoined, MemberLeft, Side
from sealcast.server import relay
from sealcast.server.member import Member

from .fakes import NOW, FakeOutlet, House, LateBroker, frame, message, quiet

if TYPE_CHECKING:
    from .conftest import Lab

RUN = bytes(range(16))


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
    joined = carol.joined(NOW, {})
    assert [info.user for info in joined.members] == ["ann", "bob"]
    assert (joined.offset, joined.total) == (0, 3)
    house.settle()
    house.broker.place()
    house.settle()
    left = MemberLeft(channel=7, member=ann.number, reason="left")
    assert heard(to_carol) == [1, left]
    assert heard(to_bob) == [MemberJoined(channel=7, member=carol.number, user="carol"), 1, left]


@pytest.mark.parametrize("known_by", ["run", "hello"])
def test_who_is_back_before_its_messages_have_places_does_not_meet_itself(
    house: House, known_by: str
) -> None:
    (ann, _), (_, to_bob) = quiet(house, "ann", "bob")
    if known_by == "run":
        ann.run = RUN
    else:
        ann.hello = b"I am ann"
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.remove(ann, "connection_lost")
    house.settle()
    again, to_again = house.add("ann", hello=ann.hello, run=ann.run)
    assert [info.user for info in again.joined(NOW, {}).members] == ["bob"]
    house.settle()
    to_bob.writes.clear()
    house.broker.place()
    house.settle()
    left = MemberLeft(channel=7, member=ann.number, reason="connection_lost")
    assert heard(to_again) == [left]
    assert to_again.told == [], "it has not asked under that ref"
    assert heard(to_bob) == [1, left]


def test_another_program_of_the_same_user_gets_what_the_first_one_said(house: House) -> None:
    (ann, _), _ = quiet(house, "ann", "bob")
    ann.run = RUN
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.remove(ann, "replaced")
    house.settle()
    other, to_other = house.add("ann", run=bytes(16))
    assert [info.member for info in other.joined(NOW, {}).members] == [ann.number, 2]
    house.settle()
    house.broker.place()
    house.settle()
    assert heard(to_other) == [1, MemberLeft(channel=7, member=ann.number, reason="replaced")]


def test_a_place_in_joined_is_kept_for_whom_the_others_still_know(house: House) -> None:
    (ann, _), _ = quiet(house, "ann", "bob")
    before = house.channel.roster
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.remove(ann, "left")
    assert house.channel.roster == before
    house.settle()
    house.broker.place()
    assert house.channel.roster < before


# --- an engine that is too slow ---


def much(house: House, member: Member, count: int, first: int = 1) -> None:
    """Take so many messages of about 64 KiB."""
    for number in range(first, first + count):
        house.channel.collect(member, 4, message(member, number, number, size=65_000), number)
        house.settle()


def test_a_member_with_a_megabyte_under_way_is_not_read_from_until_half_of_it_has_gone(house: House) -> None:
    (ann, to_ann), (bob, to_bob) = quiet(house, "ann", "bob")
    much(house, ann, 16)
    assert to_ann.held == 0
    much(house, ann, 1, first=17)
    much(house, bob, 1)
    assert (to_ann.held, to_bob.held) == (1, 0)
    house.broker.place(8)
    assert to_ann.held == 1
    house.broker.fail()
    assert to_ann.held == 0


def test_a_connection_is_read_from_again_when_the_membership_ends(house: House) -> None:
    (ann, to_ann), _ = quiet(house, "ann", "bob")
    much(house, ann, 20)
    assert to_ann.held == 1
    house.channel.remove(ann, "left")
    assert to_ann.held == 0
    house.broker.place(20)
    assert to_ann.held == 0


def test_a_channel_with_too_much_under_way_says_so_until_it_has_less(house: House) -> None:
    members = [member for member, _ in quiet(house, *"abcdefghijklm")]
    for member in members:
        much(house, member, 10)
    assert house.channel.storing_slowly
    assert not house.channel.crowded, "frames are taken"
    house.broker.place(10)
    assert not house.channel.storing_slowly


# --- the end of a channel ---


def test_a_channel_is_over_when_nothing_is_under_way_any_more(house: House) -> None:
    ((ann, _),) = quiet(house, "ann")
    house.channel.collect(ann, 4, message(ann, 1, 9), 9)
    house.channel.remove(ann, "left")
    assert not house.channel.over
    house.settle()
    house.broker.place()
    assert house.channel.over
    assert house.finished == [house.channel]


# --- through sockets ---


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> LateBroker:
    """The engine of the relays of a test: it places messages when it is told to."""
    engine = LateBroker()
    monkeypatch.setattr(relay, "MemoryBroker", lambda *_: engine)
    return engine


async def test_a_message_that_is_sent_again_while_it_is_under_way_has_one_place(
    lab: Lab, engine: LateBroker
) -> None:
    await lab.serve()
    ann, bob = await lab.connect(lab.relays[0]), await lab.connect(lab.relays[0])
    await bob.join("standup", "bob")
    room = await ann.join("standup", "ann", hello=b"I am ann", run=RUN)
    data = room.message(900)
    await ann.ws.send(data)
    await ann.settle()
    await ann.ws.close()
    ann = await lab.connect(lab.relays[0])
    again = await ann.join("standup", "ann", hello=b"I am ann", run=RUN, since=(room.joined.epoch, 0))
    assert (again.joined.recovered, again.joined.offset) == (True, 0)
    assert [info.user for info in again.joined.members] == ["bob"]
    await ann.ws.send(again.message(900))
    await ann.settle()
    engine.place(2)
    ack = await ann.told(Ack)
    assert (ack.offset, ack.repeated) == (1, True)
    assert [item for item in await ann.settle() if isinstance(item, lab.Message)] == []
    seen = await bob.settle()
    said = lab.Message(again.number, room.member, 1, data[envelope.MESSAGE_START :])
    left = MemberLeft(channel=again.number, member=room.member, reason="left")
    assert seen[-2:] == [said, lab.Told(left, 0)]
    assert [item for item in seen if isinstance(item, lab.Message)] == [said]


async def test_what_was_refused_is_taken_when_it_is_sent_again(lab: Lab, engine: LateBroker) -> None:
    await lab.serve()
    ann = await lab.connect(lab.relays[0])
    room = await ann.join("standup", "ann", run=RUN)
    await ann.ws.send(room.message(900))
    await ann.settle()
    engine.fail()
    assert (await ann.told(Error)).name == "not_stored"
    await ann.ws.send(room.message(900))
    await ann.settle()
    engine.place()
    ack = await ann.told(Ack)
    assert (ack.offset, ack.repeated) == (1, False)


async def test_a_channel_lives_until_its_last_message_has_its_place(lab: Lab, engine: LateBroker) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    await ann.ws.send(room.message(900))
    await ann.settle()
    await ann.ws.close()
    bob = await lab.connect(relay)
    there = await bob.join("standup", "bob", since=(room.joined.epoch, 0))
    assert there.number == room.number
    assert [info.user for info in there.joined.members] == ["ann"]
    engine.place()
    await bob.told(MemberLeft)
    assert [type(item) for item in await bob.settle()] == [lab.Message]
    await bob.ws.close()
    while relay.metrics.connections:
        await lab.turn()
    assert relay.hub.app(lab.APP).channels == {}  # type: ignore[union-attr]


async def test_a_relay_stops_with_messages_under_way(lab: Lab, engine: LateBroker) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    await ann.ws.send((await ann.join("standup", "ann")).message(900))
    await ann.settle()
    await relay.stop()
    assert (await ann.ended())[1] == "draining"
    engine.place()
    assert relay.hub.app(lab.APP).channels == {}  # type: ignore[union-attr]
