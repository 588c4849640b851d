"""All instruments of a relay, put together: what measures, what counts, and what shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..clock import Clock
from ..config import Config
from ..hub import Hub
from .apps import AppFigures
from .board import Board, Source
from .parts import Kept, Pulse, Requests, Writing, certificates, engine
from .process import LoopWatch, about, log_lines
from .readiness import Readiness
from .tally import Tally
from .traffic import traffic

if TYPE_CHECKING:
    from .exposition import Exposition

__all__ = ["Instruments"]


class Instruments:
    """What a relay is watched with.

    Args:
        clock: the present.

    """

    def __init__(self, clock: Clock) -> None:
        self.board = Board()
        """Where sources are added: ``board.add(source)``."""
        self.tally = Tally()
        """A witness, to be told from the start."""
        self.pulse = Pulse()
        """Of the database."""
        self.requests = Requests()
        self._clock = clock
        self._loop = LoopWatch()

    def connect(
        self,
        config: Config,
        hub: Hub,
        kept: Kept,
        ends: Mapping[str, Callable[[], float | None]],
    ) -> tuple[Exposition, Readiness]:
        """Begin to watch a relay that has started; return what shows its numbers, and how ready it is.

        *ends* says for each port when its certificate ends.
        """
        from .exposition import Exposition

        writing = kept if isinstance(kept, Writing) else None
        database = self.pulse if config.database.place else None
        readiness = Readiness(hub, database, writing, self._clock.wall)
        sources: list[Source] = [
            about(config.server.node, self._clock.wall()),
            readiness,
            traffic(hub.metrics),
            self.tally,
            AppFigures(hub, self.tally, config.metrics.apps),
            engine(config.storage, kept, writing),
            log_lines,
            self._loop,
            self.requests,
            certificates(ends),
        ]
        for source in sources:
            self.board.add(source)
        if database is not None:
            self.board.add(database)
        self._loop.start()
        return Exposition(self.board), readiness

    def stop(self) -> None:
        """Measure no more."""
        self._loop.stop()
