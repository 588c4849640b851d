"""A journal on a disk that exists only in memory: it takes its time, fails for a while, and survives crashes.

A commit that was under way when the relay crashed may have happened, though nobody was told, or not.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sealcast.server.engine.journal import Batch, Loaded, Mark, Row
from sealcast.server.engine.repeats import MOST
from sealcast.server.interfaces import ChannelKey

__all__ = ["Disk", "SimulatedJournal"]

_Report = Callable[[Exception | None], None]


@dataclass
class _Stored:
    mark: Mark
    rows: list[Row] = field(default_factory=list)


class Disk:
    """What outlives every relay."""

    def __init__(self) -> None:
        self.channels: dict[ChannelKey, _Stored] = {}
        self.failing = False
        """Whether nothing can be written at the moment."""

    def write(self, batch: Batch) -> None:
        """Write a batch, whole."""
        for key, (mark, rows, _) in batch.items():
            stored = self.channels.setdefault(key, _Stored(mark))
            assert stored.mark.epoch == mark.epoch, "a channel on disk keeps its epoch"
            stored.mark = mark
            last = stored.rows[-1].kept.offset if stored.rows else None
            for row in rows:
                assert last is None or row.kept.offset == last + 1, "a place given twice, or left out"
                last = row.kept.offset
            stored.rows += rows
            del stored.rows[:-MOST]


class SimulatedJournal:
    """The journal of one life of the relay.

    Args:
        disk: what it writes to.
        chance: decides how long each write takes.

    """

    def __init__(self, disk: Disk, chance: random.Random) -> None:
        self._disk = disk
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._pending: list[Batch] = []
        self._dead = False

    def commit(self, batch: Batch, done: _Report) -> None:
        """Write a batch after a while."""
        self._pending.append(batch)
        delay = self._chance.choice((0.001, 0.005, 0.02, 0.3))
        self._loop.call_later(delay, self._write, batch, done)

    def load(self, key: ChannelKey, repeats: int) -> Loaded | None:
        """Return a channel."""
        stored = self._disk.channels.get(key)
        if stored is None:
            return None
        kept = [row for row in stored.rows if row.kept.offset > stored.mark.floor]
        known = [(row.identity, row.kept.offset) for row in stored.rows[-repeats:]]
        return Loaded(stored.mark, kept, known, ())

    def metadata(self) -> dict[str, int]:
        """Return nothing: nobody sets metadata here."""
        return {}

    async def close(self) -> None:
        """Do nothing: the simulation only ever crashes."""

    def crash(self) -> None:
        """End with the relay: what was being written may have been, or not."""
        self._dead = True
        for batch in self._pending:
            if self._disk.failing or self._chance.random() < 0.5:
                break
            self._disk.write(batch)

    def write_unless_dead(self, batch: Batch) -> None:
        """Write a batch of which somebody else makes the report."""
        if not self._dead:
            self._disk.write(batch)

    def _write(self, batch: Batch, done: _Report) -> None:
        if self._dead:
            return
        self._pending.remove(batch)
        if self._disk.failing:
            done(OSError("no space left on the simulated disk"))
            return
        self._disk.write(batch)
        done(None)
