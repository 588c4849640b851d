"""The journal in a SQLite file: one writer thread, a transaction for each batch, on disk when reported.

WAL with ``synchronous=FULL``: a commit that was reported outlives a crash of the machine, as far as the disk
keeps its own promises. The file is the relay's alone: a claim keeps a second one away.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from ..interfaces import Author, ChannelKey, EngineDown, Item, Kept
from .claim import Claim, Claimed
from .journal import Batch, Journal, Loaded, Mark, Row
from .repeats import Identity
from .sweep import Sweep
from .writing import said, write

__all__ = ["JournalUnusable", "SqliteJournal"]

VERSION: Final = 1
BUSY: Final = 2.0
"""Seconds that a write waits for another process that holds the file."""

_SCHEMA: Final = """
CREATE TABLE channel (
    id INTEGER PRIMARY KEY, app TEXT NOT NULL, name TEXT NOT NULL,
    epoch TEXT NOT NULL, place INTEGER NOT NULL,
    last_member INTEGER NOT NULL, revision INTEGER NOT NULL, ttl REAL NOT NULL, floor INTEGER NOT NULL,
    UNIQUE (app, name)
) STRICT;
CREATE TABLE author (
    channel INTEGER NOT NULL, member INTEGER NOT NULL, user TEXT NOT NULL, hello BLOB,
    PRIMARY KEY (channel, member)
) STRICT, WITHOUT ROWID;
CREATE TABLE message (
    channel INTEGER NOT NULL, place INTEGER NOT NULL, member INTEGER NOT NULL, at REAL NOT NULL,
    user TEXT NOT NULL, run BLOB NOT NULL, ref INTEGER NOT NULL, data BLOB,
    PRIMARY KEY (channel, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE item (
    channel INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, revision INTEGER NOT NULL,
    member INTEGER NOT NULL, user TEXT NOT NULL, hello BLOB,
    PRIMARY KEY (channel, name)
) STRICT, WITHOUT ROWID;
"""
# Offsets are u64 on the wire and i64 here: a channel would need centuries to notice.

_Report: TypeAlias = Callable[[Exception | None], None]


class JournalUnusable(Exception):
    """The file cannot be used; the text names it and says why."""


class SqliteJournal:
    """A journal in one file.

    Args:
        path: the file; it is made when it is not there, readable by its owner alone.
        wall: the present, in Unix seconds: that of the messages' dates.

    """

    def __init__(self, path: str | Path, wall: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._wall = wall
        self._jobs: queue.SimpleQueue[tuple[Batch, _Report] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._claim = Claim(self._path)

    def open(self) -> None:
        """Take the file and start the writer; to be called in the event loop.

        Raises:
            JournalUnusable: another relay has the file, or it is none of ours, damaged, or cannot be written.

        """
        self._loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as held:
            try:
                self._claim.take()
                held.callback(self._claim.release)
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
                self._reader = held.enter_context(contextlib.closing(self._connect()))
                self._prepare(self._reader)
                writer = held.enter_context(contextlib.closing(self._connect()))
            except Claimed:
                raise JournalUnusable(f"{self._path}: another relay is using it") from None
            except (OSError, sqlite3.Error) as error:
                raise JournalUnusable(f"{self._path}: {said(error)}") from None
            thread = threading.Thread(target=self._run, args=(writer,), name="sealcast journal", daemon=True)
            thread.start()
            self._thread, self._held = thread, held.pop_all()

    def commit(self, batch: Batch, done: _Report) -> None:
        """Write a batch; *done* is called later, in the event loop."""
        self._jobs.put((batch, done))

    async def close(self) -> None:
        """Write what is waiting, and let the file go."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            await asyncio.to_thread(thread.join)
            await asyncio.to_thread(self._held.close)  # SQLite tidies up with the last connection

    # --- reading, in the event loop ---

    def load(self, key: ChannelKey, repeats: int) -> Loaded | None:
        """Return a channel; None when it was never written down. Raises EngineDown."""
        try:
            return self._load(key, repeats)
        except sqlite3.Error as error:
            raise EngineDown(f"{self._path}: {said(error)}") from None

    def _load(self, key: ChannelKey, repeats: int) -> Loaded | None:
        ask = self._reader.execute
        found = ask(
            "SELECT id, epoch, place, last_member, revision, ttl, floor FROM channel"
            " WHERE app = ? AND name = ?",
            key,
        ).fetchone()
        if found is None:
            return None
        channel, *mark = found
        authors = {
            member: Author(member, user, hello)
            for member, user, hello in ask(
                "SELECT member, user, hello FROM author WHERE channel = ?", (channel,)
            )
        }
        rows: list[Row] = []
        known: list[tuple[Identity, int]] = []
        floor = mark[-1]
        for place, member, at, user, run, ref, data in ask(
            "SELECT place, member, at, user, run, ref, data FROM message WHERE channel = ?"
            " AND place > ? ORDER BY place",
            (channel, min(floor, mark[1] - repeats)),
        ):
            identity = Identity(user, run, ref)
            known.append((identity, place))
            if data is not None and place > floor:
                author = authors.get(member, Author(member, user, None))
                rows.append(Row(Kept(place, member, at, data), author, identity))
            else:
                rows.clear()  # what is before a gap is kept no more
        items = [
            Item(name, value, revision, Author(member, user, hello))
            for name, value, revision, member, user, hello in ask(
                "SELECT name, value, revision, member, user, hello FROM item WHERE channel = ?"
                " ORDER BY revision",
                (channel,),
            )
        ]
        return Loaded(Mark(*mark), rows, known, items)

    def metadata(self) -> dict[str, int]:
        """Return the bytes that the metadata of each app takes."""
        return dict(
            self._reader.execute(
                "SELECT app, sum(length(item.name) + length(value) + length(user)"
                " + coalesce(length(hello), 0))"
                " FROM item JOIN channel ON channel.id = item.channel GROUP BY app"
            )
        )

    # --- writing, in the thread ---

    def _run(self, connection: sqlite3.Connection) -> None:
        sweep = Sweep(connection, self._wall, time.monotonic())
        while True:
            with contextlib.suppress(queue.Empty):
                job = self._jobs.get(timeout=sweep.wait(time.monotonic()))
                if job is None:
                    return
                batch, done = job
                error = self._write(connection, batch)
                with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for it
                    self._loop.call_soon_threadsafe(done, error)
            sweep.go_on(time.monotonic())

    def _write(self, connection: sqlite3.Connection, batch: Batch) -> Exception | None:
        try:
            write(connection, batch)
        except Exception as error:  # whatever it is: without this thread every channel would wait for ever
            return JournalUnusable(f"{self._path}: {said(error)}")
        return None

    # --- the file ---

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA secure_delete = ON")  # what is erased is overwritten
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == 0:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables:
                raise JournalUnusable(f"{self._path}: is a database of something else; name another file")
            connection.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
        elif version != VERSION:
            raise JournalUnusable(
                f"{self._path}: was written by another version ({version}, this one has {VERSION})"
            )
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise JournalUnusable(f"{self._path}: is damaged; restore a copy, or move it away to start anew")


_: type[Journal] = SqliteJournal
