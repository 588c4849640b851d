"""The queue of a member that does not keep up: what it keeps, what it drops, and that it says so exactly."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.names import Kind
from sealcast.server.interfaces import NOTICE
from sealcast.server.outbox import Outbox, Overfull

KEPT = (NOTICE, int(Kind.MESSAGE))
MOST, AGE = 10_000, 0.5
ITEM = 128
"""What every waiting frame costs beside its bytes."""


def box(most: int = MOST) -> tuple[Outbox, dict[int, Counter[int]]]:
    dropped: dict[int, Counter[int]] = {}
    return Outbox(most, AGE, dropped), dropped


def wire(kind: int, number: int, size: int = 100) -> bytes:
    """Return bytes that say which frame they are."""
    return f"{kind}/{number}".encode().ljust(size - 1, b".") + b"\n"


def drain(outbox: Outbox, now: float = 0.0) -> list[tuple[int, int]]:
    """Return kind and number of everything that comes out, in order."""
    out = b""
    while outbox:
        out += outbox.pop(300, now)
    lines = [line.rstrip(b".").split(b"/") for line in out.split(b"\n")[:-1]]
    return [(int(kind), int(number)) for kind, number in lines]


def test_what_fits_comes_out_in_order() -> None:
    outbox, dropped = box()
    kinds = [NOTICE, Kind.AUDIO, Kind.VIDEO, Kind.MESSAGE, Kind.CONTROL] * 5
    for number, kind in enumerate(kinds):
        outbox.push(kind, wire(kind, number), 1, 0.0)
    assert drain(outbox) == [(int(kind), number) for number, kind in enumerate(kinds)]
    assert (dropped, outbox.size, len(outbox)) == ({}, 0, 0)


def test_a_pop_takes_one_frame_at_least_and_no_more_than_asked_for_otherwise() -> None:
    outbox, _ = box()
    for number in range(5):
        outbox.push(Kind.AUDIO, wire(Kind.AUDIO, number, 300), 1, 0.0)
    assert len(outbox.pop(10, 0.0)) == 300
    assert len(outbox.pop(700, 0.0)) == 600
    assert len(outbox.pop(10_000, 0.0)) == 600
    assert outbox.pop(10_000, 0.0) == b""


def test_the_oldest_frames_go_first() -> None:
    outbox, dropped = box()
    for number in range(100):
        outbox.push(Kind.VIDEO, wire(Kind.VIDEO, number), 1, 0.0)
    left = drain(outbox)
    assert left == [(Kind.VIDEO, number) for number in range(100 - len(left), 100)]
    assert dropped == {1: Counter({Kind.VIDEO: 100 - len(left)})}


def test_audio_goes_after_video_and_the_members_controls_after_audio() -> None:
    outbox, dropped = box()
    for number in range(10):
        for kind in (Kind.CONTROL, Kind.AUDIO, Kind.VIDEO):
            outbox.push(kind, wire(kind, number), 1, 0.0)
    for number in range(10, 40):
        outbox.push(Kind.VIDEO, wire(Kind.VIDEO, number), 1, 0.0)
    assert dropped[1].keys() == {Kind.VIDEO}
    for number in range(10, 50):
        outbox.push(Kind.AUDIO, wire(Kind.AUDIO, number), 1, 0.0)
    assert dropped[1].keys() == {Kind.VIDEO, Kind.AUDIO}
    assert dropped[1][Kind.VIDEO] == 40, "no audio goes while there is anything else"
    left = drain(outbox)
    assert [number for kind, number in left if kind == Kind.CONTROL] == list(range(10))


def test_controls_of_members_make_room_when_nothing_else_is_left() -> None:
    outbox, dropped = box()
    for number in range(200):
        outbox.push(Kind.CONTROL, wire(Kind.CONTROL, number), 1, 0.0)
    assert outbox.size <= MOST
    assert dropped[1][Kind.CONTROL] == 200 - len(drain(outbox))


def test_what_is_too_old_is_not_sent_but_messages_and_controls_are() -> None:
    outbox, dropped = box()
    for kind in (Kind.AUDIO, Kind.MESSAGE, Kind.VIDEO, NOTICE, Kind.CONTROL):
        outbox.push(kind, wire(kind, 1), 7, 0.0)
    outbox.push(Kind.AUDIO, wire(Kind.AUDIO, 2), 7, 0.4)
    assert drain(outbox, now=0.6) == [(Kind.MESSAGE, 1), (NOTICE, 1), (Kind.CONTROL, 1), (Kind.AUDIO, 2)]
    assert dropped == {7: Counter({Kind.AUDIO: 1, Kind.VIDEO: 1})}


@pytest.mark.parametrize("kind", KEPT)
def test_messages_and_notices_overfill_it_rather_than_get_lost(kind: int) -> None:
    outbox, dropped = box()
    fitting = MOST // (100 + ITEM)
    for number in range(fitting):
        outbox.push(kind, wire(kind, number), 1, 0.0)
    with pytest.raises(Overfull):
        outbox.push(kind, wire(kind, fitting), 1, 0.0)
    assert dropped == {}


def test_once_overfull_it_takes_nothing_more() -> None:
    outbox, _ = box()
    with pytest.raises(Overfull):
        outbox.push(NOTICE, bytes(MOST), 1, 0.0)
    size = outbox.size
    for kind in (NOTICE, Kind.MESSAGE, Kind.AUDIO):
        with pytest.raises(Overfull):
            outbox.push(kind, b"x", 1, 0.0)
    assert outbox.size == size
    assert outbox.overfull


def test_frames_make_room_for_messages() -> None:
    outbox, dropped = box()
    for number in range(30):
        outbox.push(Kind.AUDIO, wire(Kind.AUDIO, number), 1, 0.0)
    for number in range(40):
        outbox.push(Kind.MESSAGE, wire(Kind.MESSAGE, number), 1, 0.0)
    left = drain(outbox)
    assert [number for kind, number in left if kind == Kind.MESSAGE] == list(range(40))
    assert len(left) + dropped[1][Kind.AUDIO] == 70


def test_a_left_channel_is_forgotten_but_for_its_messages() -> None:
    outbox, dropped = box()
    for channel in (1, 2):
        for kind in (Kind.AUDIO, Kind.MESSAGE, NOTICE, Kind.CONTROL):
            outbox.push(kind, wire(kind, channel), channel, 0.0)
    outbox.forget(1)
    assert drain(outbox) == [(Kind.MESSAGE, 1), (NOTICE, 1)] + [
        (int(kind), 2) for kind in (Kind.AUDIO, Kind.MESSAGE, NOTICE, Kind.CONTROL)
    ]
    assert dropped == {1: Counter({Kind.AUDIO: 1, Kind.CONTROL: 1})}


def test_a_flood_of_empty_frames_is_bounded_in_number_too() -> None:
    outbox, _ = box()
    for _ in range(10_000):
        outbox.push(Kind.DATA, b"", 1, 0.0)
    assert len(outbox) <= MOST // ITEM


def test_frames_behind_many_messages_do_not_cost_a_walk_each() -> None:
    outbox, dropped = box(8 * 2**20)
    while outbox.size + 300 < 8 * 2**20:
        outbox.push(Kind.MESSAGE, b"m" * 20, 1, 0.0)
    waiting = len(outbox)
    assert waiting > 50_000
    started = time.process_time()
    for _ in range(20_000):
        outbox.push(Kind.AUDIO, b"a" * 200, 1, 0.0)
    assert time.process_time() - started < 2, "walking over 50,000 messages each time takes minutes"
    assert len(outbox) + dropped[1][Kind.AUDIO] == waiting + 20_000


class Step:
    """One thing that happens to an outbox."""

    push = st.tuples(
        st.just("push"),
        st.sampled_from([NOTICE, *map(int, Kind)]),
        st.integers(20, 1500),
        st.integers(1, 3),
    )
    pop = st.tuples(st.just("pop"), st.integers(1, 3000))
    forget = st.tuples(st.just("forget"), st.integers(1, 3))
    wait = st.tuples(st.just("wait"), st.floats(0, 0.3))


@given(st.lists(st.one_of(Step.push, Step.push, Step.push, Step.pop, Step.forget, Step.wait), max_size=120))
def test_whatever_happens_everything_is_sent_waiting_or_counted(steps: list[tuple]) -> None:  # type: ignore[type-arg]
    outbox, dropped = box()
    pushed: dict[int, Counter[int]] = {}
    sent: list[bytes] = []
    order: list[bytes] = []
    since: dict[bytes, float] = {}
    now = 0.0
    for number, (what, *how) in enumerate(steps):
        if what == "push":
            kind, size, channel = how
            data = f"{kind} {channel} {number} ".encode().ljust(size - 1, b".") + b"\n"
            before = outbox.size
            try:
                outbox.push(kind, data, channel, now)
            except Overfull:
                assert kind in KEPT, "only what may not be dropped can overfill it"
                assert before <= MOST
                return
            assert outbox.size <= MOST
            pushed.setdefault(channel, Counter())[kind] += 1
            order.append(data)
            since[data] = now
        elif what == "pop":
            lines = [line + b"\n" for line in outbox.pop(how[0], now).split(b"\n")[:-1]]
            for line in lines:
                ageless = int(line.split()[0]) in (*KEPT, Kind.CONTROL)
                assert ageless or since[line] >= now - AGE
            sent += lines
        elif what == "forget":
            outbox.forget(how[0])
        else:
            now += how[0]
    while outbox:
        sent += [line + b"\n" for line in outbox.pop(1, now).split(b"\n")[:-1]]
    lost = Counter({(c, k): n for c, kinds in dropped.items() for k, n in kinds.items()})
    arrived = Counter((int(line.split()[1]), int(line.split()[0])) for line in sent)
    expected = Counter({(c, k): n for c, kinds in pushed.items() for k, n in kinds.items()})
    assert arrived + lost == expected
    assert not any(kind in KEPT for _, kind in lost)
    assert sent == [line for line in order if line in set(sent)], "the order is kept"
    assert outbox.size == 0
