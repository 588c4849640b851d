"""How much of an address is kept."""

from __future__ import annotations

import ipaddress
from typing import Final, Literal

__all__ = ["Kept", "kept_address", "ways_kept"]

Kept = Literal["whole", "cut", "none"]

_IPV4: Final = 24
_IPV6: Final = 48


def kept_address(address: str, kept: Kept) -> str:
    """Return an address as it is kept: whole, as its network, or not at all."""
    if kept == "none":
        return ""
    try:
        whole = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""  # what is none cannot be cut, so it is not kept
    if isinstance(whole, ipaddress.IPv6Address) and whole.ipv4_mapped is not None:
        whole = whole.ipv4_mapped
    if kept == "whole":
        return str(whole)
    return str(ipaddress.ip_network((whole, _IPV4 if whole.version == 4 else _IPV6), strict=False))


def ways_kept(address: str) -> tuple[str, ...]:
    """Return the ways in which an address may have been kept; empty for what is no address.

    A network is taken as it is: what was cut is looked for by its network.
    """
    if "/" in address:
        try:
            return (str(ipaddress.ip_network(address, strict=False)),)
        except ValueError:
            return ()
    whole = kept_address(address, "whole")
    return (whole, kept_address(address, "cut")) if whole else ()
