"""Whom a proxy says a request comes from: ``X-Forwarded-For`` and ``Forwarded`` (RFC 7239).

Anybody can send these headers. Each proxy adds what it knows at the end, so they are read from the end: as
long as it was a trusted proxy that wrote an entry, the entry is believed, and the first address that is no
trusted proxy is the client. What stands before that is the client's own word, and never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from ..networks import Address, Networks, address_of

__all__ = ["client_of"]

_HOPS_MAX: Final = 32
_NODE: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::\d{1,5})?|(\d{1,3}(?:\.\d{1,3}){3})(?::\d{1,5})?")
"""An address with or without a port; one of IPv6 in brackets."""
_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"\\]*)"|([^\s;"]+))\s*(?=;|$)', re.IGNORECASE)


def client_of(values: Iterable[str], header: str, trusted: Networks) -> Address | None:
    """Return the client's address, or None when the trusted proxies do not say it.

    Args:
        values: the values of all such headers, in order.
        header: ``x-forwarded-for`` or ``forwarded``.
        trusted: the proxies.

    """
    joined = ",".join(values)
    entries = _from_the_end(joined) if header == "forwarded" else reversed(joined.split(","))
    last = None
    for _, entry in zip(range(_HOPS_MAX), entries, strict=False):
        text = entry.strip()
        if header == "forwarded":
            found = _FOR.findall(text)
            text = "".join(found[0]) if len(found) == 1 else ""
        address = _node(text)
        if address is None:
            return last
        last = address
        if address not in trusted:
            return address
    return last


def _node(text: str) -> Address | None:
    match = _NODE.fullmatch(text)
    return address_of(text if match is None else match[1] or match[2])


def _from_the_end(text: str) -> Iterator[str]:
    """Split at the commas that are not in quotes, from the end, where no client has left a quote open."""
    end, quoted = len(text), False
    for place in range(len(text) - 1, -1, -1):
        char = text[place]
        if char == '"' and text[place - 1 : place] != "\\":
            quoted = not quoted
        elif char == "," and not quoted:
            yield text[place + 1 : end]
            end = place
    yield text[:end]
