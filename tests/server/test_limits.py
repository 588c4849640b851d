"""Token buckets."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.limits import Bucket


def test_a_burst_passes_at_once_and_then_the_rate_counts() -> None:
    bucket = Bucket(rate=2.0, burst=3, now=100.0)
    assert [bucket.take(100.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert bucket.take(100.4) == pytest.approx(0.1)
    assert bucket.take(100.5) == 0
    assert bucket.take(100.5) > 0


def test_what_is_refused_costs_nothing() -> None:
    bucket = Bucket(rate=1.0, burst=1, now=0.0)
    assert bucket.take(0.0) == 0
    assert all(bucket.take(0.5) == pytest.approx(0.5) for _ in range(100))
    assert bucket.take(1.0) == 0


def test_it_never_holds_more_than_the_burst() -> None:
    bucket = Bucket(rate=10.0, burst=5, now=0.0)
    assert sum(bucket.take(1_000_000.0) == 0 for _ in range(100)) == 5


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    steps=st.lists(st.floats(0, 2), min_size=1, max_size=200),
)
def test_no_pattern_of_asking_gets_more_than_burst_and_rate_allow(
    rate: float, burst: int, steps: list[float]
) -> None:
    bucket, now, taken = Bucket(rate, burst, 0.0), 0.0, 0
    for step in steps:
        now += step
        wait = bucket.take(now)
        if wait == 0:
            taken += 1
        else:
            assert 0 < wait <= 1 / rate + 1e-9
    assert taken <= burst + now * rate + 1e-6


@given(rate=st.floats(0.1, 100), burst=st.integers(1, 50))
def test_waiting_as_long_as_it_says_is_enough(rate: float, burst: int) -> None:
    bucket = Bucket(rate, burst, 0.0)
    for _ in range(burst):
        assert bucket.take(0.0) == 0
    wait = bucket.take(0.0)
    assert bucket.take(math.nextafter(wait, math.inf) + 1e-9) == 0
