"""Lets go, from a SQLite journal, what is too old in channels that nobody is in: little by little."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Final

from ..logs import logger
from .writing import said, transaction

__all__ = ["EVERY", "SLICE", "Sweep"]

EVERY: Final = 60.0
"""Seconds from the end of one round to the beginning of the next."""
SLICE: Final = 200
"""Channels in one transaction: what is to be written waits for no more of them,"""
_LONG: Final = 0.02
"""nor, but for what is left of one channel, longer than so many seconds."""


class Sweep:
    """Rounds through all channels, a slice at a time, between the batches that are written.

    Messages that are too old lose their data, and senders of whom nothing is kept are forgotten.

    Args:
        connection: the writer's; to be used in its thread.
        wall: the present, in Unix seconds, as messages are dated with it.
        now: the present in monotonic seconds, as in all other calls.

    """

    def __init__(self, connection: sqlite3.Connection, wall: Callable[[], float], now: float) -> None:
        self._connection = connection
        self._wall = wall
        self._due = now + EVERY
        self._after = 0
        """The last channel, by its number in the file, that this round has come to."""
        self._failing = False

    def wait(self, now: float) -> float:
        """Return the seconds until there is something to do."""
        return max(self._due - now, 0.0)

    def go_on(self, now: float) -> None:
        """Do a slice if it is time for one; never raises.

        A slice that fails is logged. The next one, after it, is tried when a round would begin.
        """
        if now < self._due:
            return
        try:
            if self._slice():
                return
            self._empty_log()
        except Exception as error:  # whatever it is: the thread that calls has messages to write
            if not self._failing:
                logger.error("what is too old cannot be deleted from disk", reason=said(error))
            self._failing = True
        else:
            if self._failing:
                logger.info("what is too old is deleted from disk again")
            self._failing, self._after = False, 0
        self._due = now + EVERY

    def _slice(self) -> bool:
        """Go through some channels; return whether there may be more."""
        channels = self._connection.execute(
            "SELECT id, ttl, floor FROM channel WHERE id > ? ORDER BY id LIMIT ?", (self._after, SLICE)
        ).fetchall()
        wall, end = self._wall(), time.monotonic() + _LONG
        with transaction(self._connection):
            for channel, ttl, floor in channels:
                self._after = channel
                self._let_go(channel, floor, wall - ttl)
                if time.monotonic() > end:
                    return True
        return len(channels) == SLICE

    def _let_go(self, channel: int, floor: int, oldest: float) -> None:
        ask = self._connection.execute
        (gone,) = ask(
            "SELECT max(place) FROM message WHERE channel = ? AND place > ? AND at <= ?",
            (channel, floor, oldest),
        ).fetchone()
        if gone is not None:
            # What stands before it goes too, should a clock have been set back: there are no gaps.
            ask(
                "UPDATE message SET data = NULL WHERE channel = ? AND place > ? AND place <= ?",
                (channel, floor, gone),
            )
            # So that the next round has nothing to look at where nothing is left.
            ask("UPDATE channel SET floor = ? WHERE id = ?", (gone, channel))
            floor = gone
        ask(
            "DELETE FROM author WHERE channel = ? AND member NOT IN"
            " (SELECT member FROM message WHERE channel = ? AND place > ? AND data IS NOT NULL)",
            (channel, channel, floor),
        )

    def _empty_log(self) -> None:
        """Bring everything into the file: the log still has what was erased there.

        Somebody who reads the file at the moment, to copy it perhaps, is not waited for: messages are.
        """
        ask = self._connection.execute
        (busy,) = ask("PRAGMA busy_timeout").fetchone()
        ask("PRAGMA busy_timeout = 0").fetchone()
        try:
            ask("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            ask(f"PRAGMA busy_timeout = {busy}").fetchone()
