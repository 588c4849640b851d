"""A store that is open and empty, on each kind of database, with a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sealcast.server.store.migrate import migrate
from sealcast.server.store.store import Store


class Time:
    """Unix time, moved by the test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest_asyncio.fixture
async def store(database_url: str, time: Time) -> AsyncIterator[Store]:
    store = Store(database_url, time)
    try:
        await migrate(store.database)
        await store.open()
        yield store
    finally:
        await store.close()
