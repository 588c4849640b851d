"""Work at the relay's database itself, and not by way of its API: for who has the machine."""

from __future__ import annotations

import asyncio
import getpass
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from .failure import Failure, Status, missing_extra
from .output import note

if TYPE_CHECKING:
    from sealcast.server.config import Config
    from sealcast.server.store.store import Store

__all__ = ["ConfigOption", "DataOption", "at_database", "configured", "operator"]

T = TypeVar("T")

ConfigOption = Annotated[
    Path | None,
    typer.Option(help="The relay's configuration file; or SEALCAST_CONFIG.", show_default=False),
]
DataOption = Annotated[
    Path | None,
    typer.Option(help="The directory of its database instead of database.directory.", show_default=False),
]


def operator() -> str:
    """Return how the audit log names who works at the database: by the account on this machine."""
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name  # and not the environment, which says what it is told
    except ImportError:
        name = getpass.getuser()
    except KeyError:
        name = str(os.getuid())
    return f"command line ({name})"


def configured(command: str, config: Path | None, data: Path | None) -> Config:
    """Return the relay's configuration, which names a database. Raises Failure."""
    try:
        from sealcast.server.config_file import ConfigError, NoApp, load
    except ModuleNotFoundError as error:
        raise missing_extra(command, error) from None
    path = config or (Path(named) if (named := os.environ.get("SEALCAST_CONFIG")) else None)
    flags = {"database.directory": None if data is None else str(data)}
    try:
        loaded = load(path, os.environ, flags)
    except NoApp:
        loaded = None
    except ConfigError as error:
        *others, last = error.problems
        for problem in others:
            note(problem)
        raise Failure(last, status=Status.CONFIGURATION) from None
    if loaded is None or not loaded.database.place:
        raise Failure("no database is configured", "--data, or database.url", Status.CONFIGURATION)
    return loaded


def at_database(
    command: str,
    config: Path | None,
    data: Path | None,
    work: Callable[[Store], Awaitable[T]],
    *,
    opened: bool = True,
    made: bool = True,
) -> T:
    """Do something at the database that the configuration names; raises Failure.

    Args:
        command: for errors.
        config: the configuration's file.
        data: in place of its directory.
        work: what to do.
        opened: bring it to this version's schema first, or look that it is there.
        made: make it when it is a file that is not there.

    """
    place = configured(command, config, data).database.place
    try:
        from sealcast.server.store.records import StoreError, StoreUnusable
        from sealcast.server.store.store import Store
    except ModuleNotFoundError as error:
        raise missing_extra(command, error) from None

    async def run() -> T:
        store = Store(place, time.time)
        if not made and store.database.embedded and not os.path.isfile(store.database.place):  # noqa: ASYNC240 - nobody else waits
            raise Failure(
                f"{store.database.place}: there is no database", "another --data", Status.CONFIGURATION
            )
        try:
            if opened:
                await store.open()
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StoreUnusable as error:
        raise Failure(str(error), status=Status.CONFIGURATION) from None
    except StoreError as error:
        raise Failure(str(error)) from None
