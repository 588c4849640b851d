"""What controls list: members, messages that were kept, items of metadata, places in a channel."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final

from .fields import U32, U64, blob, integer, seconds, text
from .names import USER_MAX

__all__ = [
    "HELLO_MAX",
    "KEPT_MAX",
    "NAME_MAX",
    "RUN_BYTES",
    "STATE_MAX",
    "VALUE_MAX",
    "Departure",
    "Item",
    "KeptMessage",
    "LockInfo",
    "MemberInfo",
    "Part",
    "Place",
    "departure",
    "item",
    "kept_message",
    "lock_info",
    "member_info",
    "place",
    "run",
]

HELLO_MAX: Final = 3072
STATE_MAX: Final = 1024
"""The largest state of a member, in bytes."""
NAME_MAX: Final = 64
"""The longest name of an item of metadata or of a lock, in characters."""
VALUE_MAX: Final = 4096
"""The largest value of an item of metadata, in bytes."""
KEPT_MAX: Final = 16 * 2**20
"""No message is larger, in bytes from its descriptor on."""
RUN_BYTES: Final = 16

_EPOCH_MAX: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The base of what is listed; fields that are None are left out."""

    def plain(self) -> dict[str, Any]:
        """Return what MessagePack is given."""
        values = ((one.name, getattr(self, one.name)) for one in dataclasses.fields(self))
        return {name: value for name, value in values if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Part):
    """A place in a channel's run of messages: offsets of different epochs cannot be compared."""

    epoch: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo(Part):
    """One member as it is introduced to others."""

    member: int
    user: str
    hello: bytes | None = field(default=None, repr=False)
    state: bytes | None = field(default=None, repr=False)
    """What the member says of itself, opaque to the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure(Part):
    """One member that left."""

    member: int
    reason: str
    """The name of an end code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptMessage(Part):
    """A message that the channel has kept."""

    offset: int
    member: int
    """The number that its sender had then."""
    at: float
    """When the server took it, in Unix seconds."""
    data: bytes = field(repr=False)
    """``D | SFrame``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Part):
    """One item of a channel's metadata."""

    name: str
    value: bytes = field(repr=False)
    revision: int
    """The number of the change that set it: changes of a channel are counted from 1."""
    member: int
    """The number of the member that set it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInfo(Part):
    """A lock that somebody holds."""

    name: str
    fence: int
    user: str
    ttl: float
    """Seconds that it has left."""
    member: int | None = None
    """The owner's number; None while it is away."""


_U32, _U64 = integer(U32), integer(U64)
_EPOCH, _USER, _HELLO, _STATE = text(_EPOCH_MAX), text(USER_MAX), blob(HELLO_MAX), blob(STATE_MAX)
_NAME, _VALUE, _DATA, _REASON = text(NAME_MAX), blob(VALUE_MAX), blob(KEPT_MAX), text(64)


def _map(value: Any) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError
    return value


def place(value: Any) -> Place:
    """Accept a place."""
    body = _map(value)
    return Place(epoch=_EPOCH(body.get("epoch")), offset=_U64(body.get("offset")))


def run(value: Any) -> bytes:
    """Accept the name of a run of messages: 16 bytes."""
    if type(value) is not bytes or len(value) != RUN_BYTES:
        raise ValueError
    return value


def member_info(value: Any) -> MemberInfo:
    """Accept a member."""
    body = _map(value)
    hello, state = body.get("hello"), body.get("state")
    return MemberInfo(
        member=_U32(body.get("member")),
        user=_USER(body.get("user")),
        hello=None if hello is None else _HELLO(hello),
        state=None if state is None else _STATE(state),
    )


def departure(value: Any) -> Departure:
    """Accept a member that left."""
    body = _map(value)
    return Departure(member=_U32(body.get("member")), reason=_REASON(body.get("reason")))


def kept_message(value: Any) -> KeptMessage:
    """Accept a kept message."""
    body = _map(value)
    return KeptMessage(
        offset=_U64(body.get("offset")),
        member=_U32(body.get("member")),
        at=seconds(body.get("at")),
        data=_DATA(body.get("data")),
    )


def item(value: Any) -> Item:
    """Accept an item of metadata."""
    body = _map(value)
    return Item(
        name=_NAME(body.get("name")),
        value=_VALUE(body.get("value")),
        revision=_U64(body.get("revision")),
        member=_U32(body.get("member")),
    )


def lock_info(value: Any) -> LockInfo:
    """Accept a lock."""
    body = _map(value)
    member = body.get("member")
    return LockInfo(
        name=_NAME(body.get("name")),
        fence=_U64(body.get("fence")),
        user=_USER(body.get("user")),
        ttl=seconds(body.get("ttl")),
        member=None if member is None else _U32(member),
    )
