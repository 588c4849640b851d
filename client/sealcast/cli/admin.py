"""``sealcast admin`` and ``sealcast migrate``: what is done at the relay's database itself."""

from __future__ import annotations

import getpass
import sys
import time
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from .at_database import ConfigOption, DataOption, at_database, operator
from .failure import Failure, Status, missing_extra
from .output import note
from .quantity import duration
from .secret import read_secret

if TYPE_CHECKING:
    from sealcast.server.store.store import Store

__all__ = ["app", "migrate"]

app = typer.Typer(add_completion=False, rich_markup_mode=None)


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
    config: ConfigOption = None,
    data: DataOption = None,
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
        hashed = await Passwords().hash(password)
        try:
            async with store.database.unit():
                made = await store.accounts.create(email, hashed, roles[role])
                detail = {"email": email, "role": role}
                await store.audit.add(operator(), "account.created", f"account {made.account_id}", detail)
        except Taken:
            raise Failure(f"there is an account of {email} already") from None

    at_database("admin", config, data, make)
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
    config: ConfigOption = None,
    data: DataOption = None,
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
        scopes = scope or list(SCOPES)
        expires = None if lives is None else time.time() + lives
        try:
            async with store.database.unit():
                await store.keys.create(
                    made.key_id, made.digest, name=name, scopes=scopes, app_id=app_id, expires=expires
                )
                detail = {"scopes": scopes, "app": app_id, "expires": expires}
                await store.audit.add(operator(), "key.created", f"key {made.key_id}", detail)
        except Missing:
            raise Failure("there is no such app in the database") from None

    at_database("admin", config, data, keep)
    print(made.text)


def migrate(config: ConfigOption = None, data: DataOption = None) -> None:
    """Bring the database to the schema of this version. Nothing happens where it is already.

    \b
    Example:  SEALCAST_DATABASE_URL=postgresql://… sealcast migrate
    """

    async def upgrade(store: Store) -> tuple[str | None, str]:
        await store.database.open()
        return await store.migrate(operator())

    before, after = at_database("migrate", config, data, upgrade, opened=False)
    if before == after:
        note(f"the database is at {after} already")
    else:
        note(f"the database was {f'at {before}' if before else 'empty'}, and is at {after} now")


def _asked() -> str:
    if not sys.stdin.isatty():
        raise Failure("no password", "--password-file, - for standard input", Status.USAGE)
    password = getpass.getpass("password: ")
    if getpass.getpass("again: ") != password:
        raise Failure("the two are not the same")
    return password
