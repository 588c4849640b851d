"""Addresses and networks of them: one spelling for each, and whether one lies in the other.

What comes from a socket, a header or a configuration may be spelled in many ways, and an IPv4 address may
come as an IPv6 one (``::ffff:192.0.2.1``). Whatever counts or compares addresses goes through here first.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from typing import Final

__all__ = ["Address", "Network", "Networks", "address_of", "key_of", "network_of", "spelled"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TEXT_MAX: Final = 64
_CACHED: Final = 4096
"""An address is asked about several times while it connects, and to understand it takes longest."""
_MAPPED: Final = 96
"""Bits before the IPv4 address in an IPv6 one that only stands for it."""


def address_of(text: str) -> Address | None:
    """Return the address that this text is, or None; a zone (``%eth0``) is left out."""
    return None if len(text) > _TEXT_MAX else _parsed(text)  # what is long is not kept in the cache either


@functools.lru_cache(_CACHED)
def _parsed(text: str) -> Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found


def network_of(text: str) -> Network:
    """Return the network that this text is: ``192.0.2.0/24``, or one address.

    Raises:
        ValueError: it is none, or has bits set behind its prefix, which is more often a slip than meant.

    """
    if len(text) > _TEXT_MAX:
        raise ValueError("should be an address or a network such as 192.0.2.0/24")
    try:
        found = ipaddress.ip_network(text)
    except ValueError:
        try:
            meant = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError("should be an address or a network such as 192.0.2.0/24") from None
        raise ValueError(f"has bits behind its prefix; {meant} is the network") from None
    if isinstance(found, ipaddress.IPv6Network) and found.prefixlen >= _MAPPED:
        plain = found.network_address.ipv4_mapped
        if plain is not None:
            return ipaddress.ip_network((plain, found.prefixlen - _MAPPED))
    return found


def spelled(network: Network) -> str:
    """Return the one way in which a network is written: that of one address is the address."""
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address if single else network)


def key_of(address: Address, v4: int = 32, v6: int = 64) -> str:
    """Return what an address is counted under: the network of so many bits that it lies in."""
    most, bits = (32, v4) if isinstance(address, ipaddress.IPv4Address) else (128, v6)
    return _key(int(address) >> (most - bits), most, bits)


@functools.lru_cache(_CACHED)
def _key(number: int, most: int, bits: int) -> str:
    kind = ipaddress.IPv4Address if most == 32 else ipaddress.IPv6Address
    first = kind(number << (most - bits))
    return str(first) if bits == most else f"{first}/{bits}"


class Networks:
    """A set of networks that is asked whether an address lies in one of them.

    To ask takes one look for each length of prefix that there is, however many networks there are.
    """

    __slots__ = ("_by_bits",)

    def __init__(self, networks: Iterable[str | Network] = ()) -> None:
        self._by_bits: dict[tuple[int, int], dict[int, str]] = {}
        for each in networks:
            network = network_of(each) if isinstance(each, str) else each
            shift = network.max_prefixlen - network.prefixlen
            found = self._by_bits.setdefault((network.version, shift), {})
            found[int(network.network_address) >> shift] = spelled(network)

    def __bool__(self) -> bool:
        return bool(self._by_bits)

    def __contains__(self, address: Address) -> bool:
        return self.find(address) is not None

    def find(self, address: Address) -> str | None:
        """Return a network that the address lies in, or None."""
        if not self._by_bits:
            return None
        number, own = int(address), 4 if isinstance(address, ipaddress.IPv4Address) else 6
        for (version, shift), found in self._by_bits.items():
            if version == own and number >> shift in found:
                return found[number >> shift]
        return None
