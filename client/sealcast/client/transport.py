"""Opening a WebSocket for sealcast.1, and saying in our words why one did not open or has closed."""

from __future__ import annotations

import asyncio
import email.utils
import logging
import ssl as tls
import time
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
)
from websockets.typing import Subprotocol

from sealcast.protocol.codes import Code, end, returns
from sealcast.protocol.controls import SERVER_CONTROL_MAX, Side, Welcome
from sealcast.protocol.errors import RemoteProtocolError
from sealcast.protocol.names import SUBPROTOCOL
from sealcast.protocol.session import Machine
from sealcast.protocol.version import __version__

from .address import Address
from .errors import ConnectFailed
from .options import Options
from .reasons import closed_with

__all__ = ["ConnectRefused", "abort", "end_of", "greeting", "open_socket", "reject", "shut", "worth_retrying"]

CLOSE_TIMEOUT: Final = 2.0
"""Seconds that a server has to take part in the closing handshake."""

# The library's debug log shows the start of every message, and a join starts with its token. A logger
# outside the hierarchy cannot be switched on by an application's logging configuration.
_SILENT = logging.Logger("sealcast.client.websocket", logging.CRITICAL + 1)

_RETRIED = frozenset({408, 425, 429})
_ADVICE: Final = {
    400: "it does not take sealcast.1 here; check the URL, and that server and SDK are of one generation",
    401: "something before the relay asks for a login; check the URL and the proxy",
    403: "it does not admit this origin or address; ask its operator",
    404: "it admits no such app; check the App ID and the path of the URL",
    429: "too many attempts; wait before the next one",
    503: "it is full or going away; wait before the next attempt",
}


class ConnectRefused(ConnectFailed):
    """A server was there and said no.

    ``temporary`` says whether the same attempt may succeed later, ``retry_after`` after how many
    seconds, when the server named a time.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        temporary: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail, status=status)
        self.temporary = temporary
        self.retry_after = retry_after


def worth_retrying(error: ConnectFailed) -> bool:
    """Say whether an attempt that failed like this may succeed later."""
    return not isinstance(error, ConnectRefused) or error.temporary


async def open_socket(
    address: Address, options: Options, ssl: tls.SSLContext | None, proxy: str | bool | None
) -> ClientConnection:
    """Open a WebSocket.

    Raises:
        ConnectRefused: the server answered, and not with a connection.
        ConnectFailed: there was no answer.

    """
    # Without the argument the library takes the system's certificates for wss; None would mean no TLS.
    tls_options: dict[str, Any] = {} if ssl is None else {"ssl": ssl}
    try:
        socket = await connect(
            address.uri,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=SERVER_CONTROL_MAX,
            open_timeout=options.connect_timeout,
            ping_interval=options.heartbeat,
            ping_timeout=options.heartbeat,
            close_timeout=CLOSE_TIMEOUT,
            user_agent_header=f"sealcast/{__version__}",
            logger=_SILENT,
            proxy=True if proxy is True else proxy or None,
            **tls_options,
        )
    except InvalidStatus as refusal:
        raise _refused(refusal) from None
    except TimeoutError:
        raise ConnectFailed(
            f"the server did not answer within {options.connect_timeout:g} s;"
            " check its address and that it runs"
        ) from None
    except NegotiationError:
        raise ConnectRefused("the server answered with another subprotocol than sealcast.1") from None
    except (InvalidURI, InvalidProxy) as error:
        raise ConnectRefused("the URL of the server, or of the proxy, cannot be used") from error
    except InvalidHandshake:
        # The cause would quote what the peer sent.
        raise ConnectFailed("what answers there is not a WebSocket server; check host and port") from None
    except tls.SSLCertVerificationError as error:
        raise ConnectFailed(
            "the server's certificate is not trusted; give an ssl context that trusts its issuer"
        ) from error
    except tls.SSLError as error:
        raise ConnectFailed("no TLS connection came about; does the server speak TLS there?") from error
    except ImportError as error:
        raise ConnectRefused("a SOCKS proxy needs python-socks: pip install python-socks[asyncio]") from error
    except (ConnectionResetError, ConnectionAbortedError) as error:
        raise ConnectFailed(
            "what answers there broke the connection off; is it a relay, and does it speak TLS there or not?"
        ) from error
    except (OSError, UnicodeError) as error:
        raise ConnectFailed from error
    if socket.subprotocol != SUBPROTOCOL:
        await abort(socket)
        raise ConnectRefused(
            "the server did not agree to the subprotocol sealcast.1; it is not a relay of ours"
        )
    return socket


async def greeting(socket: ClientConnection, options: Options, last_ref: int = 0) -> tuple[Machine, Welcome]:
    """Wait for the server's ``welcome``; return it with the machine that has taken it.

    Refs of requests go on after *last_ref*.

    Raises:
        ConnectRefused: the server closed the connection, or said something else.
        ConnectFailed: it said nothing.

    """
    clock = asyncio.get_running_loop().time
    machine = Machine(Side.CLIENT, clock(), last_ref=last_ref)
    try:
        async with asyncio.timeout(options.connect_timeout):
            data = await socket.recv()
        if isinstance(data, str):
            raise RemoteProtocolError("a text message")
        control = machine.receive(data, clock()).control
        assert isinstance(control, Welcome), "the machine takes nothing else first"
    except ConnectionClosed as closed:
        code = end_of(closed)
        raise ConnectRefused(
            f"the server closed the connection at once ({code}: {code.message})",
            temporary=returns(code.number),
        ) from None
    except TimeoutError:
        await abort(socket)
        raise ConnectFailed(f"the server said nothing within {options.connect_timeout:g} s") from None
    except RemoteProtocolError as error:
        broken = end("protocol_error")
        await reject(socket, broken.number, broken.name)
        raise ConnectRefused(f"the server does not speak sealcast.1: {error}") from None
    except asyncio.CancelledError:
        await abort(socket)
        raise
    return machine, control


def end_of(closed: ConnectionClosed) -> Code:
    """Return the code that says why a WebSocket has closed, whichever side began."""
    theirs, ours = closed.rcvd, closed.sent
    if theirs is not None and (ours is None or closed.rcvd_then_sent):
        return closed_with(theirs.code, theirs.reason)
    if ours is None:
        return end("connection_lost")
    if ours.code == 1011:
        # The library's ping went unanswered.
        return end("heartbeat_timeout")
    if ours.code == 1009:
        return end("too_big")
    return closed_with(ours.code, ours.reason) if ours.code >= 4000 else end("protocol_error")


async def shut(socket: ClientConnection, code: int, reason: str) -> None:
    """Close with a handshake that takes ``CLOSE_TIMEOUT`` at most; then the connection is dropped."""
    try:
        # The library bounds the wait for the peer's close frame, but not for room to send ours.
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await socket.close(code, reason)
    except TimeoutError:
        await abort(socket)


async def reject(socket: ClientConnection, code: int, reason: str) -> None:
    """Close a connection that nobody reads any more, because the server broke the protocol.

    What still comes is thrown away: unread, it would hide the server's close frame.
    """
    closing = asyncio.get_running_loop().create_task(shut(socket, code, reason))
    try:
        while True:
            await socket.recv()
    except ConnectionClosed:
        await closing
    finally:
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)


async def abort(socket: ClientConnection) -> None:
    """Drop the connection without a closing handshake; return when it is gone."""
    socket.transport.abort()
    await socket.wait_closed()


def _refused(refusal: InvalidStatus) -> ConnectRefused:
    status = refusal.response.status_code
    temporary = status >= 500 or status in _RETRIED
    advice = _ADVICE.get(status)
    if advice is None:
        advice = "it may work later" if temporary else "check that the URL names a relay"
    wait = _seconds(refusal.response.headers.get("Retry-After")) if temporary else None
    named = f" (retry after {wait:g} s)" if wait is not None else ""
    return ConnectRefused(
        f"the server answered HTTP {status}: {advice}{named}",
        status=status,
        temporary=temporary,
        retry_after=wait,
    )


def _seconds(text: str | None) -> float | None:
    """Read a Retry-After header (RFC 9110 §10.2.3): seconds or a date; None when it is neither."""
    if text is None or len(text) > 64:
        return None
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, round(email.utils.parsedate_to_datetime(text).timestamp() - time.time(), 1))
    except (ValueError, OverflowError, OSError):
        return None
