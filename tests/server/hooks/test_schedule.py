"""When a delivery is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.hooks.schedule import DELAYS, again


def test_waits_grow_and_end_after_more_than_a_day() -> None:
    waits = [again(failures, 0.5) for failures in range(1, len(DELAYS) + 1)]
    assert waits == list(DELAYS) == sorted(DELAYS)
    assert sum(DELAYS) > 86_400
    assert again(len(DELAYS) + 1, 0.5) is None


@given(st.integers(1, len(DELAYS)), st.floats(0, 1))
def test_jitter_is_a_fifth_either_way(failures: int, chance: float) -> None:
    wait = again(failures, chance)
    assert wait is not None
    assert 0.8 * DELAYS[failures - 1] <= wait <= 1.2 * DELAYS[failures - 1] + 1e-9


@pytest.mark.parametrize(("asked", "wait"), [(60.0, 60.0), (0.1, 1.0), (10**9, DELAYS[-1])])
def test_a_receiver_that_names_a_time_is_waited_for_within_reason(asked: float, wait: float) -> None:
    assert again(1, 0.5, asked) == wait
