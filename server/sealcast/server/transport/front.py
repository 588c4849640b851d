"""What comes before TLS and HTTP: is the address welcome at all, and what does the proxy say before it.

Used where there is TLS or a PROXY header; elsewhere the loop's own server is good enough. A blocked address
is closed as soon as it is accepted, and costs no handshake of TLS. The header stands in clear before TLS; it
is read from the socket to its last byte and not one further, as the loops' transports would do.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Final, Protocol

from ..clock import Clock, TimingWheel
from ..logs import logger
from .proxy_header import BadProxyHeader, client_in, missing
from .websocket import Connection

__all__ = ["Acceptor", "Front", "Gate", "listening"]

_AT_ONCE: Final = 64
"""Connections that are accepted in one turn of the loop."""
_PAUSE: Final = 1.0
"""Seconds without accepting anybody when the system has no file left for one more."""
_SCARCE: Final = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Gate(Protocol):
    """What a front asks of its listener."""

    clock: Clock
    wheel: TimingWheel
    handshake: float
    close: float

    def arrived(self, front: Front) -> bool:
        """Note what has come in at the port; False: it is not to be taken."""
        ...

    def trusts(self, address: str) -> bool:
        """Whether this is a proxy that is believed."""
        ...

    def admits(self, address: str) -> bool:
        """Whether the address that a proxy has named may come in."""
        ...

    def passed(self, front: Front, address: str) -> Connection:
        """Make the connection of what is past that; it takes the same place in the handshake."""
        ...

    def gave_up(self, front: Front, offence: str) -> None:
        """Note that something has ended before it was a connection."""
        ...


async def listening(host: str, port: int, backlog: int) -> list[socket.socket]:
    """Return sockets that listen on all addresses of a host. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            sock = socket.socket(family, socket.SOCK_STREAM)
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(backlog)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


class Acceptor:
    """Accepts connections, and hands over each with its address.

    Args:
        sockets: those that listen.
        take: called with a connection's socket and address.

    """

    def __init__(self, sockets: list[socket.socket], take: Callable[[socket.socket, str], object]) -> None:
        self._sockets = sockets
        self._take = take
        self._resuming: asyncio.TimerHandle | None = None
        self._watch()

    def close(self) -> None:
        """Accept nobody any more."""
        if self._resuming is not None:
            self._resuming.cancel()
        else:
            self._look_away()
        for sock in self._sockets:
            sock.close()

    def _watch(self) -> None:
        self._resuming = None
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.add_reader(sock.fileno(), self._accept, sock)

    def _look_away(self) -> None:
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock.fileno())

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in _SCARCE:
                    logger.error("no connection can be accepted for now", reason=error.strerror)
                    self._look_away()
                    self._resuming = asyncio.get_running_loop().call_later(_PAUSE, self._watch)
                return
            sock.setblocking(False)
            self._take(sock, address[0])


class Front:
    """One TCP connection until it is a plain stream of the client's bytes.

    Args:
        gate: the listener.
        sock: the connection.
        address: the other end's.
        tls: what TLS is done with; None for none.
        proxied: whether trusted proxies say first who their client is.

    """

    def __init__(
        self, gate: Gate, sock: socket.socket, address: str, tls: ssl.SSLContext | None, proxied: bool
    ) -> None:
        self._gate = gate
        self._sock = sock
        self._tls = tls
        self._header = b""
        self._reading = False
        self._handing: asyncio.Task[None] | None = None
        self._offence = "unfinished_handshake"
        self.due: float | None = None
        self.connection: Connection | None = None
        """What becomes of it; the listener's."""
        self.address = address
        """The other end's; the client's once a proxy has named one."""
        if not gate.arrived(self):
            sock.close()
            return
        gate.wheel.schedule(self, gate.clock.monotonic() + gate.handshake)
        if proxied and gate.trusts(address):
            self._reading = True
            asyncio.get_running_loop().add_reader(sock.fileno(), self._read)
        else:
            self._go_on()

    def on_time(self, now: float) -> float | None:
        """It took too long."""
        self._offence = "slow_handshake"
        self.abort()
        return None

    def abort(self) -> None:
        """Cut it now."""
        if self._handing is not None:
            self._handing.cancel()
            return
        self._look_away()
        self._sock.close()
        self._over()

    def _over(self) -> None:
        self._gate.wheel.schedule(self, None)
        self._gate.gave_up(self, self._offence)

    # --- the header of the PROXY protocol ---

    def _read(self) -> None:
        try:
            while more := missing(self._header):
                data = self._sock.recv(more)
                if not data:
                    self.abort()
                    return
                self._header += data
            client = client_in(self._header)
        except (BlockingIOError, InterruptedError):
            return
        except (BadProxyHeader, OSError):
            self._offence = "bad_handshake"
            self.abort()
            return
        if client is not None:
            self.address = str(client)
            if not self._gate.admits(self.address):
                self._offence = ""
                self.abort()
                return
        self._look_away()
        self._go_on()

    def _look_away(self) -> None:
        if self._reading:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._sock.fileno())

    # --- TLS ---

    def _go_on(self) -> None:
        # The loops have no way to TLS without a task; it ends with the handshake.
        self._handing = asyncio.get_running_loop().create_task(self._hand_over())

    async def _hand_over(self) -> None:
        gate, timed = self._gate, self._tls is not None
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: gate.passed(self, self.address),
                self._sock,
                ssl=self._tls,
                ssl_handshake_timeout=gate.handshake if timed else None,
                ssl_shutdown_timeout=gate.close if timed else None,
            )
        except asyncio.CancelledError:
            self._over()
        except OSError:  # of TLS and of time, too
            self._offence = "tls_failed"
            self._over()
        else:
            gate.wheel.schedule(self, None)
        finally:
            self._handing = None
