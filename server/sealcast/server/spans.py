"""The seam to traces: what the core and the internal port tell of, when somebody wants to know."""

from __future__ import annotations

from typing import Protocol

from sealcast.protocol.errors import SealcastError

__all__ = ["Tracer", "TracesUnavailable"]


class TracesUnavailable(SealcastError):
    """There are to be traces, and the packages for them are not installed."""


class Tracer(Protocol):
    """Hears of joins and requests when they are over; must not wait or fail."""

    def join(self, app_id: str, code: str, seconds: float) -> None:
        """A join took so long and came to this: ``joined``, or a reply code's name."""
        ...

    def request(self, method: str, route: str, status: int, seconds: float, parent: str = "") -> None:
        """A request on the internal port was answered; *parent* is its ``traceparent`` header."""
        ...
