"""Controls about a membership: its beginning, its rights, its end, and who else is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from .control import Control
from .fields import U32, U64, array, blob, integer, mapping, may, must, seconds, text, truth
from .names import CHANNEL_MAX, USER_MAX
from .parts import HELLO_MAX, MemberInfo, Place, member_info, place, run

__all__ = [
    "TOKEN_MAX",
    "Join",
    "Joined",
    "Leave",
    "Left",
    "MemberJoined",
    "MemberLeft",
    "Renew",
    "Renewed",
    "TokenExpiring",
]

TOKEN_MAX: Final = 2047


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(Control):
    """Ask to become a member of a channel; answered by ``joined`` or ``error``."""

    NAME: ClassVar[str] = "join"
    channel: str = must(text(CHANNEL_MAX))
    user: str = must(text(USER_MAX))
    token: str | None = may(text(TOKEN_MAX), shown=False)
    """None only where the app's policy allows App ID alone."""
    hello: bytes | None = may(blob(HELLO_MAX), shown=False)
    """Opaque to the server; handed to every member."""
    since: Place | None = may(place)
    """The last place of which this side has everything: what came after it is to be sent again."""
    run: bytes | None = may(run, shown=False)
    """Names this sender's messages over connections: one that comes again under its ref is the same one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave(Control):
    """End a membership; answered by ``left``."""

    NAME: ClassVar[str] = "leave"
    channel: int = must(integer(U32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew(Control):
    """Present a new token for a membership; answered by ``renewed`` or ``error``."""

    NAME: ClassVar[str] = "renew"
    channel: int = must(integer(U32))
    token: str = must(text(TOKEN_MAX), shown=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined(Control):
    """The answer to ``join``: the numbers to send with, who is there, what is allowed until when."""

    NAME: ClassVar[str] = "joined"
    channel: int = must(integer(U32))
    member: int = must(integer(U32))
    epoch: str = must(text(64))
    """Names the run of offsets: equal epochs mean that offsets can be compared."""
    offset: int = must(integer(U64))
    """The offset of the newest message; 0 when there has been none in this epoch."""
    members: tuple[MemberInfo, ...] = must(array(65536, member_info))
    """The others in the channel at this moment."""
    grant: dict[str, float] = must(mapping(16, seconds))
    """Seconds left for each publish privilege: ``audio``, ``video``, ``data``."""
    expires_in: float = must(seconds)
    """Seconds until the membership ends unless it is renewed."""
    policy: dict[str, str] = must(mapping(16, text(64)))
    recovered: bool = may(truth, False)
    """Whether all that came after ``since`` follows at once, up to ``offset``, but for this side's own."""
    authors: tuple[MemberInfo, ...] = may(array(65536, member_info), ())
    """Senders of what follows that are no members any more."""
    total: int = may(integer(U32), 0)
    """How many members there are, this one included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left(Control):
    """A membership has ended: the answer to ``leave``, or the server's decision, with its end code."""

    NAME: ClassVar[str] = "left"
    channel: int = must(integer(U32))
    code: int = must(integer(4999))
    name: str = must(text(64))
    message: str = may(text(256), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed(Control):
    """What may be sent from now on: the answer to ``renew``, or (ref 0) told when an operator changed it."""

    NAME: ClassVar[str] = "renewed"
    channel: int = must(integer(U32))
    grant: dict[str, float] = must(mapping(16, seconds))
    expires_in: float = must(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberJoined(Control):
    """Somebody joined a channel of ours."""

    NAME: ClassVar[str] = "member_joined"
    channel: int = must(integer(U32))
    member: int = must(integer(U32))
    user: str = must(text(USER_MAX))
    hello: bytes | None = may(blob(HELLO_MAX), shown=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLeft(Control):
    """Somebody left a channel of ours; ``reason`` is the name of an end code."""

    NAME: ClassVar[str] = "member_left"
    channel: int = must(integer(U32))
    member: int = must(integer(U32))
    reason: str = must(text(64))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenExpiring(Control):
    """The membership ends in ``seconds`` unless it is renewed."""

    NAME: ClassVar[str] = "token_expiring"
    channel: int = must(integer(U32))
    seconds: float = must(seconds)
