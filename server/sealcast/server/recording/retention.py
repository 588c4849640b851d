"""Deletes what is too old at the start and once a day, unless another process does it."""

from __future__ import annotations

import asyncio
from typing import Final

from ..clock import Clock
from ..config import RecordsConfig
from ..logs import logger
from ..store.records import DAY, StoreDown
from ..store.retention import purge
from ..store.store import Store

__all__ = ["Retention"]

_LOOK_EVERY: Final = 3600.0


class Retention:
    """The purge of a relay that runs.

    Args:
        store: the database.
        config: how long what is kept.
        clock: the present.
        holder: this process's name among those that share the database.

    """

    def __init__(self, store: Store, config: RecordsConfig, clock: Clock, holder: str) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._holder = holder
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """End; what is not deleted is deleted the next time."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self, every: float = 0.0) -> None:
        """Delete what is too old, if it is this process's turn. Raises StoreDown."""
        counts = await purge(self._store, self._config, self._clock.wall(), "relay", self._holder, every)
        if counts and any(counts.values()):
            logger.info("deleted what was too old", **counts)

    async def _run(self) -> None:
        every = 0.0
        while True:
            try:
                await self.sweep(every)
                every = DAY
            except Exception as error:  # whatever it is, it may be over the next time
                reason = str(error) if isinstance(error, StoreDown) else type(error).__name__
                logger.error("what is too old could not be deleted", reason=reason)
            await asyncio.sleep(_LOOK_EVERY)
