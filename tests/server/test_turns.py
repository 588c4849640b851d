"""The queue of the process: who is served when, how much in one turn of the loop, and what is measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sealcast.server.metrics import Lengths, Metrics
from sealcast.server.turns import SLICE, TURN_MOST, Tick, Turns


class Loop:
    """An event loop that comes round when told to, and a clock that every reading moves."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], None]] = []
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.time = 0.0
        self.metrics = Metrics()
        self.turns = Turns(self.soon.append, lambda: self.time, self.metrics)

    def call_later(self, delay: float, call: Callable[[], None]) -> None:
        self.later.append((delay, call))

    def turn(self) -> None:
        soon, self.soon[:] = list(self.soon), []
        for call in soon:
            call()


class Load:
    """So much work, done in slices; a log says who worked when."""

    def __init__(self, name: str, size: int, log: list[str]) -> None:
        self.name = name
        self.size = size
        self.log = log
        self.queued = False

    @property
    def busy(self) -> bool:
        return self.size > 0

    def work(self, most: int) -> int:
        done = min(most, self.size)
        self.size -= done
        self.log.append(self.name)
        return done


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_what_is_asked_for_in_one_turn_is_served_in_the_next_in_that_order(loop: Loop) -> None:
    log: list[str] = []
    for name in "abc":
        loop.turns.add(Load(name, 100, log))
    assert log == []
    assert len(loop.soon) == 1, "one callback for all"
    loop.turn()
    assert log == ["a", "b", "c"]
    assert loop.soon == []


def test_asking_twice_is_asking_once(loop: Loop) -> None:
    log: list[str] = []
    load = Load("a", 100, log)
    loop.turns.add(load)
    loop.turns.add(load)
    loop.turn()
    assert log == ["a"]
    loop.turns.add(load)
    loop.turn()
    assert log == ["a", "a"]


def test_a_large_load_does_not_keep_small_ones_waiting(loop: Loop) -> None:
    log: list[str] = []
    loop.turns.add(Load("big", 100 * SLICE, log))
    for name in "abc":
        loop.turns.add(Load(name, 100, log))
    loop.turn()
    assert log[:5] == ["big", "a", "b", "c", "big"]
    log.clear()
    loop.turns.add(Load("d", 100, log))
    loop.turn()
    assert log.index("d") <= 1, "who comes later waits for one slice"


def test_two_large_loads_are_served_alternately(loop: Loop) -> None:
    log: list[str] = []
    for name in "ab":
        loop.turns.add(Load(name, 10 * SLICE, log))
    while loop.soon:
        loop.turn()
    assert log == ["a", "b"] * 10


def test_the_work_of_one_turn_is_bounded_however_much_there_is(loop: Loop) -> None:
    loads = [Load(str(number), 3 * SLICE + number, []) for number in range(50)]
    for load in loads:
        loop.turns.add(load)
    total = sum(load.size for load in loads)
    turns = 0
    while loop.soon:
        before = sum(load.size for load in loads)
        loop.turn()
        turns += 1
        assert before - sum(load.size for load in loads) <= TURN_MOST + SLICE
    assert turns >= total // (TURN_MOST + SLICE)
    assert not any(load.size for load in loads)


def test_one_that_fails_does_not_stop_the_others(loop: Loop) -> None:
    class Failing(Load):
        def work(self, most: int) -> int:
            self.size = 0
            raise RuntimeError("a fault")

    log: list[str] = []
    for load in (Load("a", 1, log), Failing("x", 1, log), Load("b", 1, log)):
        loop.turns.add(load)
    with pytest.raises(RuntimeError, match="a fault"):
        loop.turn()
    loop.turn()
    assert log == ["a", "b"]
    loop.turns.add(Load("c", 1, log))
    loop.turn()
    assert log == ["a", "b", "c"], "and the queue goes on"


def test_the_wait_and_the_work_of_every_turn_are_measured(loop: Loop) -> None:
    class Slow(Load):
        def work(self, most: int) -> int:
            loop.time += 0.25
            return super().work(most)

    loop.turns.add(Slow("a", 2 * SLICE, []))
    loop.time += 0.003
    loop.turn()
    assert loop.metrics.turn_waits.snapshot() == {"0.005": 1, "total": 0.003, "longest": 0.003}
    assert loop.metrics.turn_work.snapshot() == {"0.5": 1, "total": 0.5, "longest": 0.5}
    assert loop.metrics.snapshot()["turn_work"] == loop.metrics.turn_work.snapshot()


def test_lengths_are_counted_in_buckets_by_their_upper_bound() -> None:
    lengths = Lengths()
    for seconds in (0.0, 0.0005, 0.0006, 0.015, 5.0):
        lengths.note(seconds)
    assert lengths.snapshot() == {
        "0.0005": 2,
        "0.001": 1,
        "0.02": 1,
        "inf": 1,
        "total": pytest.approx(5.0161),
        "longest": 5.0,
    }


def test_a_tick_serves_all_that_came_in_its_time_at_once(loop: Loop) -> None:
    log: list[str] = []
    tick = Tick(loop.turns, 0.005, loop.call_later)
    tick.add(Load("a", 1, log))
    tick.add(Load("b", 1, log))
    assert loop.soon == []
    ((delay, end),) = loop.later
    assert delay == 0.005
    end()
    loop.turn()
    assert log == ["a", "b"]
    tick.add(Load("c", 1, log))
    assert len(loop.later) == 2, "the next tick begins with the next one that comes"
