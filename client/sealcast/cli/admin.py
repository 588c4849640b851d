"""``sealcast admin`` and ``sealcast migrate``: what is done at the relay's database itself."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar, get_args

import typer

from .failure import Failure, Status, missing_extra
from .output import note
from .quantity import duration
from .secret import read_secret

if TYPE_CHECKING:
    from sealcast.server.store.store import Store

__all__ = ["app", "migrate"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

T = TypeVar("T")

_Config = Annotated[
    Path | None,
    typer.Option(help="The relay's configuration file; or SEALCAST_CONFIG.", show_default=False),
]
_Data = Annotated[
    Path | None,
    typer.Option(help="The directory of its database instead of database.directory.", show_default=False),
]


@app.callback()
def _admin() -> None:
    """What is done at the relay's database itself: the first account, the first API key.

    \b
    Example:  sealcast admin create ada@example.org --data /var/lib/sealcast
              sealcast admin key --data /var/lib/sealcast
    """


@app.command()
def create(
    email: Annotated[str, typer.Argument(help="Its e-mail.", metavar="EMAIL", show_default=False)],
    role: Annotated[
        str, typer.Option(help="admin: everything; operator: all but keys and accounts; viewer: look.")
    ] = "admin",
    password_file: Annotated[
        str | None,
        typer.Option(help="A file with the password, - for stdin; by default asked for.", show_default=False),
    ] = None,
    config: _Config = None,
    data: _Data = None,
) -> None:
    """Make an account of the console."""
    try:
        from sealcast.server.passwords import Passwords, refusal_of_email, refusal_of_password
        from sealcast.server.store.records import Role, Taken
    except ModuleNotFoundError as error:
        raise missing_extra("admin", error) from None
    roles = {str(known): known for known in get_args(Role)}
    if role not in roles:
        raise Failure(f"--role is not one of {', '.join(roles)}", status=Status.USAGE)
    if problem := refusal_of_email(email):
        raise Failure(problem, "name@example.org", Status.USAGE)
    password = read_secret(password_file) if password_file else _asked()
    if problem := refusal_of_password(password):
        raise Failure(problem, status=Status.USAGE)

    async def make(store: Store) -> None:
        try:
            await store.accounts.create(email, await Passwords().hash(password), roles[role])
        except Taken:
            raise Failure(f"there is an account of {email} already") from None

    _at_database(config, data, make)
    note(f"{email} may sign in as {role}")


@app.command()
def key(
    name: Annotated[str, typer.Option(help="What people call it.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do, as in apps:read; by default everything.", show_default=False),
    ] = None,
    app_id: Annotated[
        str | None, typer.Option("--app", help="Good for this app only.", show_default=False)
    ] = None,
    ttl: Annotated[str | None, typer.Option(help="How long it lives: 12h, 30d.", show_default=False)] = None,
    config: _Config = None,
    data: _Data = None,
) -> None:
    """Make an API key and print it, this once."""
    try:
        from sealcast.server.http.api_keys import SCOPES, make_key
        from sealcast.server.store.records import Missing
    except ModuleNotFoundError as error:
        raise missing_extra("admin", error) from None
    unknown = [each for each in scope or () if each not in SCOPES]
    if unknown:
        raise Failure(f"there is no such scope; there are {', '.join(SCOPES)}", status=Status.USAGE)
    lives = duration("--ttl", ttl)
    made = make_key()

    async def keep(store: Store) -> None:
        try:
            await store.keys.create(
                made.key_id,
                made.digest,
                name=name,
                scopes=scope or SCOPES,
                app_id=app_id,
                expires=None if lives is None else time.time() + lives,
            )
        except Missing:
            raise Failure("there is no such app in the database") from None

    _at_database(config, data, keep)
    print(made.text)


def migrate(config: _Config = None, data: _Data = None) -> None:
    """Bring the database to the schema of this version. Nothing happens where it is already.

    \b
    Example:  SEALCAST_DATABASE_URL=postgresql://… sealcast migrate
    """

    async def upgrade(store: Store) -> tuple[str | None, str]:
        from sealcast.server.store.migrate import migrate as upgrade

        await store.database.open()
        return await upgrade(store.database)

    before, after = _at_database(config, data, upgrade, opened=False)
    if before == after:
        note(f"the database is at {after} already")
    else:
        note(f"the database was {f'at {before}' if before else 'empty'}, and is at {after} now")


def _at_database(
    config: Path | None, data: Path | None, work: Callable[[Store], Awaitable[T]], *, opened: bool = True
) -> T:
    """Do something at the database that the configuration names."""
    try:
        from sealcast.server.config_file import ConfigError, NoApp, load
        from sealcast.server.store.records import StoreError, StoreUnusable
        from sealcast.server.store.store import Store
    except ModuleNotFoundError as error:
        raise missing_extra("admin", error) from None
    path = config or (Path(named) if (named := os.environ.get("SEALCAST_CONFIG")) else None)
    flags = {"database.directory": None if data is None else str(data)}
    try:
        place = load(path, os.environ, flags).database.place
    except NoApp:
        place = ""
    except ConfigError as error:
        *others, last = error.problems
        for problem in others:
            note(problem)
        raise Failure(last, status=Status.CONFIGURATION) from None
    if not place:
        raise Failure("no database is configured", "--data, or database.url", Status.CONFIGURATION)

    async def run() -> T:
        store = Store(place, time.time)
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


def _asked() -> str:
    if not sys.stdin.isatty():
        raise Failure("no password", "--password-file, - for standard input", Status.USAGE)
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise Failure("the two are not the same")
    return password
