"""The queue of a member that does not keep up: what it keeps, what it drops, and that it says so exactly."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.descriptor import KEYFRAME
from sealcast.protocol.names import Kind
from sealcast.server.drops import Drops
from sealcast.server.interfaces import NOTICE
from sealcast.server.metrics import Metrics
from sealcast.server.outbox import Outbox
from sealcast.server.shedding import OVERHEAD, Gates, Waiting

from .fakes import waiting

KEPT = (NOTICE, int(Kind.MESSAGE))
MOST, AGE = 30_000, 0.5


class Box:
    """An outbox with everything that belongs to it."""

    def __init__(self, most: int = MOST) -> None:
        self.metrics = Metrics()
        self.gates = Gates()
        self.drops = Drops(self.metrics)
        self.outbox = Outbox(most, AGE, self.gates, self.drops)

    def push(self, kind: int, number: int = 0, now: float = 0.0, **how: Any) -> None:
        body = f"{int(kind)}/{number}".encode()
        self.outbox.push(waiting(kind, since=now, body=body, **how), now)

    def drain(self, now: float = 0.0) -> list[tuple[int, int]]:
        """Return kind and number of everything that comes out, in order."""
        out = b""
        while self.outbox:
            out += self.outbox.pop(300, now)
        lines = [line.rstrip(b".").split(b"/") for line in out.split(b"\n")[:-1]]
        return [(int(kind), int(number)) for kind, number in lines]

    @property
    def dropped(self) -> dict[str, int]:
        """The drops by kind and reason."""
        return dict(self.metrics.dropped_for)


@pytest.fixture
def box() -> Box:
    return Box()


# --- in order ---


def test_what_fits_comes_out_in_order(box: Box) -> None:
    kinds = [NOTICE, Kind.AUDIO, Kind.VIDEO, Kind.MESSAGE, Kind.CONTROL] * 5
    for number, kind in enumerate(kinds):
        box.push(kind, number)
    assert box.drain() == [(int(kind), number) for number, kind in enumerate(kinds)]
    assert (box.dropped, box.outbox.size, len(box.outbox)) == ({}, 0, 0)


def test_an_answer_has_room_however_large_it_is_and_is_counted_by_itself(box: Box) -> None:
    box.push(Kind.AUDIO, 1)
    for _ in range(2):
        box.outbox.push(Waiting.answer(b"8/2" + bytes(5 * MOST) + b"\n", 0.0), 0.0)
    box.push(Kind.AUDIO, 3)
    assert not box.outbox.overfull
    assert box.dropped == {}
    assert box.outbox.size < MOST
    assert box.outbox.owed == 2 * (5 * MOST + 4)
    taken = [box.outbox.pop(300, 0.0) for _ in range(4)]
    assert [data[:3] for data in taken] == [b"1/1", b"8/2", b"8/2", b"1/3"]
    assert (box.outbox.owed, box.outbox.size) == (0, 0)


def test_answers_that_wait_go_with_the_connection(box: Box) -> None:
    box.outbox.push(Waiting.answer(bytes(MOST), 0.0), 0.0)
    box.outbox.close()
    assert (box.outbox.owed, box.outbox.size, len(box.outbox)) == (0, 0, 0)


def test_a_pop_takes_one_frame_at_least_and_no_more_than_asked_for_otherwise(box: Box) -> None:
    for _ in range(5):
        box.push(Kind.AUDIO, size=300)
    assert [len(box.outbox.pop(most, 0.0)) for most in (10, 700, 10_000, 10_000)] == [300, 600, 600, 0]


# --- making room ---


def test_the_oldest_frames_make_room(box: Box) -> None:
    for number in range(200):
        box.push(Kind.DATA, number)
    left = box.drain()
    assert left == [(Kind.DATA, number) for number in range(200 - len(left), 200)]
    assert box.dropped == {"data/room": 200 - len(left)}


def test_audio_goes_after_video_and_the_members_controls_after_audio(box: Box) -> None:
    for number in range(10):
        for kind in (Kind.CONTROL, Kind.AUDIO, Kind.VIDEO):
            box.push(kind, number)
    for number in range(10, 40):
        box.push(Kind.VIDEO, number)
    assert set(box.metrics.dropped) == {"video"}
    for number in range(10, 60):
        box.push(Kind.AUDIO, number)
    assert set(box.metrics.dropped) == {"video", "audio"}
    assert box.metrics.dropped["video"] == 40, "no audio goes while there is anything else"
    assert [number for kind, number in box.drain() if kind == Kind.CONTROL] == list(range(10))


def test_controls_of_members_make_room_when_nothing_else_is_left(box: Box) -> None:
    for number in range(200):
        box.push(Kind.CONTROL, number)
        assert box.outbox.size <= MOST
    assert not box.outbox.overfull
    assert box.dropped == {"control/room": 200 - len(box.drain())}


def test_frames_make_room_for_messages(box: Box) -> None:
    for number in range(60):
        box.push(Kind.AUDIO, number)
    for number in range(45):
        box.push(Kind.MESSAGE, number)
    left = box.drain()
    assert [number for kind, number in left if kind == Kind.MESSAGE] == list(range(45))
    assert len(left) + box.dropped["audio/room"] == 105


@pytest.mark.parametrize("kind", KEPT)
def test_messages_and_notices_overfill_it_rather_than_get_lost(box: Box, kind: int) -> None:
    fitting = MOST // (100 + OVERHEAD)
    for number in range(fitting):
        box.push(kind, number)
        assert not box.outbox.overfull
    box.push(kind)
    assert box.outbox.overfull
    assert box.dropped == {}


def test_a_reliable_channel_overfills_it_rather_than_lose_a_frame(box: Box) -> None:
    while not box.outbox.overfull:
        box.push(Kind.VIDEO, policy="reliable", now=100.0)
    assert len(box.outbox) == MOST // (100 + OVERHEAD) + 1
    assert box.dropped == {}


def test_once_overfull_it_takes_nothing_more_and_counts_what_it_turns_away(box: Box) -> None:
    box.push(Kind.MESSAGE, size=MOST)
    assert box.outbox.overfull
    size = box.outbox.size
    for kind in (NOTICE, Kind.MESSAGE, Kind.AUDIO):
        box.push(kind)
    assert box.outbox.size == size
    assert box.dropped == {"message/ended": 1, "audio/ended": 1}


# --- video ---


def test_dropped_video_stays_away_until_its_next_keyframe(box: Box) -> None:
    box.push(Kind.VIDEO, 0, flags=KEYFRAME)
    box.push(Kind.VIDEO, 1)
    box.push(Kind.MESSAGE, 2, now=0.4)
    assert box.drain(now=1.0) == [(Kind.MESSAGE, 2)]
    box.push(Kind.VIDEO, 3, now=1.0)
    box.push(Kind.VIDEO, 4, now=1.0, stream=9)
    box.push(Kind.VIDEO, 5, now=1.0, sender=9)
    box.push(Kind.VIDEO, 6, now=1.0, flags=KEYFRAME)
    box.push(Kind.VIDEO, 7, now=1.0)
    assert box.drain(now=1.0) == [(Kind.VIDEO, number) for number in (4, 5, 6, 7)]
    assert box.dropped == {"video/age": 2, "video/keyframe": 1}


def test_a_gate_outlives_the_queue_and_a_frame_that_found_no_room_shuts_it(box: Box) -> None:
    while box.outbox.size + 800 < MOST:
        box.push(Kind.MESSAGE)
    box.push(Kind.VIDEO, size=200)
    assert box.dropped == {"video/room": 1}
    assert len(box.gates) == 1


# --- the newest of a stream ---


def test_the_newest_frame_of_a_stream_takes_the_place_of_the_one_before(box: Box) -> None:
    for number in range(10):
        box.push(Kind.DATA, number, policy="latest", stream=2 + number % 2)
        if number == 8:
            box.push(Kind.MESSAGE, 100)
    assert box.drain(now=100.0) == [(Kind.DATA, 8), (Kind.MESSAGE, 100), (Kind.DATA, 9)]
    assert box.dropped == {"data/replaced": 8}


def test_senders_and_channels_are_told_apart_when_frames_are_replaced(box: Box) -> None:
    for channel in (1, 2):
        for sender in (1, 2):
            for _ in range(2):
                box.push(Kind.DATA, 10 * channel + sender, channel=channel, sender=sender, policy="latest")
    assert [number for _, number in box.drain()] == [11, 12, 21, 22]
    assert box.dropped == {"data/replaced": 4}


def test_messages_and_keys_are_not_replaced(box: Box) -> None:
    for number in range(3):
        box.push(Kind.MESSAGE, number)
        box.push(Kind.CONTROL, number, policy="latest")
    assert [number for _, number in box.drain()] == [0, 0, 1, 1, 2, 2]


# --- age ---


def test_what_is_too_old_is_not_sent_but_messages_and_controls_are(box: Box) -> None:
    for kind in (Kind.AUDIO, Kind.MESSAGE, Kind.VIDEO, NOTICE, Kind.CONTROL):
        box.push(kind, 1)
    box.push(Kind.AUDIO, 2, now=0.4)
    assert box.drain(now=0.6) == [(Kind.MESSAGE, 1), (NOTICE, 1), (Kind.CONTROL, 1), (Kind.AUDIO, 2)]
    assert box.dropped == {"audio/age": 1, "video/age": 1}


def test_what_is_too_old_does_not_wait_to_be_dropped_until_something_is_sent(box: Box) -> None:
    for tick in range(1000):
        box.push(Kind.AUDIO, tick, now=tick / 50)
        assert len(box.outbox) <= 50 * AGE * 1.2
    assert box.dropped == {"audio/age": 1000 - len(box.outbox)}


# --- ends ---


def test_a_left_channel_is_forgotten_but_for_its_messages(box: Box) -> None:
    for channel in (1, 2):
        for kind in (Kind.AUDIO, Kind.MESSAGE, NOTICE, Kind.CONTROL):
            box.push(kind, channel, channel=channel)
    box.outbox.forget(1)
    assert box.drain() == [(Kind.MESSAGE, 1), (NOTICE, 1)] + [
        (int(kind), 2) for kind in (Kind.AUDIO, Kind.MESSAGE, NOTICE, Kind.CONTROL)
    ]
    assert box.dropped == {"audio/left": 1, "control/left": 1}


def test_what_waits_when_the_connection_ends_is_counted(box: Box) -> None:
    for kind in (Kind.AUDIO, Kind.MESSAGE, NOTICE):
        box.push(kind)
    box.outbox.close()
    assert (len(box.outbox), box.outbox.size) == (0, 0)
    assert box.dropped == {"audio/ended": 1, "message/ended": 1}


# --- a flood ---


def test_a_flood_of_tiny_frames_is_bounded_in_memory() -> None:
    most = 2**18
    box = Box(most)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(5_000):
            box.push(
                Kind.DATA, number, size=20, sender=number % 500, policy=("realtime", "latest")[number % 2]
            )
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(box.outbox) > 300
    assert grown < most, "the overhead that is counted is no less than the one there is"


class Counted(Outbox):
    """Counts how often the queue is gone through."""

    walks = 0

    def _execute(self, *args: Any) -> None:
        self.walks += 1
        super()._execute(*args)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.74, 0.76, 0.9, 0.99])
@pytest.mark.parametrize("first", [Kind.AUDIO, Kind.VIDEO])
@pytest.mark.parametrize("then", [Kind.AUDIO, Kind.VIDEO])
def test_the_queue_is_not_gone_through_for_every_frame_of_a_flood(
    kept: float, first: Kind, then: Kind
) -> None:
    most, drops = 2**18, Drops(Metrics())
    outbox = Counted(most, AGE, Gates(), drops)
    while outbox.size < most * kept:
        outbox.push(waiting(Kind.MESSAGE), 0.0)
    while outbox.size + 1000 < most:
        outbox.push(waiting(first), 0.0)
    for number in range(5_000):
        outbox.push(waiting(then, since=number / 10_000), number / 10_000)
        assert outbox.size <= most
    assert outbox.walks < 5_000 / 10


def test_the_queue_is_not_gone_through_for_every_frame_that_gets_too_old() -> None:
    outbox = Counted(2**20, AGE, Gates(), Drops(Metrics()))
    for tick in range(5_000):
        outbox.push(waiting(Kind.AUDIO, since=tick / 1000), tick / 1000)
    assert outbox.walks < 5 / AGE * 10


def steps() -> Iterator[Any]:
    """What may happen to an outbox."""
    yield st.tuples(
        st.just("push"),
        st.fixed_dictionaries(
            {
                "kind": st.sampled_from([NOTICE, *map(int, Kind)]),
                "size": st.integers(20, 1500),
                "channel": st.integers(1, 3),
                "policy": st.sampled_from(["realtime", "realtime", "latest", "reliable"]),
                "keyed": st.booleans(),
            }
        ),
    )
    yield st.tuples(st.just("pop"), st.integers(1, 3000))
    yield st.tuples(st.just("forget"), st.integers(1, 3))
    yield st.tuples(st.just("wait"), st.floats(0, 0.3))


PUSH, *REST = steps()


@given(st.lists(st.one_of(PUSH, PUSH, PUSH, PUSH, *REST), max_size=150))
def test_whatever_happens_everything_is_sent_waiting_or_counted(actions: list[tuple[str, Any]]) -> None:
    box = Box()
    outbox, sent, order, now = box.outbox, b"", [], 0.0
    pushed: dict[bytes, Waiting] = {}
    since: dict[bytes, float] = {}
    for number, (what, how) in enumerate(actions):
        if what == "push":
            item = waiting(**how, body=f"{number} ".encode(), since=now)
            outbox.push(item, now)
            pushed[item.wire] = item
            since[item.wire] = now
            order.append(item.wire)
            assert outbox.size <= MOST or outbox.overfull
        elif what == "pop":
            data = outbox.pop(how, now)
            for line in data.split(b"\n")[:-1]:
                assert pushed[line + b"\n"].lasting or since[line + b"\n"] >= now - AGE
            sent += data
        elif what == "forget":
            outbox.forget(how)
        else:
            now += how
    overfull = outbox.overfull
    while outbox:
        sent += outbox.pop(1, now)
    lines = [line + b"\n" for line in sent.split(b"\n")[:-1]]
    assert lines == [wire for wire in order if wire in set(lines)], "the order is kept"
    assert outbox.size == 0
    missing = [item for wire, item in pushed.items() if wire not in set(lines)]
    lost = Counter(Kind(item.kind).name.lower() for item in missing if item.kind >= 0)
    assert box.metrics.dropped == lost, "what is not sent is counted, and nothing else"
    by_kind: Counter[str] = Counter()
    for name, count in box.dropped.items():
        by_kind[name.partition("/")[0]] += count
    assert by_kind == lost
    told: Counter[str] = Counter()
    for control in box.drops.report(now):
        assert control.reasons is not None
        assert sum(control.reasons.values()) == sum(control.counts.values())
        told.update(control.counts)
    assert told == lost, "and the member is told of exactly that"
    if not overfull:
        assert all(item.tier is not None for item in missing), "messages, notices and reliable frames arrive"
