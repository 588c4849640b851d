"""The load generator sees everything that a relay can do wrong with a frame, and nothing if all is well."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from bench import load

Treatment = Callable[[int, int, bytes], list[bytes]]

FRAMING = b"from"
QUICK = load.Timing(warm_up=0.05, measure=0.15, silence=0.2)
WRONG = 20
"""The frame of the sender with which something happens."""

pytestmark = [pytest.mark.compiled, pytest.mark.timeout(60)]


def only(what: Callable[[bytes], list[bytes]], *, at: int = WRONG, receiver: int = 1) -> Treatment:
    """Do something to one frame for one receiver, and nothing to the rest."""

    def treat(number: int, to: int, payload: bytes) -> list[bytes]:
        wire = FRAMING + payload
        return what(wire) if (number, to) == (at, receiver) else [wire]

    return treat


def flipped(wire: bytes) -> list[bytes]:
    return [wire[:-3] + bytes((wire[-3] ^ 1,)) + wire[-2:]]


def run(room: object, **how: object) -> load.Outcome:
    how = how or {"rate": 200.0}
    return load.run(room.members, [os.getpid()], 100, timing=QUICK, **how)  # type: ignore[attr-defined, arg-type]


@pytest.mark.parametrize("how", [{"window": 16}, {"rate": 300.0}])
def test_an_honest_relay_has_no_faults_and_the_numbers_add_up(
    rooms: Callable[..., object], how: dict[str, float]
) -> None:
    found = run(rooms(), **how)
    assert found.faults == {}
    assert found.accepted > 10
    assert found.delivered == found.expected == found.accepted * 3
    assert 0 < found.measured_delivered <= found.delivered
    assert found.delay_us["p50"] <= found.delay_us["p99"] <= found.delay_us["max"]


def test_the_counter_in_front_of_a_frame_grows_by_one(rooms: Callable[..., object]) -> None:
    room = rooms()
    run(room)
    counters = [int.from_bytes(head[-4:], "big") for head in room.heads]  # type: ignore[attr-defined]
    assert counters == list(range(1 << 24, (1 << 24) + len(counters)))


@pytest.mark.parametrize(
    ("treat", "faults"),
    [
        (only(lambda wire: []), {"missing": 1}),
        (only(lambda wire: [wire, wire]), {"doubled": 1}),
        (only(flipped), {"damaged": 1}),
    ],
    ids=["dropped", "doubled", "flipped"],
)
def test_a_relay_that_harms_one_frame_is_caught(
    rooms: Callable[..., object], treat: Treatment, faults: dict[str, int]
) -> None:
    found = run(rooms(treat=treat)).faults
    for name, count in faults.items():
        assert found.get(name, 0) >= count, found


def test_frames_that_change_places_are_caught(rooms: Callable[..., object]) -> None:
    held: list[bytes] = []

    def swap(number: int, to: int, payload: bytes) -> list[bytes]:
        if to != 1:
            return [FRAMING + payload]
        if number == WRONG:
            held.append(FRAMING + payload)
            return []
        return [FRAMING + payload, *([held.pop()] if held else [])]

    found = run(rooms(treat=swap)).faults
    assert found.get("reordered", 0) >= 1, found


def test_a_frame_of_another_run_is_not_counted_as_one_of_this(rooms: Callable[..., object]) -> None:
    def strange(number: int, to: int, payload: bytes) -> list[bytes]:
        if (number, to) == (WRONG, 1):
            return [FRAMING + os.urandom(len(payload))]
        return [FRAMING + payload]

    found = run(rooms(treat=strange)).faults
    assert found.get("missing", 0) >= 1, found


def test_a_member_that_does_not_read_is_expected_to_get_nothing(rooms: Callable[..., object]) -> None:
    found = run(rooms(receivers=4, stalled=1))
    assert found.expected == found.accepted * 3
