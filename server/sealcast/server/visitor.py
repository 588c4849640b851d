"""Who a connection is, as far as a relay can know: for what operators see, and for what is written down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["AGENT_MAX", "Visitor", "printable_agent"]

AGENT_MAX: Final = 256
"""Characters of a ``User-Agent`` that are kept."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """One connection."""

    number: int
    """The session's, which is used once in a process's life; 0 for who publishes over the API."""
    app_id: str
    address: str
    agent: str = ""
    """The ``User-Agent`` header, as ``printable_agent`` leaves it."""
    since: float = 0.0
    """When it was accepted, in Unix seconds."""

    @property
    def publishes(self) -> bool:
        """Whether it is no connection, but a program that publishes over the API."""
        return not self.number


def printable_agent(header: str) -> str:
    """Return a ``User-Agent`` header cut to its bound, with what could not stand in a log taken out."""
    return "".join(char if " " <= char <= "~" else "?" for char in header[:AGENT_MAX])
