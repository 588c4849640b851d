"""Which addresses a delivery may go to, and connections to exactly those.

A name is looked up once: what was checked is what is connected to, so that a name that leads elsewhere a
moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any, Final

import httpcore

__all__ = ["Reach", "Unreachable", "is_public"]

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NAMED_MOST: Final = 8


class Unreachable(httpcore.ConnectError):
    """An address that must not be connected to, or a name that leads nowhere."""


def is_public(text: str) -> bool:
    """Say whether this is an address of the internet at large, also of one that it is a wrapping for."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(address.packed[-4:]))
        wrapped = [each for each in inner if each is not None]
        if wrapped:
            return all(is_public(str(each)) for each in wrapped)
    return address.is_global and not address.is_multicast


class Reach(httpcore.AsyncNetworkBackend):
    """Connects to the address that was checked.

    Args:
        private: whether loopback and private addresses may be reached.

    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the name up, and connect to the first of its addresses that answers. Raises Unreachable."""
        failure: httpcore.NetworkError | httpcore.TimeoutException | None = None
        for address in await self._addresses(host, port):
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
        raise failure or Unreachable("its name has no address")

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no webhook is there."""
        raise Unreachable("not a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Unreachable("its name cannot be looked up") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))[:_NAMED_MOST]
        # One that is private among several is a trap, not a choice.
        if not self._private and not all(map(is_public, addresses)):
            raise Unreachable("its name leads to a private address; hooks.private allows that")
        return addresses
