"""The timing wheel: nothing early, at most a tick late, whatever the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.clock import SystemClock, TimingWheel

TICK = 0.05
STARTS = st.floats(0, 10_000_000)


class Sleeper:
    """Notes when it is woken, and returns what it was told to."""

    def __init__(self, *naps: float) -> None:
        self.due: float | None = None
        self.woken: list[float] = []
        self.naps = list(naps)

    def on_time(self, now: float) -> float | None:
        self.woken.append(now)
        return now + self.naps.pop(0) if self.naps else None


def sweep(wheel: TimingWheel, start: float, seconds: float) -> float:
    """Advance in steps of a third of a tick, as a timer that never quite keeps time."""
    now = start
    while now < start + seconds:
        now += wheel.tick / 3
        wheel.advance(now)
    return now


@given(start=STARTS, wait=st.floats(0, 8))
def test_nothing_is_woken_early_and_nothing_more_than_a_tick_late(start: float, wait: float) -> None:
    wheel, sleeper = TimingWheel(start, TICK, 1024), Sleeper()
    wheel.schedule(sleeper, start + wait)
    sweep(wheel, start, wait + 2 * TICK)
    (woken,) = sleeper.woken
    # A time that has come already is served by the next tick; a third of a tick is the sweep's own step.
    assert start + wait <= woken <= start + wait + TICK * 4 / 3 + 1e-6


@given(start=STARTS, late=st.floats(0, 1000))
def test_a_time_that_is_past_is_served_by_the_next_tick(start: float, late: float) -> None:
    wheel, sleeper = TimingWheel(start, TICK, 64), Sleeper()
    wheel.schedule(sleeper, start - late)
    wheel.advance(start + TICK * 1.001)
    assert len(sleeper.woken) == 1


@pytest.mark.parametrize("position", [43, 81, 86, 91, 162])
def test_a_time_that_is_past_is_served_at_ticks_that_floating_point_rounds_down(position: int) -> None:
    assert int(position * TICK / TICK) == position - 1, "that is what makes these numbers interesting"
    wheel, sleeper = TimingWheel(0.0, TICK, 64), Sleeper()
    wheel.advance(position * TICK + TICK / 2)
    wheel.schedule(sleeper, 0.0)
    wheel.advance(position * TICK + TICK * 3 / 2)
    assert len(sleeper.woken) == 1


@given(start=STARTS, wait=st.floats(4, 40))
def test_an_appointment_beyond_the_horizon_is_kept(start: float, wait: float) -> None:
    """It may be asked sooner, when its slot comes round; what it answers then is what counts."""
    wheel = TimingWheel(start, TICK, 64)
    when = start + wait

    class Patient(Sleeper):
        def on_time(self, now: float) -> float | None:
            self.woken.append(now)
            return when if now < when else None

    sleeper = Patient()
    wheel.schedule(sleeper, when)
    sweep(wheel, start, wait + 2 * TICK)
    assert when <= sleeper.woken[-1] <= when + TICK * 4 / 3 + 1e-6
    assert len(sleeper.woken) <= wait / (62 * TICK) + 2


@given(start=STARTS, first=st.floats(0, 10), second=st.none() | st.floats(0, 10))
def test_an_earlier_appointment_is_forgotten(start: float, first: float, second: float | None) -> None:
    wheel, sleeper = TimingWheel(start, TICK, 1024), Sleeper()
    wheel.schedule(sleeper, start + first)
    wheel.schedule(sleeper, None if second is None else start + second)
    sweep(wheel, start, 11)
    if second is None:
        assert sleeper.woken == []
    else:
        (woken,) = sleeper.woken
        assert start + second <= woken <= start + second + TICK * 4 / 3 + 1e-6


@given(first=st.floats(0, 10), second=st.floats(0, 10))
def test_sooner_never_puts_off(first: float, second: float) -> None:
    wheel, sleeper = TimingWheel(100.0, TICK, 1024), Sleeper()
    wheel.sooner(sleeper, 100 + first)
    wheel.sooner(sleeper, 100 + second)
    wheel.sooner(sleeper, None)
    sweep(wheel, 100.0, 11)
    (woken,) = sleeper.woken
    assert woken <= 100 + min(first, second) + TICK * 4 / 3 + 1e-6


def test_what_is_woken_is_put_on_for_when_it_says() -> None:
    wheel, sleeper = TimingWheel(0.0, TICK, 64), Sleeper(1.0, 1.0)
    wheel.schedule(sleeper, 1.0)
    sweep(wheel, 0.0, 4.0)
    assert sleeper.woken == [pytest.approx(when, abs=0.2) for when in (1, 2, 3)]
    assert sleeper.due is None


def test_what_is_due_again_at_once_waits_for_the_next_tick() -> None:
    wheel = TimingWheel(0.0, TICK, 64)

    class Restless(Sleeper):
        def on_time(self, now: float) -> float | None:
            self.woken.append(now)
            return now

    sleeper = Restless()
    wheel.schedule(sleeper, 0.0)
    for tick in range(1, 200):
        wheel.advance(tick * TICK)
    assert 150 <= len(sleeper.woken) <= 200


@given(gap=st.floats(1, 100_000), waits=st.lists(st.floats(0, 3), min_size=1, max_size=20))
def test_a_machine_that_slept_wakes_everything_once(gap: float, waits: list[float]) -> None:
    wheel = TimingWheel(50.0, TICK, 64)
    sleepers = [Sleeper() for _ in waits]
    for sleeper, wait in zip(sleepers, waits, strict=True):
        wheel.schedule(sleeper, 50 + wait)
    wheel.advance(50 + 3.2 + gap)
    assert [len(sleeper.woken) for sleeper in sleepers] == [1] * len(waits)


def test_one_that_fails_does_not_take_the_others_along() -> None:
    wheel = TimingWheel(0.0, TICK, 64)

    class Broken(Sleeper):
        def on_time(self, now: float) -> float | None:
            raise RuntimeError("a bug")

    others = [Sleeper() for _ in range(20)]
    for timed in [*others[:10], Broken(), *others[10:]]:
        wheel.schedule(timed, 1.0)
    for tick in range(40):
        if tick == 21:
            with pytest.raises(RuntimeError):
                wheel.advance(tick * TICK)
        else:
            wheel.advance(tick * TICK)
    assert all(len(sleeper.woken) == 1 for sleeper in others)


def test_the_clock_of_the_machine_never_goes_back() -> None:
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.wall() > 1_700_000_000
