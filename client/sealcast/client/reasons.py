"""From a number and a name on the wire to a row of the code table.

What a server of a newer version says is kept as far as it is harmless: the number, and the name if it
looks like one. Its text is not: an application shows errors to people and writes them to logs.
"""

from __future__ import annotations

import re
from typing import Final

from sealcast.protocol.codes import Code, by_number, end
from sealcast.protocol.controls import Error
from sealcast.protocol.errors import InvalidName
from sealcast.protocol.names import user_id

__all__ = ["closed_with", "ended_with", "plain_name", "plain_user", "refused_with", "returns_to_channel"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_UNKNOWN = "this version of the SDK does not know this code"

_STANDARD: Final = {
    1000: Code(1000, "closed", "the server closed the connection"),
    1001: Code(1001, "going_away", "the server is going away; reconnect"),
    1002: Code(1002, "protocol_error", "the server took what was sent for a breach of WebSocket"),
    1006: end("connection_lost"),
    1009: Code(1009, "too_big", "the server refused a message for its size"),
    1011: Code(1011, "internal_error", "the server failed on its side; reconnect"),
    1012: Code(1012, "restarting", "the server restarts; reconnect"),
    1013: Code(1013, "try_later", "the server is overloaded; reconnect later"),
}


def plain_name(text: str) -> str:
    """Return a name that came from the network if it looks like one, else ``unknown``."""
    return text if _NAME.fullmatch(text) else "unknown"


def plain_user(text: str) -> str:
    """Return a user's name that came from the network if it can be one, else nothing."""
    try:
        return user_id(text)
    except InvalidName:
        return ""


def _code(number: int, name: str, temporary: bool = False) -> Code:
    known = by_number(number)
    if known is not None:
        return known
    return Code(number, plain_name(name), _UNKNOWN, temporary)


def closed_with(number: int, reason: str) -> Code:
    """Return the code of a WebSocket close (RFC 6455 §7.4) with this number and reason."""
    return _STANDARD.get(number) or _code(number, reason)


def ended_with(number: int, name: str) -> Code:
    """Return the code of a ``left`` control."""
    return _code(number, name)


def refused_with(error: Error) -> Code:
    """Return the code of an ``error`` control."""
    return _code(error.code, error.name, error.temporary)


def returns_to_channel(number: int) -> bool:
    """Say whether a membership that ended with this code should be joined again."""
    return 4000 <= number < 4500
