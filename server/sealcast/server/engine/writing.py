"""What a SQLite journal writes, on one connection: a batch, all of it or nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from ..interfaces import ChannelKey
from .journal import Batch, Part
from .repeats import MOST

__all__ = ["said", "transaction", "write"]


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all of the block, or nothing of it: however it fails, no transaction stays open.

    One that did would make every later one fail.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled it back by itself
            connection.execute("ROLLBACK")
        raise


def said(error: Exception) -> str:
    """Return what a failure says of itself, as far as that cannot hold anything of what was written."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error) if isinstance(error, sqlite3.Error) else type(error).__name__


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write a batch; it is on disk when this returns.

    Raises:
        Exception: nothing of it is written: ``sqlite3.Error``, or what the module makes of strange values.

    """
    with transaction(connection):
        for key, part in batch.items():
            _write_part(connection, key, part)


def _write_part(connection: sqlite3.Connection, key: ChannelKey, part: Part) -> None:
    mark, rows, changes = part
    (channel,) = connection.execute(
        "INSERT INTO channel (app, name, epoch, place, last_member, revision, ttl, floor)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (app, name) DO UPDATE SET"
        " place = excluded.place, last_member = max(last_member, excluded.last_member),"
        " revision = excluded.revision, ttl = excluded.ttl, floor = max(floor, excluded.floor)"
        " RETURNING id",
        (*key, *mark),
    ).fetchone()
    connection.executemany(
        "INSERT INTO author (channel, member, user, hello) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (channel, member) DO NOTHING",
        {(channel, *row.author) for row in rows},
    )
    connection.executemany(
        "INSERT INTO message (channel, place, member, at, user, run, ref, data)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(channel, *row.kept[:3], *row.identity, row.kept.data) for row in rows],
    )
    for change in changes:
        if change.value is None:
            connection.execute("DELETE FROM item WHERE channel = ? AND name = ?", (channel, change.name))
        else:
            connection.execute(
                "INSERT OR REPLACE INTO item (channel, name, value, revision, member, user, hello)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (channel, change.name, change.value, change.revision, *change.author),
            )
    connection.execute(
        "UPDATE message SET data = NULL WHERE channel = ? AND place <= ? AND data IS NOT NULL",
        (channel, mark.floor),
    )
    connection.execute(
        "DELETE FROM message WHERE channel = ? AND place <= ? AND data IS NULL",
        (channel, mark.offset - MOST),
    )
