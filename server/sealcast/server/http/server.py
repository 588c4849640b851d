"""The internal port: uvicorn in the relay's own loop, started and stopped with the relay."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["InternalPort"]

_HEAD_MAX: Final = 16 * 1024
_HEAD_TIME: Final = 10.0
"""Seconds in which the head of a request must have come."""
_IDLE: Final = 30
"""Seconds that a connection may be idle between two requests."""
_STOP: Final = 2
"""Seconds for what is under way when the relay goes down."""
_CONNECTIONS: Final = 256


class InternalPort:
    """One listening socket for operators.

    Args:
        app: what answers.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        tls: for TLS.

    """

    def __init__(self, app: ASGIApp, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._app = app
        self._host, self._port = host, port
        self._tls = tls
        self._server: uvicorn.Server | None = None
        self._socket: socket.socket | None = None

    async def start(self) -> tuple[str, int]:
        """Listen; return the address and port taken. Raises OSError when they are not to be had."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what strangers send is not news
        config = uvicorn.Config(
            self._app,
            http=_Patient,
            ws="none",
            lifespan="off",
            loop="none",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=_IDLE,
            timeout_graceful_shutdown=_STOP,
            h11_max_incomplete_event_size=_HEAD_MAX,
            limit_concurrency=_CONNECTIONS,
        )
        config.load()
        config.ssl = self._tls
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(
            self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        # With the protocol's number, without which asyncio does not switch off Nagle's algorithm.
        self._socket = socket.socket(family, kind, protocol)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address)
            self._socket.setblocking(False)
            server = uvicorn.Server(config)
            server.lifespan = config.lifespan_class(config)
            await server.startup(sockets=[self._socket])
        except BaseException:
            self._socket.close()
            raise
        self._server = server
        host, port = self._socket.getsockname()[:2]
        return host, port

    async def stop(self) -> None:
        """Accept nobody any more, and let what is under way end, but not for long."""
        server, self._server = self._server, None
        if server is not None and self._socket is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await server.shutdown(sockets=[self._socket])


class _Patient(H11Protocol):
    """Waits for the head of a request, but not for ever."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._done()
        elif self._waiting is None:
            self._wait()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._done()
        if self.conn.trailing_data[0]:  # the next request has begun
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._done()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._waiting = asyncio.get_running_loop().call_later(_HEAD_TIME, self._over)

    def _done(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _over(self) -> None:
        self._waiting = None
        waits: Any = self.cycle
        if waits is None or waits.response_complete:
            self.transport.close()
