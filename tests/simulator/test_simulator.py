"""Thousands of simulated conversations with breaking connections and a crashing relay: no promise breaks.

A seed that fails prints the command that replays it, and the few of its steps that are needed.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from .judging import first_failure

SEEDS = int(os.environ.get("SEALCAST_SEEDS", "2000"))
FIRST = int(os.environ.get("SEALCAST_FIRST_SEED", "0"))
BATCH = 50


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_no_seed_breaks_a_promise() -> None:
    batches = [
        range(first, min(first + BATCH, FIRST + SEEDS)) for first in range(FIRST, FIRST + SEEDS, BATCH)
    ]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for found in pool.map(first_failure, batches):
            assert found is None, found
