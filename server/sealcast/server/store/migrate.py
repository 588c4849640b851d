"""Brings a database to the schema of this version; alembic is loaded only when there is something to do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from .database import Database
from .migrations import HEAD
from .records import MigrationNeeded, StoreUnusable

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

__all__ = ["differences", "migrate", "require_current", "revision_of", "scripts"]

_TABLE: Final = "alembic_version"
_LOCK: Final = 0x5EA1CA57
"""Held on PostgreSQL while migrating, so that two processes that start do it one after the other."""


async def revision_of(database: Database) -> str | None:
    """Return the step that the database is at; None when nothing was ever made in it."""
    async with database.connection() as connection:
        return await connection.run_sync(_revision)


async def migrate(database: Database) -> tuple[str | None, str]:
    """Take all steps that are missing; return the one before and the one after.

    Raises:
        StoreUnusable: the database is of a newer version.
        StoreDown: the database does not answer.

    """
    before = await revision_of(database)
    if before != HEAD:
        async with database.connection(time=None) as connection:
            await connection.run_sync(_upgrade, locking=not database.embedded)
    return before, HEAD


async def require_current(database: Database) -> None:
    """Look that there is nothing to migrate.

    Raises:
        MigrationNeeded: there is. The text says what to do.

    """
    found = await revision_of(database)
    if found != HEAD:
        said = f"at {found}" if found else "empty"
        raise MigrationNeeded(
            f"the database is {said}, and this version needs {HEAD}; try `sealcast migrate`"
        )


def scripts() -> ScriptDirectory:
    """Return the steps, as alembic sees them."""
    from alembic.script import ScriptDirectory

    place = Path(__file__).parent / "migrations"
    return ScriptDirectory(str(place), version_locations=[str(place / "versions")])


def differences(connection: Connection) -> list[object]:
    """Return in what the database differs from ``schema``; for tests and for who writes a step."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from .schema import Table

    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, Table.metadata))


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {_TABLE}")).scalar()  # noqa: S608 - a constant
    return None if found is None else str(found)


def _upgrade(connection: Connection, locking: bool) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationStep, RevisionStep
    from alembic.script.revision import ResolutionError
    from alembic.util import CommandError

    if locking:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    known = scripts()

    def steps(revision: tuple[str, ...] | str | None, context: object) -> list[RevisionStep]:
        found = revision[0] if isinstance(revision, tuple) and revision else revision or "base"
        missing = reversed(list(known.iterate_revisions(HEAD, found or "base")))
        return [MigrationStep.upgrade_from_script(known.revision_map, script) for script in missing]

    try:
        with EnvironmentContext(Config(), known, fn=steps) as environment:
            environment.configure(connection=connection)
            environment.run_migrations()
    except (ResolutionError, CommandError):
        raise StoreUnusable("the database is of a newer version of sealcast than this one") from None
