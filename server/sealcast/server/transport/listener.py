"""The public port: accepts connections, judges their handshakes and bounds their number."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, Protocol

from websockets.http11 import Request

from ..clock import Clock, TimingWheel
from ..config import AppConfig, ServerConfig
from ..interfaces import Receiver, Transport
from ..logs import logger
from ..metrics import Metrics
from .tls import Certificate
from .websocket import Connection, Door

__all__ = ["Listener", "Tenants"]

_PREFIX: Final = "/v1/"
_NOT_FOUND: Final = (HTTPStatus.NOT_FOUND, "no such app here; connect to /v1/{app_id}\n")
_FORBIDDEN: Final = (HTTPStatus.FORBIDDEN, "this origin is not allowed here\n")
_BANNED: Final = (HTTPStatus.FORBIDDEN, "this address is banned here; ask who runs the app\n")
_FULL: Final = (HTTPStatus.SERVICE_UNAVAILABLE, "no room now; come back later\n")
# A control is at most 16 KiB; envelope and ref come before the descriptor.
_CONTROL_MAX: Final = 16 * 1024
_ENVELOPE_MAX: Final = 16


class Tenants(Protocol):
    """What the listener asks of the core."""

    def find(self, app_id: str) -> AppConfig | None:
        """Return the app that this connection may enter, or None."""
        ...

    def banned(self, app_id: str, address: str) -> bool:
        """Whether nobody from that address may join anything in the app."""
        ...

    def full(self, app_id: str) -> bool:
        """Whether the app, or the process, takes no more connections now."""
        ...

    def welcome(self, app_id: str, transport: Transport, address: str, agent: str = "") -> Receiver:
        """Make the core of a new connection."""
        ...


class Listener(Door):
    """One listening socket and its connections.

    Args:
        config: the server's options.
        tenants: who may enter.
        clock: the present.
        wheel: wakes connections whose time is up.
        metrics: where to count.

    Raises:
        CertificateUnusable: there is to be TLS, and its files cannot be used.

    """

    def __init__(
        self, config: ServerConfig, tenants: Tenants, clock: Clock, wheel: TimingWheel, metrics: Metrics
    ) -> None:
        self.clock = clock
        self.wheel = wheel
        self.handshake = config.handshake
        self.close = config.close
        self.connections: set[Connection] = set()
        self._config = config
        self._tenants = tenants
        self._metrics = metrics
        self._opening: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None
        self._certificate = (
            Certificate(config.tls_certificate, config.tls_key, logger.warning) if config.tls_key else None
        )
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self) -> tuple[str, int]:
        """Listen; return the address and port taken. Raises OSError when they are not to be had."""
        loop = asyncio.get_running_loop()
        make: Callable[[], Connection] = lambda: Connection(self)  # noqa: E731
        config, certificate = self._config, self._certificate
        self._server = await loop.create_server(
            make,
            config.host,
            config.port,
            backlog=config.backlog,
            ssl=None if certificate is None else certificate.context,
            ssl_handshake_timeout=None if certificate is None else config.handshake,
            ssl_shutdown_timeout=None if certificate is None else config.close,
        )
        host, port = self._server.sockets[0].getsockname()[:2]
        return host, port

    def reload(self) -> None:
        """Read the certificate again; raises CertificateUnusable, and then goes on with the old one."""
        if self._certificate is not None:
            self._certificate.reload()

    @property
    def certificate_ends(self) -> float | None:
        """When the certificate in use ends, in Unix seconds; None without TLS, or when it does not say so."""
        return None if self._certificate is None else self._certificate.ends

    def stop(self) -> None:
        """Accept nobody any more; those who are inside stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._opening):
            connection.abort()

    async def wait_empty(self, timeout: float) -> bool:
        """Wait until the last connection has gone; return whether that came about in time."""
        try:
            await asyncio.wait_for(self._empty.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def abort(self) -> None:
        """Cut every connection now."""
        for connection in list(self.connections):
            connection.abort()

    # --- a connection's side ---

    def opened(self, connection: Connection) -> None:
        """Note a connection; when too many are in the handshake the oldest of them gives way."""
        self.connections.add(connection)
        self._empty.clear()
        self._opening[connection] = None
        self._metrics.connections += 1
        self._metrics.connections_total += 1
        if len(self._opening) > self._config.handshakes:
            oldest = next(iter(self._opening))
            del self._opening[oldest]
            self._metrics.handshakes_refused["crowded_out"] += 1
            oldest.abort()

    def judge(self, connection: Connection, request: Request) -> tuple[HTTPStatus, str] | int:
        """Say how to answer a handshake: a refusal, or the largest message that will be accepted."""
        app_id = request.path.removeprefix(_PREFIX)
        app = self._tenants.find(app_id) if request.path.startswith(_PREFIX) else None
        if app is None:
            return self._refused(connection, "unknown_app", _NOT_FOUND)
        origins = request.headers.get_all("Origin")
        if any(origin not in app.policy.origins for origin in origins) and "*" not in app.policy.origins:
            return self._refused(connection, "origin", _FORBIDDEN)
        if self._tenants.banned(app_id, connection.address):
            return self._refused(connection, "banned", _BANNED)
        if self._tenants.full(app_id) or len(self.connections) > self._config.connections:
            return self._refused(connection, "full", _FULL)
        return max(app.limits.frame, app.limits.message, _CONTROL_MAX) + _ENVELOPE_MAX

    def accept(self, connection: Connection, request: Request) -> Receiver:
        """Make the core of a connection whose handshake is done."""
        self._opening.pop(connection, None)
        app_id = request.path.removeprefix(_PREFIX)
        agents = request.headers.get_all("User-Agent")
        return self._tenants.welcome(app_id, connection, connection.address, agents[0] if agents else "")

    def closed(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        self.connections.discard(connection)
        self._metrics.connections -= 1
        if self._opening.pop(connection, self) is None:
            self._metrics.handshakes_refused["unfinished"] += 1
        if not self.connections:
            self._empty.set()

    def _refused(
        self, connection: Connection, reason: str, answer: tuple[HTTPStatus, str]
    ) -> tuple[HTTPStatus, str]:
        self._opening.pop(connection, None)
        self._metrics.handshakes_refused[reason] += 1
        return answer
