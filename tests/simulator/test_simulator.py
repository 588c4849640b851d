"""Thousands of simulated conversations with breaking connections and a crashing relay: no promise breaks.

A seed that fails prints the command that replays it, and the few of its steps that are needed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import pytest

from sealcast.server.engine.journal import Batch

from .disk import SimulatedJournal
from .judging import first_failure
from .plan import draw
from .scenario import MEMBERS, failure

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


def test_a_disk_that_reports_before_it_has_written_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(self: SimulatedJournal, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(done, None)
        loop.call_later(0.5, self.write_unless_dead, batch)

    monkeypatch.setattr(SimulatedJournal, "commit", commit)
    assert any(failure(seed, draw(seed, MEMBERS)) for seed in range(1, 60, 2))
