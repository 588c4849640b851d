"""One database: SQLite in a file, or PostgreSQL. Transactions, and what their failures mean.

Transactions of one task can be made one (``unit``): a change and its entry in the audit log are kept
together or not at all, though each repository opens a transaction of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import URL, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from .records import StoreDown, StoreUnusable

__all__ = ["Database"]

_TIME: Final = 10.0
"""Seconds that a transaction may take; none here does more than a few statements."""
_WAIT: Final = 5.0
"""Seconds to wait for a connection, or for another process's lock."""
_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


@dataclass(eq=False, slots=True)
class _Unit:
    """Transactions of one task that are one."""

    database: Database
    task: asyncio.Task[Any] | None
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)
    session: AsyncSession | None = None
    """None until the first transaction: what does not ask the database does not hold it."""


_UNIT: ContextVar[_Unit | None] = ContextVar("sealcast_unit", default=None)


class Database:
    """A database that is opened when it is first used.

    Args:
        url: ``sqlite:///file`` or ``postgresql://user:password@host/name``.

    Raises:
        StoreUnusable: the URL cannot be used. The text never shows it: it may have a password.

    """

    def __init__(self, url: str) -> None:
        self._url = _understood(url)
        self.embedded = self._url.get_backend_name() == "sqlite"
        """Whether it is SQLite, in this process and on this disk."""
        self._engine: AsyncEngine | None = None
        self._drivers: WeakSet[Any] = WeakSet()
        """Connections to a database elsewhere."""
        self._cut = False
        self._asking: asyncio.Task[bool] | None = None

    def __repr__(self) -> str:
        return f"<Database {self._url.get_backend_name()}>"

    @property
    def place(self) -> str:
        """Where it is, fit for a log: without a password."""
        if self.embedded:
            return self._url.database or ""
        return f"{self._url.get_backend_name()}://{self._url.host or ''}/{self._url.database or ''}"

    async def open(self) -> None:
        """Make what there is to make, and look whether the database answers.

        Raises:
            StoreUnusable: the file cannot be made, or the driver is not installed.
            StoreDown: it does not answer.

        """
        if self.embedded:
            await asyncio.to_thread(_make_file, Path(self._url.database or ""))
        await self.ping()

    async def close(self) -> None:
        """Let go of all connections."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.dispose()

    def cut(self) -> None:
        """Wait for a database elsewhere no longer: what is under way fails, and what is asked from now on.

        To end a transaction in order, it has to be asked as well: one that hangs would hold up the end for
        as long as all that is under way may take.
        """
        self._cut = True
        for driver in list(self._drivers):
            driver.terminate()

    async def ping(self) -> None:
        """Ask something simple. Raises StoreDown."""
        async with self.connection() as connection:
            await connection.execute(text("SELECT 1"))

    async def answers(self, within: float) -> bool:
        """Say whether it answers by then. One question is enough for all who ask meanwhile."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._answered())
        done, _ = await asyncio.wait({self._asking}, timeout=within)
        return bool(done) and self._asking.result()

    async def _answered(self) -> bool:
        try:
            await self.ping()
        except StoreDown:
            return False
        return True

    @contextlib.asynccontextmanager
    async def unit(self) -> AsyncIterator[None]:
        """Keep all transactions of the block, or none of them.

        Only those of this task: what others do meanwhile stands on its own. A transaction that fails inside
        and is caught takes only itself back. Other work has to wait for the one connection of SQLite from the
        first transaction on, so the block should not wait for anything else.

        Raises:
            StoreDown: the database does not answer, or not in time. Nothing was kept.

        """
        if self._joined() is not None:
            yield
            return
        unit = _Unit(self, asyncio.current_task())
        token = _UNIT.set(unit)
        try:
            with _failures():
                async with unit.stack:
                    yield
        finally:
            _UNIT.reset(token)

    @property
    def held(self) -> bool:
        """Whether a ``unit`` of this task has begun a transaction."""
        unit = self._joined()
        return unit is not None and unit.session is not None

    def _joined(self) -> _Unit | None:
        unit = _UNIT.get()
        # A task that was begun in the block has its context, and still no part in it.
        mine = unit is not None and unit.database is self and unit.task is asyncio.current_task()
        return unit if mine else None

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Carry out all of the block or nothing of it; in a ``unit`` it is kept with the others.

        Raises:
            StoreDown: the database does not answer, or not in time.

        """
        unit = self._joined()
        if unit is not None:
            with _failures():
                if unit.session is None:
                    unit.session = await unit.stack.enter_async_context(self._alone())
                unit.session.expunge_all()  # as with a session of its own: what is read is read anew
                async with unit.session.begin_nested():
                    yield unit.session
            return
        async with self._alone() as session:
            yield session

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[AsyncSession]:
        with _failures():
            async with (
                asyncio.timeout(_TIME),
                _put_off(),
                AsyncSession(self._opened(), expire_on_commit=False, autoflush=False) as session,
                session.begin(),
            ):
                yield session

    @contextlib.asynccontextmanager
    async def connection(self, time: float | None = _TIME) -> AsyncIterator[AsyncConnection]:
        """Lend a connection in a transaction, for what is no object: health, migrations."""
        with _failures():
            async with asyncio.timeout(time), _put_off(), self._opened().begin() as connection:
                yield connection

    def _opened(self) -> AsyncEngine:
        if self._cut:
            raise StoreDown("nobody waits for the database any more")
        if self._engine is None:
            options: dict[str, Any] = {"pool_timeout": _WAIT, "hide_parameters": True}
            if self.embedded:
                # One connection: SQLite has one writer, and one thread is what it costs.
                from .steady import connect

                options |= {"pool_size": 1, "max_overflow": 0, "connect_args": {"timeout": _WAIT}}
                options["async_creator"] = functools.partial(connect, self._url.database or "", timeout=_WAIT)
            else:
                options |= {"pool_size": 4, "max_overflow": 4, "pool_pre_ping": True, "pool_recycle": 1800}
                options["connect_args"] = {"timeout": _WAIT}
            try:
                self._engine = create_async_engine(self._url, **options)
            except ModuleNotFoundError as error:
                raise StoreUnusable(
                    f"the package {error.name} is not installed; try pip install 'sealcast[postgres]'"
                ) from None
            if self.embedded:
                event.listen(self._engine.sync_engine, "connect", _prepare)
                event.listen(self._engine.sync_engine, "begin", _begin)
            else:
                event.listen(self._engine.sync_engine, "connect", self._connected)
        return self._engine

    def _connected(self, connection: Any, record: object) -> None:
        driver = connection.driver_connection
        self._drivers.add(driver)
        if self._cut:
            driver.terminate()


@contextlib.asynccontextmanager
async def _put_off() -> AsyncIterator[None]:
    """Let a cancellation through that the driver has put off: before the block, or when it has ended."""
    await asyncio.sleep(0)
    try:
        yield
    finally:
        await asyncio.sleep(0)


def _understood(text: str) -> URL:
    try:
        url = make_url(text)
        driver = _DRIVERS[url.drivername]
    except (ArgumentError, KeyError, ValueError):
        raise StoreUnusable(
            "database.url should be sqlite:///file or postgresql://user:password@host/name"
        ) from None
    if driver.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise StoreUnusable("database.url names no file: write sqlite:/// and then its path")
    return url.set(drivername=driver)


def _make_file(path: Path) -> None:
    """Make the file for its owner alone: it will hold certificates."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreUnusable(f"{path}: cannot be used as a database: {error.strerror}") from None


def _prepare(connection: Any, record: object) -> None:
    # The driver would begin transactions by itself, and not for changes of the schema: `_begin` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    # What is deleted is overwritten, too: it can be about people.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Any) -> None:
    # At once, so that two processes wait for each other instead of failing in the middle.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextlib.contextmanager
def _failures() -> Any:
    try:
        yield
    except IntegrityError:
        raise  # the caller knows what it means
    except DBAPIError as error:
        raise StoreDown(f"the database failed: {type(error.orig).__name__}") from error
    except (PoolTimeout, TimeoutError) as error:
        raise StoreDown("the database does not answer in time") from error
    except OSError as error:
        raise StoreDown(f"the database cannot be reached: {error.strerror or 'no connection'}") from error
