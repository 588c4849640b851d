"""SQLite's driver, whose calls end before a cancellation goes on.

The driver hands each call to a thread and waits. Cancelled in the middle, the thread goes on, and whoever
asked does not know what came of it: SQLAlchemy then throws the connection away, and while anybody still has
one of its cursors the file stays locked, for everybody. A call takes milliseconds, and never more than the
wait for a lock: so a cancellation waits until the transaction has ended (``Database`` lets it through there).
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiosqlite

__all__ = ["connect"]

T = TypeVar("T")


async def _to_its_end(work: Awaitable[T]) -> T:
    """Wait for *work* whatever happens; a cancellation is put off to where the task next waits."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    me = asyncio.current_task()
    if cancelled and me is not None:
        me.uncancel()  # it counts once, as it came: timeouts go by the count
        me.cancel()
    return task.result()


class _Steady(aiosqlite.Connection):
    """A connection all of whose calls come by here."""

    async def _execute(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        return await _to_its_end(super()._execute(fn, *args, **kwargs))  # type: ignore[no-untyped-call]


def connect(database: str, **options: Any) -> aiosqlite.Connection:
    """Do as ``aiosqlite.connect``: return what is to be awaited, and is a connection then."""
    return _Steady(functools.partial(sqlite3.connect, database, **options), 64)
