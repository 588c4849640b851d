"""What time brings: the things that ``Machine.handle_timeout`` returns for the shell to carry out."""

from __future__ import annotations

from dataclasses import dataclass

from .codes import Code

__all__ = ["Due", "EndDue", "GrantEnded", "GrantExpiring", "PingDue", "RequestExpired"]


@dataclass(frozen=True, slots=True)
class Due:
    """Something whose time has come."""


@dataclass(frozen=True, slots=True)
class PingDue(Due):
    """Nothing was heard for a heartbeat: send a WebSocket ping."""


@dataclass(frozen=True, slots=True)
class EndDue(Due):
    """Close the connection with this end code."""

    code: Code


@dataclass(frozen=True, slots=True)
class GrantExpiring(Due):
    """A membership ends in ``seconds``."""

    channel: int
    seconds: float


@dataclass(frozen=True, slots=True)
class GrantEnded(Due):
    """A membership's grant has ended: end the membership with ``token_expired``."""

    channel: int


@dataclass(frozen=True, slots=True)
class RequestExpired(Due):
    """No answer came in time for the request with this ref; a late answer is recognised as such."""

    ref: int
