"""Controls about what members of a channel share: presence and states, metadata, locks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from .control import Control
from .fields import U32, U64, array, blob, integer, may, must, seconds, text, truth
from .names import USER_MAX
from .parts import (
    NAME_MAX,
    STATE_MAX,
    VALUE_MAX,
    Departure,
    Item,
    LockInfo,
    MemberInfo,
    departure,
    item,
    lock_info,
    member_info,
)

__all__ = [
    "ITEMS_MAX",
    "LOCKS_MAX",
    "MEMBERS_MAX",
    "Done",
    "Lock",
    "LockChanged",
    "Locked",
    "MemberState",
    "Metadata",
    "MetadataChanged",
    "MetadataItems",
    "Presence",
    "PresenceChanged",
    "Present",
    "SetMetadata",
    "State",
    "Unlock",
]

MEMBERS_MAX: Final = 65536
ITEMS_MAX: Final = 256
LOCKS_MAX: Final = 256


# --- client → server ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence(Control):
    """Ask who is in a channel; answered by ``present`` or ``error``."""

    NAME: ClassVar[str] = "presence"
    channel: int = must(integer(U32))


@dataclass(frozen=True, slots=True, kw_only=True)
class State(Control):
    """Set this member's state, or take it away; answered by ``done`` or ``error``."""

    NAME: ClassVar[str] = "state"
    channel: int = must(integer(U32))
    data: bytes | None = may(blob(STATE_MAX), shown=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata(Control):
    """Ask for a channel's metadata and locks; answered by ``metadata_items`` or ``error``."""

    NAME: ClassVar[str] = "metadata"
    channel: int = must(integer(U32))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMetadata(Control):
    """Set an item of metadata, or take it away; answered by ``done`` with its revision, or ``error``."""

    NAME: ClassVar[str] = "set_metadata"
    channel: int = must(integer(U32))
    name: str = must(text(NAME_MAX))
    value: bytes | None = may(blob(VALUE_MAX), shown=False)
    revision: int | None = may(integer(U64))
    """Only if this is the item's present revision; 0: only if there is no such item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock(Control):
    """Lock a name, or keep a lock for longer; answered by ``locked`` or ``error``."""

    NAME: ClassVar[str] = "lock"
    channel: int = must(integer(U32))
    name: str = must(text(NAME_MAX))
    ttl: float = must(seconds)
    take: bool = may(truth, False)
    """Take it from whoever has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlock(Control):
    """Give a lock back; answered by ``done`` or ``error``."""

    NAME: ClassVar[str] = "unlock"
    channel: int = must(integer(U32))
    name: str = must(text(NAME_MAX))


# --- server → client ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Present(Control):
    """The answer to ``presence``: the others in the channel at this moment."""

    NAME: ClassVar[str] = "present"
    channel: int = must(integer(U32))
    members: tuple[MemberInfo, ...] = must(array(MEMBERS_MAX, member_info))
    total: int = must(integer(U32))
    """How many there are, this one included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PresenceChanged(Control):
    """Who came and went since the last one, in a channel too large to tell it one by one."""

    NAME: ClassVar[str] = "presence_changed"
    channel: int = must(integer(U32))
    joined: tuple[MemberInfo, ...] = may(array(MEMBERS_MAX, member_info), ())
    left: tuple[Departure, ...] = may(array(MEMBERS_MAX, departure), ())
    total: int = must(integer(U32))


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberState(Control):
    """A member has set its state, or taken it away."""

    NAME: ClassVar[str] = "member_state"
    channel: int = must(integer(U32))
    member: int = must(integer(U32))
    data: bytes | None = may(blob(STATE_MAX), shown=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done(Control):
    """The answer to a request that changes something and asks for nothing else."""

    NAME: ClassVar[str] = "done"
    channel: int = must(integer(U32))
    revision: int = may(integer(U64), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataItems(Control):
    """The answer to ``metadata``."""

    NAME: ClassVar[str] = "metadata_items"
    channel: int = must(integer(U32))
    revision: int = must(integer(U64))
    """The number of the channel's last change."""
    items: tuple[Item, ...] = may(array(ITEMS_MAX, item), ())
    authors: tuple[MemberInfo, ...] = may(array(ITEMS_MAX, member_info), ())
    """Who set them, as they were introduced then."""
    locks: tuple[LockInfo, ...] = may(array(LOCKS_MAX, lock_info), ())


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataChanged(Control):
    """An item of metadata was set, or taken away."""

    NAME: ClassVar[str] = "metadata_changed"
    channel: int = must(integer(U32))
    name: str = must(text(NAME_MAX))
    value: bytes | None = may(blob(VALUE_MAX), shown=False)
    revision: int = must(integer(U64))
    member: int = must(integer(U32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked(Control):
    """The answer to ``lock``: it is held for ``ttl`` seconds from now on."""

    NAME: ClassVar[str] = "locked"
    channel: int = must(integer(U32))
    name: str = must(text(NAME_MAX))
    fence: int = must(integer(U64))
    """Grows with every change of owner, so that what a late owner does can be told from the present one's."""
    ttl: float = must(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockChanged(Control):
    """A lock was acquired, released, taken over, or has expired; without a user it is free."""

    NAME: ClassVar[str] = "lock_changed"
    channel: int = must(integer(U32))
    name: str = must(text(NAME_MAX))
    fence: int = must(integer(U64))
    reason: str = must(text(64))
    user: str | None = may(text(USER_MAX))
    member: int | None = may(integer(U32))
