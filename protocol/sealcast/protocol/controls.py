"""Controls: the small MessagePack messages by which both sides agree on who is where.

A control is ``0x00`` and one MessagePack array ``[name, ref, body]``: a name of the tables below, a
u32 chosen by the asker and echoed in the answer (0 when no answer is wanted), and a map. Each control
is one frozen dataclass; its fields carry the type and the largest size that is accepted, so that
``decode`` refuses everything else before the rest of the program sees it. Fields that a newer peer
adds are ignored; names that are not in the table are refused.

Tokens and hellos are never shown by ``repr``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, cast

import msgpack

from .codes import Code, reply
from .control import Control, Side
from .envelope import CONTROL
from .errors import LocalProtocolError, RemoteProtocolError
from .fields import U32, U64, array, blob, integer, mapping, may, must, seconds, text, truth
from .joining import (
    TOKEN_MAX,
    Join,
    Joined,
    Leave,
    Left,
    MemberJoined,
    MemberLeft,
    Renew,
    Renewed,
    TokenExpiring,
)
from .keeping import HISTORY_MAX, PAGE_BYTES, History, Past
from .packing import unpack
from .parts import (
    HELLO_MAX,
    NAME_MAX,
    STATE_MAX,
    VALUE_MAX,
    Departure,
    Item,
    KeptMessage,
    LockInfo,
    MemberInfo,
    Part,
    Place,
)
from .sharing import (
    Done,
    Lock,
    LockChanged,
    Locked,
    MemberState,
    Metadata,
    MetadataChanged,
    MetadataItems,
    Presence,
    PresenceChanged,
    Present,
    SetMetadata,
    State,
    Unlock,
)

__all__ = [
    "CLIENT_CONTROLS",
    "CLIENT_CONTROL_MAX",
    "DIRECT_MAX",
    "HELLO_MAX",
    "HISTORY_MAX",
    "NAME_MAX",
    "PAGE_BYTES",
    "SERVER_CONTROLS",
    "SERVER_CONTROL_MAX",
    "STATE_MAX",
    "TOKEN_MAX",
    "VALUE_MAX",
    "Ack",
    "Control",
    "Departure",
    "Direct",
    "Directed",
    "Done",
    "Drain",
    "Dropped",
    "Error",
    "History",
    "Item",
    "Join",
    "Joined",
    "KeptMessage",
    "Leave",
    "Left",
    "Lock",
    "LockChanged",
    "LockInfo",
    "Locked",
    "MemberInfo",
    "MemberJoined",
    "MemberLeft",
    "MemberState",
    "Metadata",
    "MetadataChanged",
    "MetadataItems",
    "Past",
    "Ping",
    "Place",
    "Pong",
    "Presence",
    "PresenceChanged",
    "Present",
    "Renew",
    "Renewed",
    "Sent",
    "SetMetadata",
    "Side",
    "State",
    "TokenExpiring",
    "Unlock",
    "Welcome",
    "decode",
    "encode",
]

CLIENT_CONTROL_MAX: Final = 16 * 1024
"""The largest control a client may send, in bytes."""
SERVER_CONTROL_MAX: Final = 8 * 1024 * 1024
"""The largest control a server may send: ``joined`` lists every member with its hello."""
DIRECT_MAX: Final = 4096
"""The largest data of a ``direct``, in bytes."""


# --- client → server ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct(Control):
    """Data for one member of a channel, by its number; answered by ``sent`` or ``error``.

    Opaque to the server, like a hello.
    """

    NAME: ClassVar[str] = "direct"
    channel: int = must(integer(U32))
    member: int = must(integer(U32))
    data: bytes = must(blob(DIRECT_MAX), shown=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Control):
    """Ask for a ``pong``, for clients that cannot send WebSocket pings."""

    NAME: ClassVar[str] = "ping"


# --- server → client ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome(Control):
    """The first control of every connection: what the server is and what it allows."""

    NAME: ClassVar[str] = "welcome"
    server: str = must(text(64))
    node: str = must(text(64))
    heartbeat: float = must(seconds)
    """The server pings after this many silent seconds and closes after twice as many."""
    limits: dict[str, float] = must(mapping(64, seconds))
    features: tuple[str, ...] = may(array(64, text(64)), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack(Control):
    """A message has its place in the channel; ``ref`` is the message's own."""

    NAME: ClassVar[str] = "ack"
    channel: int = must(integer(U32))
    offset: int = must(integer(U64))
    repeated: bool = may(truth, False)
    """Whether it had been taken before, under this run and ref, and so was not delivered again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Directed(Control):
    """Data that another member sent to this one alone; ``member`` is the sender."""

    NAME: ClassVar[str] = "directed"
    channel: int = must(integer(U32))
    member: int = must(integer(U32))
    data: bytes = must(blob(DIRECT_MAX), shown=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Control):
    """The answer to ``direct``: it is on its way to the member, before anything that is sent later."""

    NAME: ClassVar[str] = "sent"
    channel: int = must(integer(U32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Control):
    """A refused request (``ref`` names it), or refused frames (``ref`` 0, ``count`` of them)."""

    NAME: ClassVar[str] = "error"
    code: int = must(integer(4999))
    name: str = must(text(64))
    message: str = must(text(256))
    temporary: bool = must(truth)
    retry_after: float | None = may(seconds)
    channel: int | None = may(integer(U32))
    count: int | None = may(integer(U64))

    @classmethod
    def of(
        cls,
        code: Code,
        *,
        retry_after: float | None = None,
        channel: int | None = None,
        count: int | None = None,
    ) -> Error:
        """Make the control that reports *code*."""
        return cls(
            code=code.number,
            name=code.name,
            message=code.message,
            temporary=code.temporary,
            retry_after=retry_after,
            channel=channel,
            count=count,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped(Control):
    """Frames that this member should have received and did not, since the last report."""

    NAME: ClassVar[str] = "dropped"
    channel: int = must(integer(U32))
    counts: dict[str, int] = must(mapping(16, integer(U64)))
    """By kind."""
    reasons: dict[str, int] | None = may(mapping(16, integer(U64)))
    """The same by reason: why they were dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain(Control):
    """The server is going away: reconnect after ``delay`` seconds, to an alternative if one is given."""

    NAME: ClassVar[str] = "drain"
    delay: float = must(seconds)
    alternatives: tuple[str, ...] = may(array(16, text(256)), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Control):
    """The answer to ``ping``."""

    NAME: ClassVar[str] = "pong"


CLIENT_CONTROLS: Final[dict[str, type[Control]]] = {
    c.NAME: c
    for c in (
        Join,
        Leave,
        Renew,
        Direct,
        History,
        Presence,
        State,
        Metadata,
        SetMetadata,
        Lock,
        Unlock,
        Ping,
    )
}
"""What a client may send, by name."""

SERVER_CONTROLS: Final[dict[str, type[Control]]] = {
    c.NAME: c
    for c in (
        Welcome,
        Joined,
        Left,
        Renewed,
        Ack,
        Directed,
        Sent,
        Error,
        MemberJoined,
        MemberLeft,
        TokenExpiring,
        Dropped,
        Past,
        Present,
        PresenceChanged,
        MemberState,
        Done,
        MetadataItems,
        MetadataChanged,
        Locked,
        LockChanged,
        Drain,
        Pong,
    )
}
"""What a server may send, by name."""

_TABLES = {Side.CLIENT: CLIENT_CONTROLS, Side.SERVER: SERVER_CONTROLS}
_CONTROL_MAX = {Side.CLIENT: CLIENT_CONTROL_MAX, Side.SERVER: SERVER_CONTROL_MAX}
# Values and array items: a ``joined`` lists a whole channel, nothing else is long.
_BOUNDS = {Side.CLIENT: (1024, 64), Side.SERVER: (8 * 65536, 65536)}


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.plain()
    raise TypeError


def encode(control: Control, ref: int = 0) -> bytes:
    """Return the wire bytes of a control.

    Raises:
        LocalProtocolError: the control is larger than any peer would accept, or holds what MessagePack
            cannot say.

    """
    if not 0 <= ref <= U32:
        raise LocalProtocolError("a ref is a u32")
    try:
        packed = msgpack.packb([control.NAME, ref, control.to_body()], default=_plain)
    except (ValueError, TypeError, OverflowError):
        raise LocalProtocolError(f"a {control.NAME} control with a field that cannot be encoded") from None
    data = b"\x00" + cast(bytes, packed)
    side = Side.CLIENT if control.NAME in CLIENT_CONTROLS else Side.SERVER
    if len(data) > _CONTROL_MAX[side]:
        raise LocalProtocolError(
            f"a {control.NAME} control of {len(data)} bytes is over {_CONTROL_MAX[side]}"
        )
    return data


def decode(data: bytes | memoryview, sender: Side) -> tuple[Control, int]:
    """Read a control that *sender* sent; return it with its ref.

    Raises:
        RemoteProtocolError: fatal (``protocol_error``) when the bytes are not a control at all; with the
            reply code ``unknown_control`` or ``bad_request`` and the ref when the request is to be refused.

    """
    if len(data) == 0 or data[0] != CONTROL:
        raise RemoteProtocolError("not a control")
    if len(data) > _CONTROL_MAX[sender]:
        raise RemoteProtocolError("a control over the size limit")
    values, array_max = _BOUNDS[sender]
    try:
        unpacked = unpack(memoryview(data)[1:], values=values, array=array_max)
    except ValueError as error:
        raise RemoteProtocolError(f"a control that is not acceptable MessagePack: {error}") from None
    if type(unpacked) is not tuple or len(unpacked) != 3:
        raise RemoteProtocolError("a control that is not [name, ref, body]")
    name, ref, body = unpacked
    if type(name) is not str or type(ref) is not int or not 0 <= ref <= U32 or type(body) is not dict:
        raise RemoteProtocolError("a control that is not [name, ref, body]")
    cls = _TABLES[sender].get(name)
    if cls is None:
        raise RemoteProtocolError("a control of unknown name", reply("unknown_control"), ref)
    try:
        return cls.from_body(body), ref
    except ValueError as error:
        raise RemoteProtocolError(f"{name}: {error}", reply("bad_request"), ref) from None
