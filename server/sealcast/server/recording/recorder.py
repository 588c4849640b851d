"""Brings the notes of a witness to the database, in batches and in the background.

The relay never waits for it. When the database is away, notes wait in memory up to a bound, and what is
over it is lost and counted. A process says now and then that it is there; what one that is gone has left
open is ended by the next one to look.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from ..clock import Clock
from ..config import RecordsConfig
from ..logs import logger
from ..store.calls import Calls
from ..store.records import StoreDown
from .ledger import Ledger

__all__ = ["Recorder"]

_WRITE_EVERY: Final = 1.0
_BATCH: Final = 250
_BEAT_EVERY: Final = 20.0
"""Seconds between two notes that this process is there."""
_GONE_AFTER: Final = 60.0
"""Seconds of silence after which a process is taken to be gone."""
_RETRY_MOST: Final = 30.0
_LAST_WRITING: Final = 5.0
"""Seconds that the last writing may take when the relay goes down."""


class Recorder:
    """Writes what ``ledger``, a witness, notes.

    Args:
        calls: where it is written.
        config: how much is kept of an address.
        clock: the present.
        node: this process's name.

    """

    def __init__(self, calls: Calls, config: RecordsConfig, clock: Clock, node: str) -> None:
        self.run_id = secrets.token_hex(12)
        self.ledger = Ledger(self.run_id, node, clock.wall, config.addresses)
        self._calls = calls
        self._clock = clock
        self._node = node
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._down = False
        self._reported = 0

    async def start(self) -> None:
        """Note that this process is there, end what earlier ones have left open, and begin to write.

        Raises:
            StoreDown: the database does not answer.

        """
        await self._beat()
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what there is, but not for long, and note that this process ends."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        try:
            async with asyncio.timeout(_LAST_WRITING):
                await self.flush()
                await self._calls.end_run(self.run_id, self._node, self._clock.wall())
        except (StoreDown, TimeoutError):
            self.ledger.lost += self.ledger.waiting
            logger.error("records of sessions are lost", records=self.ledger.lost)

    async def flush(self) -> None:
        """Write what was noted until now. Raises StoreDown."""
        # In a task of its own: what the caller keeps or takes back has nothing to do with it.
        await asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        async with self._writing:
            for _ in range(1 + self.ledger.waiting // _BATCH):
                batch = self.ledger.take(_BATCH)
                if not batch:
                    return
                try:
                    await self._calls.write(batch.calls, batch.members)
                except BaseException:
                    self.ledger.give_back(batch)
                    raise

    async def _run(self) -> None:
        beaten, wait = self._clock.monotonic(), _WRITE_EVERY
        while True:
            await asyncio.sleep(wait)
            try:
                await self._flush()
                if self._clock.monotonic() - beaten >= _BEAT_EVERY:
                    await self._beat()
                    beaten = self._clock.monotonic()
            except Exception as error:  # whatever it is, it may be over the next time
                self._failed(error)
                wait = min(wait * 2, _RETRY_MOST)
            else:
                self._worked()
                wait = _WRITE_EVERY

    async def _beat(self) -> None:
        now = self._clock.wall()
        await self._calls.beat(self.run_id, self._node, now)
        gone = await self._calls.reconcile(self.run_id, self._node, now - _GONE_AFTER)
        if gone:
            logger.warning("ended the records of sessions of processes that are gone", processes=gone)

    def _failed(self, error: Exception) -> None:
        if not self._down:
            reason = str(error) if isinstance(error, StoreDown) else type(error).__name__
            logger.error("records of sessions are not written, they wait", reason=reason)
        self._down = True

    def _worked(self) -> None:
        lost, self._reported = self.ledger.lost - self._reported, self.ledger.lost
        if self._down or lost:
            logger.warning("records of sessions are written again", lost=lost)
        self._down = False
