"""A channel without sockets: turns, cuts, acks, who is there, and what leaves the shared path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Ack, MemberJoined, MemberLeft, Side
from sealcast.protocol.names import Kind
from sealcast.server.fanout import frame_header
from sealcast.server.interfaces import NOTICE, Position

from .fakes import ALL, NOW, FakeOutlet, House, frame, message, quiet, unframe


@pytest.fixture
def house() -> House:
    return House()


# --- a turn ---


def test_frames_of_one_turn_go_out_in_one_write(house: House) -> None:
    (ann, _), (_, bob) = quiet(house, "ann", "bob")
    frames = [frame(ann, number) for number in range(10)]
    for data in frames:
        house.channel.collect(ann, Kind.AUDIO, data)
    assert bob.writes == [], "nothing before the turn ends"
    house.turn()
    assert len(bob.writes) == 1
    assert bob.messages() == frames


def test_members_that_sent_nothing_get_the_same_bytes_object(house: House) -> None:
    (ann, _), (_, bob), (_, eve) = quiet(house, "ann", "bob", "eve")
    house.channel.collect(ann, Kind.AUDIO, frame(ann, 0))
    house.turn()
    assert bob.writes[0] is eve.writes[0]


def test_a_sender_gets_the_turn_without_its_own(house: House) -> None:
    (ann, to_ann), (bob, to_bob), (_, to_eve) = quiet(house, "ann", "bob", "eve")
    turn = [(ann, frame(ann, 0)), (bob, frame(bob, 0)), (ann, frame(ann, 1)), (ann, frame(ann, 2))]
    for member, data in turn:
        house.channel.collect(member, Kind.AUDIO, data)
    house.turn()
    assert to_ann.messages() == [turn[1][1]]
    assert to_bob.messages() == [data for member, data in turn if member is ann]
    assert to_eve.messages() == [data for _, data in turn]


def test_a_lone_sender_is_not_written_to(house: House) -> None:
    ((ann, to_ann),) = quiet(house, "ann")
    house.channel.collect(ann, Kind.AUDIO, frame(ann, 0))
    house.turn()
    assert to_ann.writes == []


@pytest.mark.parametrize("size", [0, 100, 125, 126, 4000, 4096, 65535, 65536, 200_000])
def test_frames_of_every_size_get_the_right_header(house: House, size: int) -> None:
    (ann, _), (_, bob) = quiet(house, "ann", "bob")
    data = frame(ann, 0, size)
    house.channel.collect(ann, Kind.VIDEO, data)
    house.turn()
    assert bob.messages() == [data]


@given(length=st.integers(0, 2**20))
def test_a_header_says_the_length(length: int) -> None:
    header = frame_header(length)
    assert header[0] == 0x82
    read = header[1] if header[1] < 126 else int.from_bytes(header[2:], "big")
    assert read == length
    assert len(header) == (2 if length < 126 else 4 if length < 65536 else 10)


def test_a_very_large_turn_goes_out_in_portions(house: House) -> None:
    """What a transport can be given in one write has to be bounded, or a backlog would not be."""
    (ann, _), (_, bob) = quiet(house, "ann", "bob")
    frames = [frame(ann, number, 50_000) for number in range(40)]
    for data in frames:
        house.channel.collect(ann, Kind.VIDEO, data)
    house.turn()
    assert bob.messages() == frames
    assert len(bob.writes) > 1
    assert max(map(len, bob.writes)) <= 512 * 1024


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300)), max_size=40))
def test_everybody_gets_everything_of_the_others_once_and_in_the_same_order(
    sends: list[tuple[int, int]],
) -> None:
    house = House()
    members = quiet(house, "a", "b", "c", "d")
    turn = []
    for number, (who, size) in enumerate(sends):
        member = members[who][0]
        data = frame(member, number, size)
        turn.append((member, data))
        house.channel.collect(member, Kind.AUDIO, data)
    house.turn()
    for member, outlet in members:
        assert outlet.messages() == [data for sender, data in turn if sender is not member]


# --- messages ---


def test_a_message_is_delivered_with_its_offset_and_acknowledged_under_its_ref(house: House) -> None:
    (ann, to_ann), (_, to_bob) = quiet(house, "ann", "bob")
    sent = [message(ann, number, ref=40 + number) for number in range(3)]
    for number, data in enumerate(sent):
        house.channel.collect(ann, Kind.MESSAGE, data, 40 + number)
    house.turn()
    for offset, (data, got) in enumerate(zip(sent, to_bob.messages(), strict=True), 1):
        head = envelope.decode(got)
        assert (head.type, head.channel, head.member, head.number) == (
            envelope.DELIVERED,
            7,
            ann.number,
            offset,
        )
        assert got[head.start :] == data[envelope.MESSAGE_START :]
    assert to_ann.told == [(Ack(channel=7, offset=offset), 39 + offset) for offset in (1, 2, 3)]
    assert house.channel.position == Position("epoch", 3)


def test_the_member_that_joins_is_told_where_the_channel_stands(house: House) -> None:
    (ann, _) = house.add("ann")
    house.channel.collect(ann, Kind.MESSAGE, message(ann, 0, 1), 1)
    bob, _ = house.add("bob")
    joined = bob.joined(NOW, {})
    assert (joined.epoch, joined.offset, joined.member, joined.channel) == ("epoch", 1, 2, 7)
    assert [other.user for other in joined.members] == ["ann"]


# --- who is there ---


def test_members_are_told_who_joins_and_leaves_and_not_about_themselves(house: House) -> None:
    ann, to_ann = house.add("ann")
    bob, to_bob = house.add("bob")
    house.turn()
    house.channel.remove(bob, "left")
    house.turn()
    told = [controls.decode(data, Side.SERVER)[0] for data in to_ann.messages()]
    assert told == [
        MemberJoined(channel=7, member=bob.number, user="bob"),
        MemberLeft(channel=7, member=bob.number, reason="left"),
    ]
    assert to_bob.messages() == []
    assert house.channel.members == {ann.number: ann}


def test_a_member_number_is_never_used_twice(house: House) -> None:
    numbers = []
    for _ in range(5):
        member, _ = house.add("ann")
        numbers.append(member.number)
        house.channel.remove(member, "left")
    assert len(set(numbers)) == 5


def test_what_was_sent_before_a_member_joined_is_not_for_it(house: House) -> None:
    (ann, _), _ = quiet(house, "ann", "bob")
    house.channel.collect(ann, Kind.AUDIO, frame(ann, 0))
    _, to_eve = house.add("eve")
    after = frame(ann, 1)
    house.channel.collect(ann, Kind.AUDIO, after)
    house.turn()
    assert to_eve.messages() == [after]


def test_what_was_sent_before_a_member_left_still_reaches_it_and_counts(house: House) -> None:
    (ann, to_ann), (bob, to_bob) = quiet(house, "ann", "bob")
    first, second = frame(ann, 0), message(bob, 0, 9)
    house.channel.collect(ann, Kind.AUDIO, first)
    house.channel.collect(bob, Kind.MESSAGE, second, 9)
    house.channel.remove(bob, "left")
    assert to_bob.messages() == [first]
    assert to_bob.told == [(Ack(channel=7, offset=1), 9)]
    house.turn()
    delivered, left = to_ann.messages()
    assert delivered[envelope.DELIVERED_START :] == second[envelope.MESSAGE_START :]
    assert isinstance(controls.decode(left, Side.SERVER)[0], MemberLeft)


def test_many_that_leave_at_once_cost_one_write_for_each_that_stays(house: House) -> None:
    members = quiet(house, *(f"user{number}" for number in range(100)))
    for member, _ in members[:90]:
        house.channel.remove(member, "connection_lost")
    house.turn()
    for _, outlet in members[90:]:
        assert len(outlet.writes) == 1
        assert len(outlet.messages()) == 90
    assert sum(len(outlet.writes) for _, outlet in members) <= 100


def test_many_that_join_at_once_cost_one_write_for_each_that_is_there(house: House) -> None:
    (ann, to_ann), (_, to_bob) = quiet(house, "ann", "bob")
    newcomers = [house.add(f"user{number}") for number in range(100)]
    house.turn()
    for outlet in (to_ann, to_bob):
        assert len(outlet.writes) == 1
        assert len(outlet.messages()) == 100
    house.channel.collect(ann, Kind.AUDIO, data := frame(ann, 0))
    house.turn()
    for number, (_, outlet) in enumerate(newcomers):
        assert len(outlet.messages()) == 100 - number, "who joined later, and the frame"
        assert outlet.messages()[-1] == data
        told = [controls.decode(notice, Side.SERVER)[0] for notice in outlet.messages()[:-1]]
        assert [control.user for control in told] == [f"user{n}" for n in range(number + 1, 100)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("backed_up", [False, True])
def test_a_newcomer_hears_of_nobody_that_came_or_went_in_its_turn_before_it(
    house: House, backed_up: bool
) -> None:
    (_, _), (bob, _) = quiet(house, "ann", "bob")
    house.add("early")
    house.channel.remove(bob, "left")
    member, outlet = house.add("newcomer")
    if backed_up:
        house.channel.slow(member)
    late, _ = house.add("late")
    house.channel.remove(late, "left")
    house.turn()
    heard = [unframe(item.wire)[0] for item in outlet.queued] if backed_up else outlet.messages()
    told = [controls.decode(data, Side.SERVER)[0] for data in heard]
    assert told == [
        MemberJoined(channel=7, member=late.number, user="late"),
        MemberLeft(channel=7, member=late.number, reason="left"),
    ]
    assert all(item.kind == NOTICE for item in outlet.queued)
    assert [other.user for other in member.joined(NOW, {}).members] == ["ann", "early"]


def test_very_many_notices_go_out_in_portions(house: House) -> None:
    ((_, to_ann),) = quiet(house, "ann")
    for number in range(300):
        house.channel.add(f"user{number}", bytes(2048), ALL, FakeOutlet(), NOW)
    house.settle()
    assert len(to_ann.messages()) == 300
    assert 2 <= len(to_ann.writes) <= 5
    assert max(map(len, to_ann.writes)) <= 300 * 1024


def test_a_closed_channel_lets_its_broker_go(house: House) -> None:
    ann, _ = house.add("ann")
    house.channel.remove(ann, "left")
    house.channel.close()
    house.turn()
    assert house.broker.sinks == {}


# --- the slow path ---


def test_a_slow_member_is_queued_for_and_the_others_are_written_to(house: House) -> None:
    (ann, _), (bob, to_bob), (_, to_eve) = quiet(house, "ann", "bob", "eve")
    house.channel.slow(bob)
    data = frame(ann, 0)
    house.channel.collect(ann, Kind.AUDIO, data)
    house.turn()
    assert to_bob.writes == []
    (item,) = to_bob.queued
    assert (item.kind, item.wire, item.channel) == (Kind.AUDIO, frame_header(len(data)) + data, 7)
    assert to_eve.messages() == [data]
    house.channel.fast(bob)
    later = frame(ann, 1)
    house.channel.collect(ann, Kind.AUDIO, later)
    house.turn()
    assert to_bob.messages() == [later]


def test_a_slow_member_is_queued_for_without_its_own(house: House) -> None:
    (ann, _), (bob, to_bob) = quiet(house, "ann", "bob")
    house.channel.slow(bob)
    house.channel.collect(bob, Kind.AUDIO, frame(bob, 0))
    house.channel.collect(ann, Kind.MESSAGE, message(ann, 0, 3), 3)
    house.channel.notify(MemberLeft(channel=7, member=99, reason="left"), ann)
    house.turn()
    assert [item.kind for item in to_bob.queued] == [Kind.MESSAGE, NOTICE]
    assert [unframe(item.wire)[0][0] for item in to_bob.queued] == [envelope.DELIVERED, envelope.CONTROL]


def test_a_member_that_backs_up_in_a_turn_gets_that_turn_once(house: House) -> None:
    (ann, _), (bob, to_bob) = quiet(house, "ann", "bob")
    to_bob.on_write = lambda: house.channel.slow(bob)
    data = frame(ann, 0)
    house.channel.collect(ann, Kind.AUDIO, data)
    house.turn()
    assert to_bob.messages() == [data]
    assert to_bob.queued == []


def test_slow_and_fast_twice_change_nothing(house: House) -> None:
    (ann, _), (bob, to_bob) = quiet(house, "ann", "bob")
    house.channel.slow(bob)
    house.channel.slow(bob)
    house.channel.fast(bob)
    house.channel.fast(bob)
    house.channel.collect(ann, Kind.AUDIO, frame(ann, 0))
    house.turn()
    assert (len(to_bob.writes), to_bob.queued) == (1, [])


def test_a_member_that_left_does_not_come_back_by_getting_fast(house: House) -> None:
    (ann, _), (bob, to_bob) = quiet(house, "ann", "bob")
    house.channel.slow(bob)
    house.channel.remove(bob, "left")
    house.channel.fast(bob)
    house.channel.collect(ann, Kind.AUDIO, frame(ann, 0))
    house.turn()
    assert to_bob.writes == []
    assert to_bob.queued == []
