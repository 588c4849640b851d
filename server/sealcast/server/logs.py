"""What the relay writes down: one line per event, never a token, a key, a hello or a payload.

Channel and user names do not appear, so that a log that leaks does not say who talked with whom.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog

from sealcast.protocol.codes import Code

from .config import LogConfig
from .visitor import Visitor

__all__ = ["LINES", "Lines", "SessionLog", "configure", "logger"]

_REPEATS: Final = 10
"""Warnings or errors of the same text that are written in one period."""
_PERIOD: Final = 60.0
_TEXTS_MOST: Final = 1_000

logger: structlog.stdlib.BoundLogger = structlog.get_logger("sealcast")


class Lines:
    """Counts lines, and keeps a failure that repeats itself from filling the disk.

    Of warnings and errors with the same text only so many are written in a minute; the first one after that
    says how many were withheld. What is told of single connections is not touched.

    Args:
        now: monotonic seconds.

    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._periods: dict[str, tuple[float, int]] = {}
        """By text: when its period began, and how many lines it has had."""
        self.by_level: Counter[str] = Counter()
        self.withheld = 0

    def __call__(self, _: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Let a line pass, or raise DropEvent: the way structlog wants it."""
        self.by_level[level] += 1
        if level not in ("warning", "error"):
            return event
        now, text = self._now(), str(event.get("event"))
        began, count = self._periods.get(text, (now, 0))
        if now - began >= _PERIOD:
            if count > _REPEATS:
                event["withheld"] = count - _REPEATS
            began, count = now, 0
        if len(self._periods) >= _TEXTS_MOST:
            self._periods.clear()
        self._periods[text] = (began, count + 1)
        if count >= _REPEATS:
            self.withheld += 1
            raise structlog.DropEvent
        return event


LINES: Final = Lines()
"""The lines of this process."""


def configure(config: LogConfig) -> None:
    """Send log lines to standard error: text on a terminal, JSON elsewhere, as the options say."""
    text = config.format == "text" or (config.format == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            LINES,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[config.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


class SessionLog:
    """Gathers what one connection did and writes it down when it ends."""

    __slots__ = ("_bytes", "_frames", "_refused", "_started", "visitor")

    def __init__(
        self, number: int, app_id: str, address: str, now: float, agent: str = "", wall: float = 0.0
    ) -> None:
        self.visitor = Visitor(number, app_id, address, agent, wall)
        """Whose life it is."""
        self._started = now
        self._frames = 0
        self._bytes = 0
        self._refused = 0

    def token_refused(self, name: str) -> None:
        """A token was refused; *name* is the code's."""
        self._refused += 1
        if self._refused <= 3:  # a hostile client does not get to fill the disk
            logger.info("token refused", **self._whose(), code=name)

    def left(self, frames: int, size: int) -> None:
        """A membership ended after so many frames and bytes sent."""
        self._frames += frames
        self._bytes += size

    def ended(self, cause: Code, peer_code: int | None, now: float) -> None:
        """The connection ended: one line for each, however it did."""
        logger.info(
            "connection ended",
            **self._whose(),
            code=cause.number,
            name=cause.name,
            peer_code=peer_code,
            seconds=round(now - self._started, 3),
            frames_in=self._frames,
            bytes_in=self._bytes,
            tokens_refused=self._refused,
        )

    def _whose(self) -> dict[str, int | str]:
        return {
            "session": self.visitor.number,
            "app": self.visitor.app_id,
            "address": self.visitor.address,
        }
