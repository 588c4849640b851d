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
from ..limits import Shortage
from ..logs import logger
from ..metrics import Metrics
from ..warden import Warden
from .door import Door, Refusal
from .forwarded import client_of
from .front import Acceptor, Front, listening
from .tls import Certificate
from .websocket import Connection

__all__ = ["Listener", "Tenants"]

_PREFIX: Final = "/v1/"
_NOT_FOUND: Final = Refusal(HTTPStatus.NOT_FOUND, "no such app here; connect to /v1/{app_id}\n")
_FORBIDDEN: Final = Refusal(HTTPStatus.FORBIDDEN, "this origin is not allowed here\n")
_BANNED: Final = Refusal(HTTPStatus.FORBIDDEN, "this address is banned here; ask who runs the app\n")
_KEPT_OUT: Final = {
    "denied": Refusal(HTTPStatus.FORBIDDEN, "this address is not allowed here\n"),
    # Who shares the address with an offender is to come back: clients stay away after a 403.
    "blocked": Refusal(HTTPStatus.TOO_MANY_REQUESTS, "this address is kept out for a while\n", 60.0),
}
_FULL: Final = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "no room now; come back later\n", 5.0)
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

    def knock(self, app_id: str) -> Shortage | None:
        """Ask for one more connection of the app; None: it may come in."""
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
        warden: judges addresses.

    Raises:
        CertificateUnusable: there is to be TLS, and its files cannot be used.

    """

    def __init__(
        self,
        config: ServerConfig,
        tenants: Tenants,
        clock: Clock,
        wheel: TimingWheel,
        metrics: Metrics,
        warden: Warden,
    ) -> None:
        self.clock = clock
        self.wheel = wheel
        self.handshake = config.handshake
        self.close = config.close
        self.connections: set[Connection] = set()
        self._config = config
        self._tenants = tenants
        self._metrics = metrics
        self._warden = warden
        self._opening: dict[Connection | Front, str] = {}
        """What is in the handshake, oldest first, and what its address is counted under."""
        self._knocking: dict[str, int] = {}
        self._fronts: dict[Connection, Front] = {}
        """Those whose connection has been made, but has not begun."""
        self._warned: set[str] = set()
        self._server: asyncio.Server | Acceptor | None = None
        self._certificate = (
            Certificate(config.tls_certificate, config.tls_key, logger.warning) if config.tls_key else None
        )
        self._empty = asyncio.Event()
        self._empty.set()

    async def start(self) -> tuple[str, int]:
        """Listen; return the address and port taken. Raises OSError when they are not to be had."""
        loop = asyncio.get_running_loop()
        config, certificate = self._config, self._certificate
        proxied = config.proxy_protocol == "required"
        context = None if certificate is None else certificate.context
        if context is None and not proxied:
            make: Callable[[], Connection] = lambda: Connection(self)  # noqa: E731
            server = await loop.create_server(make, config.host, config.port, backlog=config.backlog)
            host, port = server.sockets[0].getsockname()[:2]
            self._server = server
        else:
            sockets = await listening(config.host, config.port, config.backlog)
            host, port = sockets[0].getsockname()[:2]
            self._server = Acceptor(
                sockets, lambda sock, address: Front(self, sock, address, context, proxied)
            )
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

    # --- what comes before a connection ---

    def arrived(self, front: Front) -> bool:
        """Note what has come in at the port; False: it is not to be taken."""
        return self._begun(front)

    def trusts(self, address: str) -> bool:
        """Whether this is a proxy that is believed."""
        return self._warden.trusts(address)

    def admits(self, address: str) -> bool:
        """Whether the address that a proxy has named may come in."""
        return not self._kept_out(address)

    def passed(self, front: Front, address: str) -> Connection:
        """Make the connection of what is past that; it takes the same place in the handshake."""
        connection = front.connection = Connection(self, address)
        self._fronts[connection] = front
        return connection

    def gave_up(self, front: Front, offence: str) -> None:
        """Note that something has ended before it was a connection."""
        if front.connection is not None:
            self._fronts.pop(front.connection, None)
        if front in self._opening:
            self._over(front)
            if offence:
                self._metrics.handshakes_refused["unfinished"] += 1
                self._warden.offend(front.address, offence)

    # --- a connection's side ---

    def opened(self, connection: Connection) -> bool:
        """Note a connection; when too many are in the handshake the oldest of them gives way."""
        front = self._fronts.pop(connection, None)
        if front is not None:
            self._over(front)
        if not self._begun(connection):
            return False
        self.connections.add(connection)
        self._empty.clear()
        self._metrics.connections += 1
        self._metrics.connections_total += 1
        return True

    def judge(self, connection: Connection, request: Request) -> Refusal | int:
        """Say how to answer a handshake: a refusal, or the largest message that will be accepted."""
        self._look_behind_proxies(connection, request)
        key, refusal = self._warden.standing(connection.address)
        if refusal:
            return self._refused(connection, refusal, _KEPT_OUT[refusal])
        shortage = self._warden.knock(key)
        if shortage is not None:
            return self._limited(connection, shortage)
        app_id = request.path.removeprefix(_PREFIX)
        app = self._tenants.find(app_id) if request.path.startswith(_PREFIX) else None
        if app is None:
            if request.path != "/":  # where load balancers and passers-by look
                self._warden.offend(connection.address, "unknown_app")
            return self._refused(connection, "unknown_app", _NOT_FOUND)
        origins = request.headers.get_all("Origin")
        if any(origin not in app.policy.origins for origin in origins) and "*" not in app.policy.origins:
            return self._refused(connection, "origin", _FORBIDDEN)
        if self._tenants.banned(app_id, connection.address):
            return self._refused(connection, "banned", _BANNED)
        if self._tenants.full(app_id) or len(self.connections) > self._config.connections:
            return self._refused(connection, "full", _FULL)
        shortage = self._tenants.knock(app_id)
        if shortage is not None:
            return self._limited(connection, shortage)
        connection.key = key
        return max(app.limits.frame, app.limits.message, _CONTROL_MAX) + _ENVELOPE_MAX

    def accept(self, connection: Connection, request: Request) -> Receiver:
        """Make the core of a connection whose handshake is done."""
        self._over(connection)
        self._warden.enter(connection.key)
        app_id = request.path.removeprefix(_PREFIX)
        agents = request.headers.get_all("User-Agent")
        return self._tenants.welcome(app_id, connection, connection.address, agents[0] if agents else "")

    def closed(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        self.connections.discard(connection)
        self._metrics.connections -= 1
        if connection in self._opening:
            self._over(connection)
            self._metrics.handshakes_refused["unfinished"] += 1
        if connection.offence:
            self._warden.offend(connection.address, connection.offence)
        if connection.established:
            self._warden.leave(connection.key)
        if not self.connections:
            self._empty.set()

    # --- inside ---

    def _begun(self, one: Connection | Front) -> bool:
        standing = self._warden.standing(one.address)
        if standing.refusal:
            self._metrics.handshakes_refused[standing.refusal] += 1
            return False
        key, most = standing.key, self._warden.rules.handshakes_per_address
        if key and 0 < most <= self._knocking.get(key, 0):
            self._metrics.handshakes_refused["handshakes_per_address"] += 1
            self._warden.offend(one.address, "too_many_handshakes")
            return False
        self._opening[one] = key
        if key:
            self._knocking[key] = self._knocking.get(key, 0) + 1
        if len(self._opening) > self._config.handshakes:
            oldest = next(iter(self._opening))
            self._over(oldest)
            self._metrics.handshakes_refused["crowded_out"] += 1
            oldest.abort()
        return True

    def _over(self, one: Connection | Front) -> None:
        key = self._opening.pop(one, "")
        if key:
            left = self._knocking[key] - 1
            if left:
                self._knocking[key] = left
            else:
                del self._knocking[key]

    def _kept_out(self, address: str) -> bool:
        refusal = self._warden.standing(address).refusal
        if refusal:
            self._metrics.handshakes_refused[refusal] += 1
        return bool(refusal)

    def _look_behind_proxies(self, connection: Connection, request: Request) -> None:
        """Put the client's address in the place of a trusted proxy's."""
        header = self._warden.rules.forwarded
        if header == "none":
            return
        values = request.headers.get_all(header)
        if not self._warden.trusts(connection.address):
            if values:
                self._warn("a header about clients was ignored: guard.trusted_proxies has not who sent it")
            return
        client = client_of(values, header, self._warden.trusted) if values else None
        if client is None:
            self._warn("a trusted proxy does not say who its clients are, so they are all taken for it")
        else:
            connection.address = str(client)

    def _warn(self, text: str) -> None:
        """Say something once: what a client can bring about must not fill a log."""
        if text not in self._warned:
            self._warned.add(text)
            logger.warning(text, header=self._warden.rules.forwarded)

    def _limited(self, connection: Connection, shortage: Shortage) -> Refusal:
        self._metrics.limited[shortage.limit] += 1
        if shortage.limit.endswith("_address"):
            self._warden.offend(connection.address, "too_many_connections")
        text = f"too many connections ({shortage.limit}); wait as Retry-After says\n"
        refusal = Refusal(HTTPStatus.TOO_MANY_REQUESTS, text, shortage.wait)
        return self._refused(connection, "rate_limited", refusal)

    def _refused(self, connection: Connection, reason: str, answer: Refusal) -> Refusal:
        self._over(connection)
        self._metrics.handshakes_refused[reason] += 1
        return answer
