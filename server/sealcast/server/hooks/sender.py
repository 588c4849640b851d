"""Making a delivery: one HTTP POST, bounded in time and size, to an address that may be reached."""

from __future__ import annotations

import asyncio
import email.utils
import ipaddress
import socket
import time
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx

from sealcast.protocol.version import __version__

from .outbox import Delivery
from .signature import headers

__all__ = ["Answer", "HttpSender", "Sender", "check_url"]

TIMEOUT: Final = 10.0
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
        node: this process's name, which stands in the body.
        private: whether loopback and private addresses may be reached.

    """

    def __init__(self, node: str, *, private: bool = False) -> None:
        self._node = node
        self._private = private
        self._client = httpx.AsyncClient(
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=64, max_keepalive_connections=16),
            headers={"user-agent": f"sealcast/{__version__}", "content-type": "application/json"},
        )

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._client.aclose()

    async def send(self, delivery: Delivery) -> Answer:
        """Make one try; never raises for what the receiver does."""
        endpoint, event = delivery.endpoint, delivery.event
        body = event.body(self._node)
        signed = headers(event.id, int(time.time()), body, endpoint.secrets)
        try:
            async with asyncio.timeout(TIMEOUT):
                if not self._private:
                    await self._check_reachable(endpoint.url)
                async with self._client.stream(
                    "POST", endpoint.url, content=body, headers=signed
                ) as response:
                    read = 0
                    async for part in response.aiter_raw(_READ_MOST):
                        read += len(part)
                        if read >= _READ_MOST:
                            break
                    return _answer(response)
        except TimeoutError:
            return Answer(False, f"no answer within {TIMEOUT:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, _Unreachable) as error:
            return Answer(False, (str(error) or type(error).__name__)[:_TOLD_MOST])

    async def _check_reachable(self, url: str) -> None:
        host = urlsplit(url).hostname or ""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        for *_, address in found:
            if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_global:
                raise _Unreachable("its name leads to a private address; hooks.private allows that")


class _Unreachable(Exception):
    """An address that must not be connected to."""


def _answer(response: httpx.Response) -> Answer:
    status = response.status_code
    if 200 <= status < 300:
        return Answer(True, str(status))
    return Answer(False, str(status), _retry_after(response.headers.get("retry-after", "")), status == 410)


def _retry_after(text: str) -> float | None:
    """Read the header (RFC 9110 §10.2.3): seconds, or a date."""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
