"""Work that is cancelled, at whatever moment, leaves the database as it was, and free for the next."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from sealcast.server.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Time


async def work(store: Store) -> None:
    """Read and write, over and over."""
    while True:
        await store.apps.page("", 10, None)
        await store.audit.add("somebody", "something", "that", {})


@pytest.mark.parametrize("seed", range(3))
async def test_work_that_is_cancelled_at_any_moment_keeps_nobody_out(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        task = asyncio.create_task(work(store))
        await asyncio.sleep(chance.uniform(0, 0.02))  # the moment is what is tried
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(2):
            await store.audit.add("somebody else", "something", "that", {})


async def test_a_time_limit_around_it_is_over_when_it_is_over(tmp_path: Path, time: Time) -> None:
    path = tmp_path / "sealcast.db"
    store = Store(f"sqlite:///{path}", time)
    await store.open()
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.4, other.execute, ["ROLLBACK"])
    release.start()
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await store.apps.page("", 10, None)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        assert await store.apps.page("", 10, None) == []
    finally:
        release.join()
        other.close()
        await store.close()


async def test_a_cancellation_that_was_put_off_does_not_get_lost(store: Store) -> None:
    task = asyncio.create_task(work(store))
    await asyncio.sleep(0)
    task.cancel()
    async with asyncio.timeout(2):
        await asyncio.wait({task})
    assert task.cancelled()
