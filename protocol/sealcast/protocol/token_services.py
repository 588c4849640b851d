"""The services that a 007 token carries, and the names with wildcards in them.

A service is a u16 type, a map of privileges and a tail that depends on the type (``token_bytes`` says
what a text and a map are):

====  ==================  ==================================================================
type  class               tail
====  ==================  ==================================================================
1     RtcService          text channel, text user
2     RtmService          text user
3     StreamingService    text channel, text user
4     FpaService          (nothing)
5     ChatService         text user, empty in a token for the app itself
6     FcdnService         text channel, text user
7     EducationService    text room, text user, i16 role
8     Rtm2Service         text user, u16 n × (u16 resource, u16 m × (u16 access, u16 k × text))
9     ConvoAiService      (nothing)
10    SttService          (nothing)
====  ==================  ==================================================================

No service says how long it is, so an unknown type cannot be skipped: reading stops there.

This module is a part of ``sealcast.protocol.tokens``, which is the public one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from .errors import TokenMalformed
from .token_bytes import FrozenMap, Reader, pack_i16, pack_map, pack_text, pack_u16

__all__ = [
    "SERVICE_TYPES",
    "ChatService",
    "ConvoAiService",
    "EducationService",
    "FcdnService",
    "FpaService",
    "RtcService",
    "Rtm2Access",
    "Rtm2Resource",
    "Rtm2Service",
    "RtmService",
    "Service",
    "StreamingService",
    "SttService",
    "is_wildcard",
    "name_matches",
    "read_services",
]

# --- the services ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One entry of a 007 token: what may be done in one product, and for how long.

    ``privileges`` maps a privilege's number, whose meaning depends on the type, to seconds after the
    token's issue; 0 means no deadline of its own.
    """

    type_id: ClassVar[int]
    label: ClassVar[str]

    privileges: Mapping[int, int] = field(default_factory=FrozenMap)

    def __post_init__(self) -> None:
        object.__setattr__(self, "privileges", FrozenMap(self.privileges))

    def encode(self) -> bytes:
        """Return the service's bytes, privileges ascending. Raises ValueError when a value does not fit."""
        head = pack_u16(self.type_id, "a type")
        return head + pack_map(self.privileges, "a privilege") + self._tail()

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a service whose type has been read already. Raises TokenMalformed."""
        privileges = reader.map()
        return cls._read_tail(reader, privileges)

    def _tail(self) -> bytes:
        return b""

    @classmethod
    def _read_tail(cls, reader: Reader, privileges: FrozenMap[int, int]) -> Self:
        return cls(privileges=privileges)


@dataclass(frozen=True, slots=True, kw_only=True)
class _ChannelService(Service):
    channel: str
    user: str

    def _tail(self) -> bytes:
        return pack_text(self.channel, "a channel") + pack_text(self.user, "a user")

    @classmethod
    def _read_tail(cls, reader: Reader, privileges: FrozenMap[int, int]) -> Self:
        return cls(channel=reader.text(), user=reader.text(), privileges=privileges)


@dataclass(frozen=True, slots=True, kw_only=True)
class _UserService(Service):
    user: str

    def _tail(self) -> bytes:
        return pack_text(self.user, "a user")

    @classmethod
    def _read_tail(cls, reader: Reader, privileges: FrozenMap[int, int]) -> Self:
        return cls(user=reader.text(), privileges=privileges)


class RtcService(_ChannelService):
    """Type 1, a channel: privileges 1 join, 2 publish audio, 3 publish video, 4 publish data.

    The one that sealcast joins with. ``channel`` and ``user`` may be wildcards, see ``name_matches``.
    """

    __slots__ = ()
    type_id = 1
    label = "rtc"


class RtmService(_UserService):
    """Type 2, signalling: privilege 1 log in."""

    __slots__ = ()
    type_id = 2
    label = "rtm"


class StreamingService(_ChannelService):
    """Type 3, a stream to a CDN: privileges 1 publish the mixed stream, 2 publish the raw stream."""

    __slots__ = ()
    type_id = 3
    label = "streaming"


class FpaService(Service):
    """Type 4, path acceleration: privilege 1 log in."""

    __slots__ = ()
    type_id = 4
    label = "fpa"


class ChatService(_UserService):
    """Type 5, chat: privileges 1 user, 2 app. ``user`` is empty in a token for the app itself."""

    __slots__ = ()
    type_id = 5
    label = "chat"


class FcdnService(_ChannelService):
    """Type 6, fusion CDN: privileges 1 publish, 2 play."""

    __slots__ = ()
    type_id = 6
    label = "fcdn"


@dataclass(frozen=True, slots=True, kw_only=True)
class EducationService(Service):
    """Type 7, a classroom: privileges 1 room user, 2 user, 3 app. ``role`` -1 means none."""

    type_id: ClassVar[int] = 7
    label: ClassVar[str] = "apaas"

    room: str
    user: str
    role: int = -1

    def _tail(self) -> bytes:
        names = pack_text(self.room, "a room") + pack_text(self.user, "a user")
        return names + pack_i16(self.role, "a role")

    @classmethod
    def _read_tail(cls, reader: Reader, privileges: FrozenMap[int, int]) -> Self:
        return cls(room=reader.text(), user=reader.text(), role=reader.i16(), privileges=privileges)


class Rtm2Resource(enum.IntEnum):
    """What a permission of an Rtm2Service is about."""

    MESSAGE_CHANNELS = 0
    STREAM_CHANNELS = 1
    GROUP_CHANNELS = 2
    SERVER_GROUPS = 3
    USERS = 4


class Rtm2Access(enum.IntEnum):
    """What a permission of an Rtm2Service allows."""

    READ = 0
    WRITE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rtm2Service(Service):
    """Type 8, signalling with permissions: privilege 1 log in.

    ``permissions`` maps a resource (Rtm2Resource) to a map of access (Rtm2Access) to the names it
    covers, each possibly a wildcard.
    """

    type_id: ClassVar[int] = 8
    label: ClassVar[str] = "rtm2"

    user: str
    permissions: Mapping[int, Mapping[int, tuple[str, ...]]] = field(default_factory=FrozenMap)

    def __post_init__(self) -> None:
        Service.__post_init__(self)  # a class with slots cannot use super() without arguments before 3.14
        frozen = FrozenMap(
            {
                resource: FrozenMap({access: tuple(names) for access, names in accesses.items()})
                for resource, accesses in self.permissions.items()
            }
        )
        object.__setattr__(self, "permissions", frozen)

    def _tail(self) -> bytes:
        parts = [pack_text(self.user, "a user"), pack_u16(len(self.permissions), "a permission")]
        for resource in sorted(self.permissions):
            accesses = self.permissions[resource]
            parts += [pack_u16(resource, "a resource"), pack_u16(len(accesses), "a permission")]
            for access in sorted(accesses):
                names = accesses[access]
                parts += [pack_u16(access, "an access"), pack_u16(len(names), "a permission")]
                parts += [pack_text(name, "a name") for name in names]
        return b"".join(parts)

    @classmethod
    def _read_tail(cls, reader: Reader, privileges: FrozenMap[int, int]) -> Self:
        user = reader.text()
        permissions: dict[int, dict[int, tuple[str, ...]]] = {}
        for _ in range(reader.u16()):
            resource = reader.u16()
            if resource in permissions:
                raise TokenMalformed("the token lists a permission twice")
            accesses = permissions[resource] = {}
            for _ in range(reader.u16()):
                access = reader.u16()
                if access in accesses:
                    raise TokenMalformed("the token lists a permission twice")
                accesses[access] = tuple(reader.text() for _ in range(reader.u16()))
        return cls(user=user, permissions=permissions, privileges=privileges)


class ConvoAiService(Service):
    """Type 9, conversational agents: the public builders set no privileges."""

    __slots__ = ()
    type_id = 9
    label = "convoai"


class SttService(Service):
    """Type 10, speech to text: the public builders set no privileges."""

    __slots__ = ()
    type_id = 10
    label = "stt"


SERVICE_TYPES: Final[Mapping[int, type[Service]]] = FrozenMap(
    {
        kind.type_id: kind
        for kind in (
            RtcService,
            RtmService,
            StreamingService,
            FpaService,
            ChatService,
            FcdnService,
            EducationService,
            Rtm2Service,
            ConvoAiService,
            SttService,
        )
    }
)
"""The known services by type number."""


def read_services(reader: Reader, count: int) -> tuple[tuple[Service, ...], int | None]:
    """Read *count* services; return them and the unknown type at which reading had to stop, if any.

    Raises TokenMalformed. After the last known service nothing may follow.
    """
    services: list[Service] = []
    for _ in range(count):
        type_id = reader.u16()
        kind = SERVICE_TYPES.get(type_id)
        if kind is None:
            return tuple(services), type_id
        services.append(kind.read(reader))
    reader.close()
    return tuple(services), None


# --- names with wildcards --------------------------------------------------------------------------


def is_wildcard(pattern: str) -> bool:
    """Say whether the name in a token stands for more than itself: it is empty or has a ``*``."""
    return not pattern or "*" in pattern


def name_matches(pattern: str, name: str) -> bool:
    """Say whether the name in a token covers *name*.

    An empty pattern covers every name; each ``*`` covers any run of characters, none included;
    everything else is compared as it is, case included. The pieces between stars are looked for once,
    from left to right, so a hostile pattern costs no more than its length.
    """
    if not is_wildcard(pattern):
        return pattern == name
    if not pattern:
        return True
    first, *middle, last = pattern.split("*")
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for piece in middle:
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
