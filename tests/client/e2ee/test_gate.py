"""The gate, the places where frames wait, and the schedule of beacons."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee.beacon import ECHOES_MAX, Beacon
from sealcast.client.e2ee.beaconing import Beaconing
from sealcast.client.e2ee.gate import Gate
from sealcast.client.e2ee.hold import HOLD_EACH, Hold
from sealcast.client.e2ee.watch import Finding, Watch

MINE = b"my chall"
ALICE = ("alice", bytes(16))
BOB = ("bob", bytes(16))


def beacon(*challenges: bytes, time_ms: int = 0) -> Beacon:
    return Beacon(time_ms, 0, (), challenges, bytes(32))


def test_strict_opens_by_this_sides_challenge_and_by_nothing_else() -> None:
    gate: Gate[str] = Gate(MINE)
    for text in ("one", "two"):
        assert gate.hold.put((ALICE, 0), text, 10, 0.0)
    assert gate.beacon((ALICE, 0), beacon(time_ms=0), 0) == []
    assert gate.beacon((ALICE, 0), beacon(b"another!", b"yours!!!"), 0) == []
    assert not gate.is_open((ALICE, 0))
    assert gate.beacon((ALICE, 0), beacon(b"another!", MINE), 0) == ["one", "two"]
    assert gate.is_open((ALICE, 0))
    assert not gate.is_open((ALICE, 1)), "each epoch needs its own beacon"
    assert not gate.is_open((BOB, 0))


def test_relaxed_opens_by_the_clock_within_thirty_seconds_either_way() -> None:
    for off, opens in ((0, True), (30_000, True), (-30_000, True), (30_001, False), (-30_001, False)):
        gate: Gate[str] = Gate(MINE, strict=False)
        gate.beacon((ALICE, 0), beacon(time_ms=1_000_000), 1_000_000 + off)
        assert gate.is_open((ALICE, 0)) is opens


def test_what_is_known_to_be_fresh_is_bounded_and_what_is_forgotten_is_closed() -> None:
    gate: Gate[str] = Gate(MINE, open_max=2)
    for epoch in range(3):
        gate.beacon((ALICE, epoch), beacon(MINE), 0)
    assert [gate.is_open((ALICE, epoch)) for epoch in range(3)] == [False, True, True]


def test_a_hold_gives_back_in_order_and_up_to_its_bounds() -> None:
    hold: Hold[str, int] = Hold(total=HOLD_EACH + 10)
    assert all(hold.put("a", n, 1, 0.0) for n in range(HOLD_EACH))
    assert not hold.put("a", 999, 1, 0.0), "one reason's frames"
    assert all(hold.put("b", n, 1, 0.0) for n in range(10))
    assert not hold.put("c", 999, 1, 0.0), "all reasons' frames"
    assert hold.take("a") == list(range(HOLD_EACH))
    assert hold.take("a") == []
    assert len(hold) == 10


def test_a_hold_is_bounded_in_bytes() -> None:
    hold: Hold[str, int] = Hold(most_bytes=1000)
    assert hold.put("a", 1, 700, 0.0)
    assert not hold.put("a", 2, 200, 0.0)
    hold.take("a")
    assert hold.put("a", 3, 800, 0.0)


def test_what_waits_too_long_comes_out_once() -> None:
    hold: Hold[str, int] = Hold()
    hold.put("a", 1, 1, 10.0)
    hold.put("b", 2, 1, 10.5)
    hold.put("a", 3, 1, 11.0)
    assert hold.next_timeout() == 12.0
    assert hold.expire(11.9) == []
    assert hold.expire(12.5) == [("a", 1), ("b", 2)]
    assert "b" not in hold
    assert hold.take("a") == [3]
    assert hold.next_timeout() is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 400), st.booleans()), max_size=60))
def test_a_holds_count_and_bytes_are_what_it_holds(steps: list[tuple[str, int, bool]]) -> None:
    hold: Hold[str, int] = Hold(each=5, total=9, most_bytes=2000)
    inside: list[tuple[str, int]] = []
    for now, (key, size, puts) in enumerate(steps):
        if puts:
            if hold.put(key, size, size, now):
                inside.append((key, size))
        else:
            assert hold.take(key) == [size for k, size in inside if k == key]
            inside = [item for item in inside if item[0] != key]
        for gone in hold.expire(now):
            inside.remove(gone)
        assert len(hold) == len(inside) <= 9
        assert sum(size + 128 for _, size in inside) <= 2000


# --- when beacons are sent ---------------------------------------------------------------------------


def test_who_has_not_spoken_sends_no_beacons() -> None:
    schedule = Beaconing()
    schedule.welcome(ALICE, MINE, 0.0)
    schedule.rekeyed(0.0)
    schedule.handle_timeout(100.0)
    assert (schedule.urgent, schedule.next_timeout()) == (False, None)


def test_one_before_the_first_frame_one_after_a_hello_and_one_every_five_seconds() -> None:
    schedule = Beaconing()
    schedule.welcome(ALICE, MINE, 0.0)
    schedule.spoke()
    assert schedule.urgent
    assert schedule.echo(1.0) == (MINE,)
    schedule.spoke()
    assert not schedule.urgent, "the epoch has had its beacon"
    assert schedule.next_timeout() == 6.0
    schedule.welcome(BOB, b"of bob!!", 1.1)
    assert schedule.next_timeout() == 1.25
    schedule.handle_timeout(1.25)
    assert schedule.urgent
    assert schedule.echo(1.25) == (b"of bob!!", MINE)
    schedule.rekeyed(2.0)
    schedule.spoke()
    assert schedule.urgent, "the first frame of an epoch has a beacon before it"
    assert set(schedule.echo(2.0)) == {MINE, b"of bob!!"}
    schedule.dismiss(BOB)
    schedule.rekeyed(3.0)
    assert schedule.next_timeout() == 3.25, "a silent sender shows its new epoch too"
    schedule.handle_timeout(3.25)
    assert schedule.echo(3.25) == (MINE,)


def test_in_a_large_channel_everybody_is_echoed_in_turn() -> None:
    schedule = Beaconing()
    schedule.spoke()
    schedule.echo(0.0)
    challenges = {n.to_bytes(8, "big") for n in range(700)}
    for challenge in sorted(challenges):
        schedule.welcome(("user", challenge), challenge, 0.0)
    echoed: set[bytes] = set()
    for _ in range(3):
        due = schedule.next_timeout()
        assert due is not None
        assert due <= 1.0
        schedule.handle_timeout(due)
        echo = schedule.echo(due)
        assert len(echo) == ECHOES_MAX
        echoed |= set(echo)
    assert echoed == challenges
    assert schedule.next_timeout() == 5.75


# --- what beacons show -------------------------------------------------------------------------------


def test_a_sender_without_beacons_for_fifteen_seconds_has_stalled_once() -> None:
    watch = Watch(lambda name, kid: -1)
    assert watch.next_timeout() is None
    watch.beacon(ALICE, 0, True, (), 0.0)
    assert watch.next_timeout() == 1.0
    assert watch.handle_timeout(14.9) == []
    assert watch.handle_timeout(15.9) == [Finding(ALICE, "stalled")]
    assert watch.handle_timeout(40.0) == []
    watch.beacon(ALICE, 0, True, (), 41.0)
    assert watch.handle_timeout(57.0) == [Finding(ALICE, "stalled")]


def test_being_away_is_nobodys_silence_and_who_left_is_not_missed() -> None:
    watch = Watch(lambda name, kid: -1)
    watch.beacon(ALICE, 0, True, (), 0.0)
    watch.beacon(BOB, 0, True, (), 0.0)
    watch.pause(20.0)
    assert watch.handle_timeout(21.0) == []
    watch.forget(ALICE)
    assert watch.handle_timeout(36.0) == [Finding(BOB, "stalled")]


def test_a_roster_that_differs_for_ten_seconds_is_told_once_until_it_is_the_same() -> None:
    watch = Watch(lambda name, kid: -1)
    watch.beacon(ALICE, 0, False, (), 0.0)
    assert watch.handle_timeout(10.5) == [], "one beacon may have crossed a change"
    watch.beacon(ALICE, 0, False, (), 10.6)
    assert watch.handle_timeout(11.6) == [Finding(ALICE, "split")]
    watch.beacon(ALICE, 0, False, (), 15.0)
    assert watch.handle_timeout(16.0) == []
    watch.beacon(ALICE, 0, True, (), 17.0)
    watch.beacon(ALICE, 0, False, (), 18.0)
    watch.beacon(ALICE, 0, False, (), 22.0)
    assert watch.handle_timeout(27.9) == []
    assert watch.handle_timeout(28.9) == [Finding(ALICE, "split")]


def test_frames_that_were_sealed_and_did_not_come_are_counted_once_after_a_second() -> None:
    last = {512: 9}
    watch = Watch(lambda name, kid: last.get(kid, -1))
    now = 0.0
    for following, arrived, expected in (
        (300, 9, []),
        (300, 9, []),
        (305, 9, [Finding(ALICE, "missing", 2, 5)]),
        (305, 9, []),
        (310, 309, []),
        (312, 310, [Finding(ALICE, "missing", 2, 1)]),
    ):
        watch.beacon(ALICE, 0, True, [(512, following)], now)
        assert watch.handle_timeout(now + 0.5) == []
        last[512] = arrived
        assert watch.handle_timeout(now + 1.6) == expected
        now += 5
    watch.pause(now)
    watch.beacon(ALICE, 0, True, [(512, 999)], now)
    assert watch.handle_timeout(now + 3) == []


def test_a_whole_stream_that_did_not_come_from_a_sender_that_was_heard_before_is_missing() -> None:
    watch = Watch(lambda name, kid: -1)
    watch.beacon(ALICE, 0, True, [(512, 300)], 0.0)
    assert watch.handle_timeout(1.0) == [], "what was sealed before its first beacon may not be meant for us"
    watch.beacon(ALICE, 0, True, [(512, 300), (768, 4)], 5.0)
    assert watch.handle_timeout(6.0) == [Finding(ALICE, "missing", 3, 4)]
    watch.beacon(ALICE, 1, True, [(512 + 16, 1)], 10.0)
    assert watch.handle_timeout(11.0) == [Finding(ALICE, "missing", 2, 1)], "nor in a new epoch"


def test_a_key_id_that_was_used_before_this_side_came_counts_from_where_it_is() -> None:
    last: dict[int, int] = {}
    watch = Watch(lambda name, kid: last.get(kid, -1))
    watch.beacon(ALICE, 5, True, [(512 + 5 * 16, 9)], 0.0)
    watch.beacon(ALICE, 20, True, [(512 + 4 * 16, 700)], 5.0)
    assert watch.handle_timeout(6.0) == [], "epoch 4 may have used 699 of them"
    watch.beacon(ALICE, 21, True, [(768 + 5 * 16, 2)], 10.0)
    assert watch.handle_timeout(11.0) == [Finding(ALICE, "missing", 3, 2)], "epoch 5 was heard"
    last[768 + 4 * 16] = 701
    watch.beacon(ALICE, 36, True, [(768 + 4 * 16, 705)], 15.0)
    assert watch.handle_timeout(16.0) == [Finding(ALICE, "missing", 3, 3)], "702 to 704 came later"


def test_what_was_sealed_while_this_side_was_away_is_not_missing() -> None:
    watch = Watch(lambda name, kid: -1)
    watch.beacon(ALICE, 0, True, (), 0.0)
    watch.pause(5.0)
    watch.beacon(ALICE, 0, True, [(512, 300)], 6.0)
    assert watch.handle_timeout(8.0) == []
    watch.beacon(ALICE, 0, True, [(512, 300), (768, 1)], 11.0)
    assert watch.handle_timeout(12.0) == [Finding(ALICE, "missing", 3, 1)]
