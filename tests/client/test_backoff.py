"""Waits before coming back: their bounds, and when the count starts again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.backoff import HINT_MAX, STABLE, Backoff, Tries


def test_the_ceiling_grows_by_the_factor_up_to_the_cap():
    backoff = Backoff(base=0.5, factor=2.0, cap=5.0)
    assert [backoff.ceiling(attempt) for attempt in range(6)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_the_defaults_start_at_half_a_second_and_stay_below_twenty():
    backoff = Backoff()
    assert backoff.ceiling(0) == 0.5
    assert 10.0 <= backoff.ceiling(1000) <= 20.0


@given(attempt=st.integers(0, 10**9), chance=st.floats(0, 1), after=st.floats(0, 10**9))
def test_a_wait_lies_between_what_the_server_asked_for_and_the_ceiling_above_it(attempt, chance, after):
    backoff = Backoff()
    hint = min(after, HINT_MAX)
    assert hint <= backoff.seconds(attempt, chance, after) <= hint + backoff.cap


def test_jitter_is_full_from_nothing_to_the_ceiling():
    backoff = Backoff(base=4.0, factor=2.0, cap=100.0)
    assert backoff.seconds(2, 0.0) == 0.0
    assert backoff.seconds(2, 0.25) == 4.0
    assert backoff.seconds(2, 1.0) == 16.0


def test_a_server_cannot_switch_a_client_off_for_longer_than_the_cap_of_hints():
    assert Backoff().seconds(0, 0.0, after=1e9) == HINT_MAX
    assert Backoff().seconds(0, 0.0, after=-5.0) == 0.0


@pytest.mark.parametrize("bad", [{"base": -1.0}, {"base": 3.0, "cap": 2.0}, {"factor": 0.9}])
def test_a_back_off_that_makes_no_sense_is_refused(bad):
    with pytest.raises(ValueError, match="back-off"):
        Backoff(**bad)


def test_attempts_count_up_until_a_success_has_lasted():
    tries = Tries(Backoff(base=1.0, factor=2.0, cap=64.0))
    assert [tries.wait(1.0) for _ in range(3)] == [1.0, 2.0, 4.0]
    tries.succeeded(100.0)
    tries.ended(100.0 + STABLE - 0.1)
    assert tries.wait(1.0) == 8.0, "a server that accepts and drops is no success"
    tries.succeeded(200.0)
    tries.ended(200.0 + STABLE)
    assert tries.wait(1.0) == 1.0


def test_an_end_without_a_success_resets_nothing():
    tries = Tries(Backoff(base=1.0, factor=2.0, cap=64.0))
    tries.wait(1.0)
    tries.ended(1e9)
    assert tries.wait(1.0) == 2.0
