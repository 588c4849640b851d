"""What the relay writes down: one line per event, never a token, a key, a hello or a payload.

Channel and user names do not appear, so that a log that leaks does not say who talked with whom.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

from sealcast.protocol.codes import Code

from .config import LogConfig
from .visitor import Visitor

__all__ = ["SessionLog", "configure", "logger"]

logger: structlog.stdlib.BoundLogger = structlog.get_logger("sealcast")


def configure(config: LogConfig) -> None:
    """Send log lines to standard error: text on a terminal, JSON elsewhere, as the options say."""
    text = config.format == "text" or (config.format == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
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
