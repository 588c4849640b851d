"""What a connection asks of its listener, and how a handshake is refused."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

from websockets.http11 import Request

from ..clock import Clock, TimingWheel
from ..interfaces import Receiver

if TYPE_CHECKING:
    from .websocket import Connection

__all__ = ["Door", "Refusal", "peer_of"]


class Refusal(NamedTuple):
    """How a handshake is refused."""

    status: HTTPStatus
    text: str
    retry_after: float | None = None
    """Seconds after which it makes sense to come back."""


class Door:
    """What a connection asks of its listener, before and after the handshake."""

    clock: Clock
    wheel: TimingWheel
    handshake: float
    """Seconds that a handshake may take."""
    close: float
    """Seconds that a closing connection may linger."""

    def opened(self, connection: Connection) -> bool:
        """Note a connection whose handshake has begun; False: it is not to be taken."""
        raise AssertionError

    def judge(self, connection: Connection, request: Request) -> Refusal | int:
        """Say how to answer a handshake: a refusal, or the largest message that will be accepted."""
        raise AssertionError

    def accept(self, connection: Connection, request: Request) -> Receiver:
        """Make the core of a connection whose handshake is done."""
        raise AssertionError

    def closed(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        raise AssertionError


def peer_of(transport: asyncio.BaseTransport) -> str:
    """Return the address at the other end; empty when it has none."""
    peer = transport.get_extra_info("peername")
    return peer[0] if isinstance(peer, tuple) else ""
