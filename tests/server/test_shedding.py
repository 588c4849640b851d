"""Which frames go, and which with them: the policies alone, against the rules that they promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.descriptor import DISCARDABLE, KEYFRAME
from sealcast.protocol.names import Kind
from sealcast.server.interfaces import NOTICE
from sealcast.server.shedding import TIERS, Gates, Waiting, broken, overdue, surplus

from .fakes import waiting

VIDEO, AUDIO, SCREEN = Kind.VIDEO, Kind.AUDIO, Kind.SCREEN
FRAMES = (Kind.AUDIO, Kind.VIDEO, Kind.DATA, Kind.SCREEN, Kind.CUSTOM)


def key(**how: Any) -> Waiting:
    return waiting(VIDEO, flags=KEYFRAME, **how)


def delta(**how: Any) -> Waiting:
    return waiting(VIDEO, **how)


def one_by_one(items: Sequence[Waiting]) -> list[list[int]]:
    """Return the places that go, step by step, as ever more room is made."""
    steps: list[list[int]] = []
    total = sum(item.weight for item in items)
    gone: set[int] = set()
    for must in range(1, total + 1):
        now = set(surplus(items, must, must).going)
        if now - gone:
            steps.append(sorted(now - gone))
            gone |= now
    return steps


# --- the order in which frames make room ---


def test_the_oldest_of_equals_goes_first() -> None:
    assert one_by_one([waiting(Kind.DATA) for _ in range(4)]) == [[0], [1], [2], [3]]


def test_audio_goes_after_everything_else_and_controls_last_of_all() -> None:
    kinds = (Kind.CONTROL, Kind.AUDIO, Kind.VIDEO, Kind.DATA, Kind.SCREEN, Kind.CUSTOM)
    items = [waiting(kind, stream=0 if kind == Kind.CONTROL else 2 + kind) for kind in kinds]
    assert one_by_one(items) == [[2], [3], [4], [5], [1], [0]]


def test_low_priority_goes_before_high() -> None:
    items = [waiting(Kind.DATA, priority=priority) for priority in (3, 7, 0, 5)]
    assert one_by_one(items) == [[2], [0], [3], [1]]


def test_upper_layers_go_before_low_priority_and_discardable_frames_before_both() -> None:
    items = [
        waiting(Kind.DATA, priority=0),
        waiting(Kind.DATA, priority=7, spatial=1),
        waiting(Kind.DATA, priority=7, temporal=1),
        waiting(Kind.DATA, priority=7, temporal=2, spatial=1),
        waiting(Kind.DATA, priority=7, flags=DISCARDABLE),
    ]
    assert one_by_one(items) == [[4], [3], [2], [1], [0]]


def test_an_upper_layer_says_that_it_was_one() -> None:
    items = [waiting(Kind.DATA, temporal=1), waiting(Kind.DATA)]
    assert surplus(items, 10_000, 10_000).going == {0: "layer", 1: "room"}


def test_a_keyframe_goes_after_the_frames_that_need_it() -> None:
    assert one_by_one([key(), delta(), delta()]) == [[1, 2], [0]]


def test_messages_and_notices_never_go() -> None:
    items = [waiting(Kind.MESSAGE), waiting(NOTICE), waiting(Kind.DATA)]
    assert surplus(items, 10_000, 10_000).going == {2: "room"}
    assert overdue(items, 1.0).going == {2: "age"}


@pytest.mark.parametrize("kind", [Kind.CONTROL, *FRAMES])
def test_nothing_of_a_reliable_channel_goes(kind: Kind) -> None:
    items = [waiting(kind, policy="reliable")]
    assert surplus(items, 10_000, 10_000).going == {}
    assert overdue(items, 1.0).going == {}


def test_the_newest_of_a_stream_and_controls_do_not_get_too_old() -> None:
    items = [
        waiting(Kind.DATA, policy="latest"),
        waiting(Kind.CONTROL),
        waiting(Kind.CONTROL, policy="latest"),
    ]
    assert overdue(items, 1.0).going == {}
    assert [item.latest for item in items] == [True, False, False], "keys are not replaced by other keys"


# --- what goes with a dropped video frame ---


def test_what_cannot_be_decoded_goes_up_to_the_next_keyframe() -> None:
    items = [delta(since=0.0), delta(since=1.0), key(since=1.0), delta(since=1.0)]
    verdict = overdue(items, 1.0)
    assert verdict.going == {0: "age", 1: "keyframe"}
    assert not any(verdict.shut.values())


def test_what_goes_with_a_frame_makes_room_too_so_that_other_streams_are_spared() -> None:
    items = [delta(stream=stream) for _ in range(3) for stream in (2, 3)]
    want = items[0].weight + 1
    assert surplus(items, want, want).going == {0: "room", 2: "keyframe", 4: "keyframe"}


def test_without_a_keyframe_in_the_queue_the_stream_waits_for_one() -> None:
    gates = Gates()
    gates.shut(overdue([delta(), delta(since=1.0)], 1.0).shut, 1.0)
    assert [gates.admits(item) for item in (delta(), delta(stream=3), delta(sender=2))] == [False, True, True]
    assert [gates.admits(item) for item in (key(), delta())] == [True, True]
    assert len(gates) == 0


def test_a_stream_that_marks_no_keyframes_is_dropped_frame_by_frame() -> None:
    verdict = overdue([delta(keyed=False), delta(keyed=False, since=1.0)], 1.0)
    assert verdict.going == {0: "age"}
    assert verdict.shut == {}


@pytest.mark.parametrize("kind", [Kind.AUDIO, Kind.DATA, Kind.CUSTOM])
def test_frames_of_other_kinds_need_no_others(kind: Kind) -> None:
    assert overdue([waiting(kind), waiting(kind, since=1.0)], 1.0).going == {0: "age"}


def test_a_dropped_discardable_frame_takes_nothing_with_it() -> None:
    verdict = overdue([delta(flags=DISCARDABLE), delta(since=1.0)], 1.0)
    assert verdict.going == {0: "age"}
    assert verdict.shut == {}


def test_a_dropped_upper_layer_leaves_the_lower_ones() -> None:
    items = [
        delta(temporal=1),
        delta(since=1.0),
        delta(temporal=2, since=1.0),
        delta(temporal=1, spatial=1, since=1.0),
        delta(spatial=1, since=1.0),
    ]
    assert overdue(items, 1.0).going == {0: "age", 2: "keyframe", 3: "keyframe"}


def test_a_keyframe_of_an_upper_layer_opens_no_lower_one() -> None:
    gates = Gates()
    gates.shut(broken(delta()), 0.0)
    assert gates.admits(key(spatial=1))
    assert [gates.admits(delta(spatial=spatial)) for spatial in (0, 1, 2)] == [False, True, True]
    assert gates.admits(key())
    assert gates.admits(delta())


def test_screens_depend_on_keyframes_like_video() -> None:
    items = [waiting(SCREEN), waiting(SCREEN, since=1.0), waiting(SCREEN, flags=KEYFRAME, since=1.0)]
    assert overdue(items, 1.0).going == {0: "age", 1: "keyframe"}


# --- streams that wait for a keyframe ---


def test_a_stream_that_fell_silent_is_not_waited_for() -> None:
    gates = Gates()
    gates.shut(broken(delta()), 100.0)
    assert not gates.settle(101.0)
    assert not gates.admits(delta(since=104.0))
    assert not gates.settle(106.0), "it was still sending"
    assert gates.settle(110.0)


def test_a_channel_s_streams_are_forgotten_with_it() -> None:
    gates = Gates()
    for channel in (1, 2):
        gates.shut(broken(delta(channel=channel)), 0.0)
    gates.forget(1)
    assert [gates.admits(delta(channel=channel)) for channel in (1, 2)] == [True, False]


def test_the_streams_that_wait_are_bounded_in_number() -> None:
    gates = Gates()
    for sender in range(10_000):
        gates.shut(broken(delta(sender=sender)), 0.0)
    assert len(gates) == 4096
    assert not gates.admits(delta(sender=9_999)), "the newest are remembered"


# --- whatever waits ---

_FRAME = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(FRAMES),
        "flags": st.sampled_from([0, 0, 0, KEYFRAME, DISCARDABLE]),
        "temporal": st.integers(0, 2),
        "spatial": st.integers(0, 1),
        "priority": st.integers(0, 7),
        "stream": st.integers(2, 3),
        "sender": st.integers(1, 2),
        "size": st.integers(20, 2000),
        "policy": st.sampled_from(["realtime"] * 6 + ["latest", "reliable"]),
    }
)
_OTHER = st.fixed_dictionaries({"kind": st.sampled_from([NOTICE, Kind.MESSAGE, Kind.CONTROL])})


@st.composite
def queues(draw: st.DrawFn) -> list[Waiting]:
    described = draw(st.lists(st.one_of(_FRAME, _FRAME, _FRAME, _OTHER), max_size=40))
    return [waiting(**how, since=float(place)) for place, how in enumerate(described)]


def undecodable(items: Sequence[Waiting], arrived: Sequence[bool]) -> list[int]:
    """Return which of those that arrived cannot be decoded, by a receiver that knows every layer's state."""
    lost: dict[int, set[int]] = {}
    bad = []
    for place, item in enumerate(items):
        if not item.gated:
            continue
        temporal, spatial = item.layer >> 2, item.layer & 3
        above = {t << 2 | s for t in range(temporal, 8) for s in range(spatial, 4)}
        layers = lost.setdefault(item.flow, set())
        if not arrived[place]:
            if not item.discardable:
                layers |= above
        elif item.keyframe:
            layers -= above
        elif item.layer in layers:
            bad.append(place)
    return bad


@given(queues(), st.integers(1, 20_000), st.integers(0, 20_000))
def test_what_goes_is_enough_in_order_and_leaves_nothing_undecodable(
    items: list[Waiting], must: int, more: int
) -> None:
    going = surplus(items, must, must + more).going
    rest = [item for place, item in enumerate(items) if place not in going]
    droppable = sum(item.weight for item in items if item.tier is not None)
    assert sum(items[place].weight for place in going) >= min(must, droppable)
    assert all(items[place].tier is not None for place in going)
    chosen = [place for place, reason in going.items() if reason != "keyframe"]
    if chosen:
        last = max((items[place].tier, items[place].rank, place) for place in chosen)
        assert all(
            (item.tier, item.rank, place) > last
            for place, item in enumerate(items)
            if item.tier is not None and place not in going
        ), "nothing stays that should have gone before"
        for tier in range(1, TIERS):
            before = sum(item.weight for item in items if item.tier is not None and item.tier < tier)
            assert tier > last[0] or before < must, "a later tier goes only when there is no other way"
    assert undecodable(items, [place not in going for place in range(len(items))]) == []
    assert len(rest) + len(going) == len(items)


@given(queues(), st.integers(0, 40))
def test_exactly_what_is_too_old_goes_and_what_needs_it(items: list[Waiting], oldest: int) -> None:
    going = overdue(items, float(oldest)).going
    old = {place for place, item in enumerate(items) if place < oldest and not item.lasting}
    assert {place for place, reason in going.items() if reason == "age"} == old
    assert undecodable(items, [place not in going for place in range(len(items))]) == []
    for place in going.keys() - old:
        kept = [other not in going or other == place for other in range(len(items))]
        assert place in undecodable(items, kept), "and nothing that could be decoded"


@given(queues(), queues(), st.integers(0, 40))
def test_what_comes_behind_a_gap_can_be_decoded_too(
    items: list[Waiting], later: list[Waiting], oldest: int
) -> None:
    going, shut = overdue(items, float(oldest))
    gates = Gates()
    gates.shut(shut, 0.0)
    arrived = [place not in going for place in range(len(items))]
    arrived += [gates.admits(item) for item in later]
    assert undecodable([*items, *later], arrived) == []
    assert all(arrived[len(items) + place] for place, item in enumerate(later) if not item.gated)
