"""Checks of where things are kept: the database of apps and keys, and the file with messages."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .finding import Finding, fine, worth_a_look, wrong

if TYPE_CHECKING:
    from sealcast.server.config import Config, StorageConfig

__all__ = ["database", "storage"]

_ROOM: Final = 1024**3
"""Bytes of free space below which a disk is worth a look."""
_NO_ROOM: Final = 64 * 1024**2
_TIME: Final = 10.0


def database(config: Config) -> Iterator[Finding]:
    """Look whether the database answers, and has the schema of this version. Makes and changes nothing."""
    place = config.database.place
    if not place:
        yield fine("database", "none: apps stand in the configuration")
        return
    from sealcast.server.store.database import Database
    from sealcast.server.store.records import StoreDown, StoreError, StoreUnusable

    try:
        found = Database(place)
    except StoreUnusable as error:
        yield wrong("database", str(error), "mend database.url")
        return
    if found.embedded:
        path = Path(found.place)
        if not path.exists():
            yield from _will_be_made("database", path)
            return
        yield from _kept_in("database", path)
    try:
        revision = asyncio.run(_revision(found))
    except StoreDown as error:
        yield wrong(
            "database", f"{found.place}: {error}", "start it, or look at database.url and its password"
        )
    except StoreError as error:
        yield wrong("database", str(error), "install what is missing, or mend database.url")
    else:
        yield _schema(found.place, revision, embedded=found.embedded)


async def _revision(database: object) -> str | None:
    from sealcast.server.store.database import Database
    from sealcast.server.store.migrate import revision_of

    assert isinstance(database, Database)
    try:
        async with asyncio.timeout(_TIME):
            return await revision_of(database)
    except TimeoutError:
        from sealcast.server.store.records import StoreDown

        raise StoreDown("the database does not answer in time") from None
    finally:
        await database.close()


def _schema(place: str, revision: str | None, *, embedded: bool) -> Finding:
    from sealcast.server.store.migrate import scripts
    from sealcast.server.store.migrations import HEAD

    if revision == HEAD:
        return fine("database", f"{place} answers, schema {revision}")
    known = {script.revision for script in scripts().walk_revisions()}
    if revision is not None and revision not in known:
        return wrong(
            "database",
            f"{place} has the schema {revision}, which this version does not know: it is of a newer one",
            "install the version of sealcast that the others have",
        )
    said = f"{place} is {f'at schema {revision}' if revision else 'empty'}, this version needs {HEAD}"
    if embedded:
        return worth_a_look(
            "database", said, "`sealcast migrate` after a copy; or start the relay, which does it"
        )
    return wrong("database", said, "`sealcast migrate`, once all relays of the older version are stopped")


def storage(config: StorageConfig) -> Iterator[Finding]:
    """Look at the file with messages: who may read it, and whether there is room."""
    if config.engine == "memory":
        yield fine("storage", "in memory: nothing outlives the process")
        return
    path = Path(config.path)
    if path.exists():
        yield from _kept_in("storage", path)
    else:
        yield from _will_be_made("storage", path)


def _will_be_made(what: str, path: Path) -> Iterator[Finding]:
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if folder != path.parent and what == "storage":  # the database makes its folder, the engine does not
        yield wrong(what, f"{path.parent} is not there", f"`mkdir -m 0700 -p {path.parent}`")
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield wrong(what, f"{path} cannot be made in {folder}", "give the folder to the user of the relay")
    else:
        yield fine(what, f"{path} will be made")
        yield from _room(what, folder)


def _kept_in(what: str, path: Path) -> Iterator[Finding]:
    if not path.is_file():
        yield wrong(what, f"{path} is no file", "name another one")
        return
    if not os.access(path, os.R_OK | os.W_OK) or not os.access(path.parent, os.W_OK | os.X_OK):
        yield wrong(
            what,
            f"{path}, or what is written beside it, cannot be written by this user",
            "run this as the user of the relay, or `chown` file and folder",
        )
    mode = path.stat().st_mode
    if mode & 0o077:
        yield wrong(what, f"{path} can be read or written by others", f"`chmod 0600 {path}`")
    else:
        yield fine(what, f"{path} is its owner's alone")
    yield from _room(what, path.parent)


def _room(what: str, folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    said = f"{free / 1024**3:.1f} GiB free at {folder}"
    if free < _NO_ROOM:
        yield wrong(what, said, "free space: what cannot be written is refused")
    elif free < _ROOM:
        yield worth_a_look(what, said, "free space, or keep less (`history`)")
    else:
        yield fine(what, said)
