"""The persistent engine on a file, as tests open it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from sealcast.server.engine.sqlite import SqliteJournal
from sealcast.server.engine.stored import StoredBroker

from .contract import Wall

__all__ = ["opened"]


@contextlib.asynccontextmanager
async def opened(path: Path, wall: Wall | None = None) -> AsyncIterator[StoredBroker]:
    wall = wall or Wall()
    journal = SqliteJournal(path, wall)
    journal.open()
    try:
        yield StoredBroker(journal, wall)
    finally:
        await journal.close()
