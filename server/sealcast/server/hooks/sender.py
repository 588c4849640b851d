"""Making a delivery: one HTTP POST, bounded in time and size, to an address that may be reached."""

from __future__ import annotations

import asyncio
import email.utils
import ssl
import time
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpcore

from sealcast.protocol.version import __version__

from .outbox import Delivery
from .reach import Reach, Unreachable
from .signature import headers

__all__ = ["URL_MAX", "Answer", "HttpSender", "Sender", "check_url", "retry_after"]

TIMEOUT: Final = 10.0
URL_MAX: Final = 2048
_READ_MOST: Final = 4096
_TOLD_MOST: Final = 200


class Answer(NamedTuple):
    """What a try came to."""

    good: bool
    said: str
    """For people: a status, or why there was none. Never what the receiver wrote."""
    retry_after: float | None = None
    gone: bool = False
    """Whether the receiver wants no more of these (410)."""


class Sender(Protocol):
    """Makes one try."""

    async def send(self, delivery: Delivery) -> Answer:
        """Make one try; never raises for what the receiver does."""
        ...


def check_url(url: str, *, insecure: bool) -> str | None:
    """Return what is wrong with an endpoint's address, or None; *insecure* allows ``http``."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > URL_MAX:
        return f"it must have at most {URL_MAX} printable ASCII characters and no space"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return "it must begin with https:// and name a host"
    if parts.scheme == "http" and not insecure:
        return "it must begin with https://; hooks.insecure allows http for tests"
    if parts.username or parts.password:
        return "it must not hold a user name or password"
    if parts.fragment or port == 0:
        return "it must not have a fragment, nor the port 0"
    return None


class HttpSender:
    """Posts deliveries.

    It follows no redirect, and connects to public addresses only unless *private* ones are allowed: what is
    configured as an endpoint must not become a way into the network that the relay stands in.

    Args:
        private: whether loopback and private addresses may be reached.
        timeout: seconds that a try may take.
        authorities: a PEM file of issuers to trust in place of the system's.

    """

    def __init__(self, *, private: bool = False, timeout: float = TIMEOUT, authorities: str = "") -> None:
        self._timeout = timeout
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(cafile=authorities or None),
            max_connections=64,
            max_keepalive_connections=32,
            keepalive_expiry=30.0,
            network_backend=Reach(private=private),
        )

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._pool.aclose()

    async def send(self, delivery: Delivery) -> Answer:
        """Make one try; never raises for what the receiver does."""
        endpoint, event = delivery.endpoint, delivery.event
        body = event.body
        sent = {
            "host": urlsplit(endpoint.url).netloc,
            "user-agent": f"sealcast/{__version__}",
            "content-type": "application/json",
            "content-length": str(len(body)),
            "accept": "*/*",
            **headers(event.id, int(time.time()), body, endpoint.secrets),
        }
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(endpoint.url, list(sent.items()), body)
        except (TimeoutError, httpcore.TimeoutException):
            return Answer(False, f"no answer within {self._timeout:g} s")
        except ssl.SSLError as error:
            return Answer(False, f"TLS: {error.reason or 'failed'}"[:_TOLD_MOST])
        except (
            httpcore.NetworkError,
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            OSError,
            ValueError,
        ) as error:
            return Answer(False, _told(error))

    async def _post(self, url: str, sent: Sequence[tuple[str, str]], body: bytes) -> Answer:
        async with self._pool.stream("POST", url, headers=sent, content=body) as response:
            read = 0
            async for part in response.aiter_stream():
                read += len(part)
                if read >= _READ_MOST:
                    break
            return _answer(response)


def _told(error: BaseException) -> str:
    """Say what went wrong: our own words, or those of the system, never the receiver's."""
    if isinstance(error, Unreachable):
        return str(error)
    if isinstance(error, httpcore.ConnectError):
        return f"no connection: {error}"[:_TOLD_MOST]
    return f"the connection failed: {type(error).__name__}"


def _answer(response: httpcore.Response) -> Answer:
    status = response.status
    if 200 <= status < 300:
        return Answer(True, str(status))
    return Answer(False, str(status), retry_after(_header(response, b"retry-after")), status == 410)


def _header(response: httpcore.Response, name: bytes) -> str:
    found = (value for each, value in response.headers if each.lower() == name)
    return next(found, b"").decode("ascii", "replace")


def retry_after(text: str) -> float | None:
    """Read the header (RFC 9110 §10.2.3): seconds, or a date."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
