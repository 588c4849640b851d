"""Sums of what members sent: added up once, whoever leaves and whoever asks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.names import Kind
from sealcast.server.metrics import Lengths
from sealcast.server.tally import EVERY, History, Tally, Traffic


@dataclass
class Sender:
    kinds: dict[int, list[int]] = field(default_factory=dict)
    clear: int = 0
    dropped: Counter[tuple[str, str]] = field(default_factory=Counter)

    def send(self, kind: int, size: int, *, clear: bool = False) -> None:
        counts = self.kinds.setdefault(kind, [0, 0])
        counts[0] += 1
        counts[1] += size
        self.clear += clear


def test_messages_are_no_frames_and_bytes_are_of_both() -> None:
    sender, tally = Sender(), Tally()
    sender.send(Kind.AUDIO, 10)
    sender.send(Kind.VIDEO, 20, clear=True)
    sender.send(Kind.MESSAGE, 30)
    sender.send(Kind.AUDIO, 40, clear=True)
    assert tally.sealed is None
    tally.count(sender)
    assert (tally.frames, tally.messages, tally.bytes, tally.sealed) == (3, 1, 100, 0.5)


def test_a_difference_has_only_what_has_come() -> None:
    sender, before = Sender(), Tally()
    sender.send(Kind.AUDIO, 10)
    sender.dropped["audio", "age"] += 2
    before.count(sender)
    sender.send(Kind.VIDEO, 5)
    sender.dropped["video", "room"] += 1
    after = Tally()
    after.count(sender)
    after.refused["bad_frame"] += 1
    more = after.since(before)
    assert more.kinds == {Kind.VIDEO: [1, 5]}
    assert dict(more.dropped) == {("video", "room"): 1}
    assert dict(more.refused) == {"bad_frame": 1}
    assert after.copy().since(after).kinds == {}


@given(st.lists(st.tuples(st.sampled_from(["come", "go", "send", "take", "wait"]), st.integers(0, 5))))
def test_what_is_taken_adds_up_to_what_was_sent_whoever_left(steps: list[tuple[str, int]]) -> None:
    now, seconds = 1_000.0, 0.0
    traffic, taken, everything = Traffic(now), Tally(), Tally()
    there: list[Sender] = []
    for step, number in steps:
        if step == "come":
            there.append(Sender())
            traffic.came(now)
        elif step == "wait":
            now += number * EVERY / 3
            seconds += len(there) * number * EVERY / 3
        elif step == "take":
            taken.add(traffic.take(there, now))
        elif there:
            sender = there[number % len(there)]
            if step == "send":
                sender.send(number, 100)
                once = Sender()
                once.send(number, 100)
                everything.count(once)
            else:
                there.remove(sender)
                traffic.went(sender, now)
    total = traffic.total(there, now)
    window = traffic.lately(total, now)
    assert window.tally.bytes <= total.bytes
    taken.add(traffic.take(there, now))
    assert taken.kinds == total.kinds == everything.kinds
    assert abs(taken.seconds - seconds) < 1e-6


def test_a_window_is_as_long_as_it_says_and_its_marks_are_bounded() -> None:
    now, total = 50.0, Tally()
    history = History(now)
    assert history.window(300.0, total, now).seconds == 0
    for second in range(20_000):
        now += 1.0
        sender = Sender()
        sender.send(Kind.AUDIO, 1)
        total.count(sender)
        history.note(total, now)
        for span, step in ((300.0, 10.0), (3600.0, 120.0)):
            window = history.window(span, total, now)
            assert window.tally.frames == window.seconds
            assert window.seconds == second + 1 if second < span else span <= window.seconds <= span + step


def test_a_length_is_told_as_the_bound_of_its_bucket() -> None:
    lengths = Lengths()
    assert lengths.quantile(0.5, lengths.counts) is None
    for seconds in (0.0001, 0.0003, 0.004, 0.004, 3.0):
        lengths.note(seconds)
    found = [lengths.quantile(part, lengths.counts) for part in (0.4, 0.5, 0.8, 0.81, 1.0)]
    assert found == [0.0005, 0.005, 0.005, 3.0, 3.0]
    short = Lengths()
    short.note(0.0001)
    assert short.quantile(0.99, short.counts) == 0.0001
