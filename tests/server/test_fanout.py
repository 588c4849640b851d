"""A large channel goes out in slices: what members get, in which order, while everything changes."""

from __future__ import annotations

import pytest

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Ack, MemberLeft, Side
from sealcast.protocol.names import Kind
from sealcast.server.member import Member
from sealcast.server.turns import SLICE, TURN_MOST, WRITE_COST

from .fakes import FakeOutlet, House, frame, message, quiet, unframe

MANY = 1000
A_TURN = (TURN_MOST + SLICE) // WRITE_COST
"""More writes than one turn of the loop may take."""
LARGE = 8_000
"""Bytes of a frame that takes several turns to go out to everybody."""


@pytest.fixture
def crowd() -> tuple[House, list[tuple[Member, FakeOutlet]]]:
    house = House()
    members = [house.add(f"user{number}") for number in range(MANY)]
    house.settle()
    for _, outlet in members:
        outlet.writes.clear()
    return house, members


Crowd = tuple[House, list[tuple[Member, FakeOutlet]]]


def have(members: list[tuple[Member, FakeOutlet]]) -> list[int]:
    """Return how many writes each member has had."""
    return [len(outlet.writes) for _, outlet in members]


# --- fairness ---


def test_a_channel_of_a_thousand_does_not_starve_five_hundred_of_four(crowd: Crowd) -> None:
    house, members = crowd
    small = []
    for number in range(500):
        other = House(house, 100 + number)
        small.append((other, quiet(other, "a", "b", "c", "d")))
    house.settle()
    big = [frame(members[0][0], number, 2_000) for number in range(20)]
    for data in big:
        house.channel.collect(members[0][0], Kind.AUDIO, data)
    for other, (sender, *_) in small:
        other.channel.collect(sender[0], Kind.AUDIO, frame(sender[0], 0))
    everybody = [outlet for _, group in small for _, outlet in group[1:]]
    turns = 0
    last_small = done = 0
    while house.soon:
        before = sum(have(members)) + sum(len(outlet.writes) for outlet in everybody)
        house.turn()
        turns += 1
        writes = sum(have(members)) + sum(len(outlet.writes) for outlet in everybody) - before
        assert writes <= A_TURN, "work per turn of the loop is bounded"
        if not last_small and all(outlet.writes for outlet in everybody):
            last_small = turns
        if not done and all(have(members)[1:]):
            done = turns
    assert last_small < done, "the small ones are served between the slices of the big one"
    assert last_small <= 500 * 3 // (A_TURN // 4) + 1
    for _, outlet in members[1:]:
        assert outlet.messages() == big
    assert all(len(outlet.messages()) == 1 for outlet in everybody)


def test_a_slice_is_bounded_in_bytes_too(crowd: Crowd) -> None:
    house, members = crowd
    house.channel.collect(members[0][0], Kind.VIDEO, frame(members[0][0], 0, 200_000))
    while house.soon:
        before = sum(have(members))
        house.turn()
        assert (sum(have(members)) - before) * 200_000 <= TURN_MOST + SLICE


def test_frames_keep_their_order_while_more_come_in(crowd: Crowd) -> None:
    house, members = crowd
    sent = []
    for number in range(30):
        sender = members[number % 3][0]
        data = frame(sender, number, LARGE)
        house.channel.collect(sender, Kind.AUDIO, data)
        sent.append((sender, data))
        house.turn()
    house.settle()
    for member, outlet in members:
        assert outlet.messages() == [data for sender, data in sent if sender is not member]
    assert max(have(members[3:])) < 30, "what came in meanwhile went out together"


# --- what changes meanwhile ---


def test_who_joins_meanwhile_gets_nothing_of_before(crowd: Crowd) -> None:
    house, members = crowd
    sender = members[0][0]
    first = frame(sender, 0, LARGE)
    house.channel.collect(sender, Kind.AUDIO, first)
    house.turn()
    assert 0 < sum(have(members)) < MANY - 1
    _, to_late = house.add("late")
    second = frame(sender, 1, LARGE)
    house.channel.collect(sender, Kind.AUDIO, second)
    house.settle()
    assert to_late.messages() == [second]
    for _, outlet in members[1:]:
        got = outlet.messages()
        assert (got[0], got[-1], len(got)) == (first, second, 3)


def test_who_leaves_meanwhile_gets_what_was_sent_before_and_its_acks_at_once(crowd: Crowd) -> None:
    house, members = crowd
    (leaver, to_leaver), (speaker, _) = members[MANY - 1], members[0]
    house.channel.collect(speaker, Kind.AUDIO, data := frame(speaker, 0, LARGE))
    house.channel.collect(leaver, Kind.MESSAGE, message(leaver, 0, 9), 9)
    house.turn()
    assert (to_leaver.writes, to_leaver.told) == ([], [])
    house.channel.remove(leaver, "left")
    assert to_leaver.messages() == [data]
    assert to_leaver.told == [(Ack(channel=7, offset=1), 9)]
    house.settle()
    assert len(to_leaver.told) == 1, "acknowledged once"
    assert len(to_leaver.writes) == 1
    got = members[1][1].messages()
    assert got[1][envelope.DELIVERED_START :] == message_body(members, leaver)
    assert isinstance(controls.decode(got[2], Side.SERVER)[0], MemberLeft)


def message_body(members: list[tuple[Member, FakeOutlet]], sender: Member) -> bytes:
    """Return the body of the one message, as another member than the ones looked at got it."""
    delivered = [data for data in members[2][1].messages() if data[0] == envelope.DELIVERED]
    assert envelope.decode(delivered[0]).member == sender.number
    return delivered[0][envelope.DELIVERED_START :]


def test_acks_come_when_everybody_has_the_message(crowd: Crowd) -> None:
    house, members = crowd
    sender, outlet = members[0]
    house.channel.collect(sender, Kind.MESSAGE, message(sender, 0, 5), 5)
    while not all(have(members)[1:]):
        assert outlet.told == []
        house.turn()
    assert outlet.told == [(Ack(channel=7, offset=1), 5)]


def test_who_backs_up_meanwhile_is_queued_for_and_who_catches_up_is_written_to(crowd: Crowd) -> None:
    house, members = crowd
    sender = members[0][0]
    last, to_last = members[-1]
    house.channel.slow(last)
    house.channel.collect(sender, Kind.AUDIO, first := frame(sender, 0, LARGE))
    house.turn()
    other, to_other = next((m, o) for m, o in members[1:] if not o.writes and m is not last)
    house.channel.slow(other)
    house.channel.fast(last)
    house.settle()
    assert [unframe(item.wire)[0] for item in to_other.queued] == [first]
    assert (to_other.writes, to_last.queued) == ([], [])
    assert to_last.messages() == [first]
    house.channel.fast(other)
    house.channel.collect(sender, Kind.AUDIO, second := frame(sender, 1, LARGE))
    house.settle()
    assert to_other.messages() == [second]


def test_slow_members_count_for_the_work_of_a_turn(crowd: Crowd) -> None:
    house, members = crowd
    for member, _ in members:
        house.channel.slow(member)
    for number in range(100):
        house.channel.collect(members[0][0], Kind.AUDIO, frame(members[0][0], number))
    while house.soon:
        before = sum(len(outlet.queued) for _, outlet in members)
        house.turn()
        assert sum(len(outlet.queued) for _, outlet in members) - before <= (TURN_MOST + SLICE) // 1024 + 100
    assert all(len(outlet.queued) == 100 for _, outlet in members[1:])


def test_something_for_one_member_comes_after_what_is_on_its_way_to_it(crowd: Crowd) -> None:
    house, members = crowd
    sender, (receiver, to_receiver) = members[0][0], members[-1]
    house.channel.collect(sender, Kind.AUDIO, first := frame(sender, 0, LARGE))
    house.turn()
    house.channel.collect(sender, Kind.AUDIO, second := frame(sender, 1, LARGE))
    house.channel.flush_to(receiver)
    assert to_receiver.messages() == [first, second]
    house.settle()
    assert to_receiver.messages() == [first, second], "and not again"


def test_a_channel_that_is_closed_forgets_what_is_on_its_way(crowd: Crowd) -> None:
    house, members = crowd
    house.channel.collect(members[0][0], Kind.AUDIO, frame(members[0][0], 0, LARGE))
    house.turn()
    for member, _ in members:
        house.channel.remove(member, "connection_lost")
    house.channel.close()
    house.settle()
    assert all(len(outlet.writes) >= 1 for _, outlet in members[1:])
    assert not house.channel.busy


# --- bounded memory ---


def test_who_sends_faster_than_it_goes_out_is_not_read_from_until_it_has(crowd: Crowd) -> None:
    house, members = crowd
    (ann, to_ann), (_, to_bob) = members[:2]
    number = 0
    while not to_ann.held:
        house.channel.collect(ann, Kind.VIDEO, frame(ann, number, 50_000))
        number += 1
    assert 1024 * 1024 < number * 50_000 < 2 * 1024 * 1024
    assert to_bob.held == 0, "who does not send is read from"
    house.channel.collect(ann, Kind.VIDEO, frame(ann, number, 50_000))
    assert to_ann.held == 1
    house.settle()
    assert to_ann.held == 0
    for _, outlet in (members[1], members[500], members[-1]):
        assert len(outlet.messages()) == number + 1, "nothing is lost"


def test_who_leaves_while_nothing_is_read_from_it_is_read_from_again(crowd: Crowd) -> None:
    house, members = crowd
    ann, to_ann = members[0]
    for number in range(40):
        house.channel.collect(ann, Kind.VIDEO, frame(ann, number, 50_000))
    assert to_ann.held == 1
    house.channel.remove(ann, "left")
    assert to_ann.held == 0


def test_when_everybody_sends_at_once_the_backlog_is_bounded_all_the_same(crowd: Crowd) -> None:
    house, members = crowd
    sent = 0
    for member, _ in members:
        for number in range(5):
            if house.channel.crowded:
                break
            house.channel.collect(member, Kind.VIDEO, frame(member, number, 50_000))
            sent += 50_000
    assert sent < 9 * 1024 * 1024
    assert {member.allowance for member, _ in members} == {-1}, "they are asked before the next frame"
    while house.channel.crowded:
        house.turn()
    house.settle()
    assert not any(outlet.held for _, outlet in members)
