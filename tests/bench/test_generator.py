"""The generator against relays that corrupt: whatever is done to a frame, the round must not pass."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import FIRST, FRAMING, Room, honestly

Rooms = Callable[..., Room]
FIFTH = 5


def only_the_fifth(change: Callable[[bytes], list[bytes]]) -> Callable[[int, int, bytes], list[bytes]]:
    """Treat the fifth frame to member 1, and nothing else."""

    def treat(number: int, member: int, payload: bytes) -> list[bytes]:
        return change(payload) if (number, member) == (FIFTH, 1) else honestly(number, member, payload)

    return treat


def test_an_honest_relay_passes_and_the_books_add_up(room: Rooms) -> None:
    outcome = room(3).run()
    assert outcome.faults == {}
    assert outcome.accepted > FIFTH
    assert outcome.expected == outcome.delivered == 3 * outcome.accepted
    assert 0 < outcome.delay_us["p50"] <= outcome.delay_us["p99"] <= outcome.delay_us["max"]


def test_paced_senders_pass_too(room: Rooms) -> None:
    outcome = room(3).run(rate=300)
    assert outcome.faults == {}
    assert 0 < outcome.accepted <= 30
    assert outcome.expected == outcome.delivered == 3 * outcome.accepted


@pytest.mark.parametrize("place", [8, 11, 12, 15, 16, 23, 24, 50, 99], ids=lambda place: f"byte-{place}")
def test_a_flipped_bit_is_damage(room: Rooms, place: int) -> None:
    def flip(payload: bytes) -> list[bytes]:
        changed = bytearray(payload)
        changed[place] ^= 0x10
        return [FRAMING + changed]

    outcome = room(3, only_the_fifth(flip)).run()
    assert outcome.faults == {"damaged": 1, "missing": 1}
    assert outcome.delivered == outcome.expected - 1


def test_a_flipped_bit_of_the_magic_is_a_missing_frame(room: Rooms) -> None:
    outcome = room(3, only_the_fifth(lambda payload: [FRAMING + b"\0" + payload[1:]])).run()
    assert outcome.faults == {"missing": 1, "odd": 1}


def test_a_dropped_frame_is_missing(room: Rooms) -> None:
    outcome = room(3, only_the_fifth(lambda payload: [])).run()
    assert outcome.faults == {"missing": 1}
    assert outcome.delivered == outcome.expected - 1


def test_frames_that_never_come_to_an_end_are_missing(room: Rooms) -> None:
    def stop_after_the_fifth(number: int, member: int, payload: bytes) -> list[bytes]:
        return [] if member == 1 and number > FIFTH else honestly(number, member, payload)

    outcome = room(3, stop_after_the_fifth).run()
    assert outcome.faults == {"missing": outcome.accepted - FIFTH - 1}


def test_a_doubled_frame_is_noticed(room: Rooms) -> None:
    outcome = room(3, only_the_fifth(lambda payload: [FRAMING + payload] * 2)).run()
    assert outcome.faults == {"doubled": 1}
    assert outcome.delivered == outcome.expected


def test_a_frame_that_comes_again_much_later_is_noticed(room: Rooms) -> None:
    first: list[bytes] = []

    def repeat_the_first(number: int, member: int, payload: bytes) -> list[bytes]:
        if number == 0 and member == 1:
            first.append(FRAMING + payload)
        again = first if (number, member) == (100, 1) else []
        return honestly(number, member, payload) + again

    outcome = room(3, repeat_the_first).run(seconds=0.4)
    assert outcome.accepted > 100
    assert outcome.faults == {"doubled": 1}


def test_two_frames_that_change_places_are_reordered_and_not_missing(room: Rooms) -> None:
    held: list[bytes] = []

    def swap(number: int, member: int, payload: bytes) -> list[bytes]:
        if member == 1 and number == FIFTH:
            held.append(FRAMING + payload)
            return []
        if member == 1 and number == FIFTH + 1:
            return [FRAMING + payload, *held]
        return honestly(number, member, payload)

    outcome = room(3, swap).run()
    assert outcome.faults == {"reordered": 1}
    assert outcome.delivered == outcome.expected


def test_a_frame_in_a_channel_that_it_was_not_sent_to_is_foreign(room: Rooms) -> None:
    made = room(3)
    made.members[3].group = 1
    outcome = made.run()
    assert outcome.faults == {"foreign": outcome.accepted}
    assert outcome.expected == outcome.delivered == 2 * outcome.accepted


def test_a_senders_own_frame_is_foreign_to_it(room: Rooms) -> None:
    def to_all(number: int, member: int, payload: bytes) -> list[bytes]:
        return [FRAMING + payload]

    outcome = room(3, to_all).run()
    assert outcome.faults == {"foreign": outcome.accepted}


def test_a_peer_known_to_echo_may_do_so_and_it_does_not_count(room: Rooms) -> None:
    def to_all(number: int, member: int, payload: bytes) -> list[bytes]:
        return [FRAMING + payload]

    outcome = room(3, to_all).run(echoes=True)
    assert outcome.faults == {}
    assert outcome.echoed == outcome.accepted
    assert outcome.delivered == 3 * outcome.accepted


def test_a_frame_cut_short_is_damage(room: Rooms) -> None:
    outcome = room(3, only_the_fifth(lambda payload: [FRAMING + payload[:-1]])).run()
    assert outcome.faults["damaged"] == 1


def test_a_frame_with_a_byte_too_many_is_odd(room: Rooms) -> None:
    outcome = room(3, only_the_fifth(lambda payload: [FRAMING + payload + b"\0"])).run()
    assert outcome.faults == {"odd": 1}


def test_frames_that_arrive_in_crumbs_are_whole(room: Rooms) -> None:
    def in_crumbs(number: int, member: int, payload: bytes) -> list[bytes]:
        whole = b"".join(honestly(number, member, payload))
        size = number % 13 + 1
        return [whole[at : at + size] for at in range(0, len(whole), size)]

    outcome = room(2, in_crumbs).run()
    assert outcome.faults == {}
    assert outcome.delivered == 2 * outcome.accepted > 0


def test_framing_that_changes_is_no_fault_of_a_peer_that_does_so(room: Rooms) -> None:
    made = room(2, lambda number, member, payload: [b"x" * (number % 40) + payload] if member else [])
    assert "odd" in made.run().faults


def test_a_connection_that_ends_is_noticed_and_its_frames_are_missing(room: Rooms) -> None:
    made = room(3, lambda number, member, payload: [] if member == 1 else honestly(number, member, payload))
    made.hang_up(1)
    outcome = made.run()
    assert outcome.faults == {"closed": 1, "missing": outcome.accepted}


def test_nothing_is_expected_of_a_member_that_does_not_read(room: Rooms) -> None:
    made = room(3, lambda number, member, payload: [] if member == 3 else honestly(number, member, payload))
    made.members[3].reads = False
    outcome = made.run()
    assert outcome.faults == {}
    assert outcome.expected == outcome.delivered == 2 * outcome.accepted


def test_the_counter_in_the_prefix_grows_with_every_frame(room: Rooms) -> None:
    made = room(1)
    outcome = made.run()
    counters = [int.from_bytes(head[-4:], "big") for head in made.heads]
    assert counters == list(range(FIRST, FIRST + outcome.accepted))


def test_a_plan_that_makes_no_sense_is_refused_in_words(room: Rooms) -> None:
    made = room(1)
    made.members[0].wrap = None
    with pytest.raises(RuntimeError, match="no sender"):
        made.run()
