"""Networks as rules name them, as numbers that an index can look for."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

from .networks import address_of

__all__ = ["NETWORK_MAX", "Network", "network", "place_of"]

NETWORK_MAX: Final = 64
"""Characters of a network as text, at most."""

_ONE_PEER: Final = 64
"""Bits of the IPv6 network that one peer has."""


class Network(NamedTuple):
    """A network: version of IP, bits of its prefix, and the prefix as a number."""

    version: int
    bits: int
    prefix: int

    def __str__(self) -> str:
        size = 32 if self.version == 4 else 128
        number = self.prefix << (size - self.bits)
        base = ipaddress.IPv4Address(number) if self.version == 4 else ipaddress.IPv6Address(number)
        return str(base) if self.bits == size else f"{base}/{self.bits}"


def network(text: str) -> Network:
    """Return the network that *text* names: ``192.0.2.7``, ``192.0.2.0/24``, ``2001:db8::/32``.

    One IPv6 address stands for the /64 that it is in, which is what one peer has; ``/128`` is taken
    literally. Bits behind the prefix do not matter, and an IPv4 address may be written as IPv6.

    Raises:
        ValueError: it names none.

    """
    address, slash, bits = text.strip().partition("/")
    version, number = place_of(address)
    if not version or "%" in address:
        raise ValueError("should be an address, or a network such as 192.0.2.0/24")
    size = 32 if version == 4 else 128
    if not slash:
        length = size if version == 4 else _ONE_PEER
    elif bits.isascii() and bits.isdigit() and len(bits) <= 3:
        length = int(bits)
        if version == 4 and ":" in address:
            length -= 96  # ::ffff:192.0.2.0/120 is 192.0.2.0/24
    else:
        length = -1
    if not 0 <= length <= size:
        raise ValueError("should be an address, or a network such as 192.0.2.0/24")
    return Network(version, length, number >> (size - length))


def place_of(address: str) -> tuple[int, int]:
    """Return the version of an address and its number; version 0 for a text that is none.

    An IPv4 address that comes in the clothes of IPv6 is one of IPv4.
    """
    parsed = address_of(address)
    return (0, 0) if parsed is None else (parsed.version, int(parsed))
