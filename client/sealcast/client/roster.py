"""Who is in the channel, and what changed during a gap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from sealcast.protocol.controls import MemberInfo
from sealcast.protocol.errors import InvalidName, RemoteProtocolError
from sealcast.protocol.names import user_id

from .errors import SealError

__all__ = ["Change", "Member", "Roster", "check_user"]

_MEMBERS_MAX: Final = 65536
"""As many as ``joined`` can list; a server that announces more is broken or hostile."""


class _Refused(Protocol):
    @property
    def member(self) -> int: ...
    @property
    def error(self) -> SealError: ...


class _Crypto(Protocol):
    def joined(self, roster: Iterable[tuple[int, str, bytes | None]]) -> Iterable[_Refused]: ...
    def add_member(self, member: int, user: str, hello: bytes | None) -> None: ...
    def remove_member(self, member: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody else in the channel.

    ``verified`` says whether their hello was accepted, so that their frames can be opened. It is False
    for a member without a hello, and for everybody in a channel joined with ``Key.none()``.
    """

    number: int
    user: str
    verified: bool


class Change(NamedTuple):
    """What is different after a gap."""

    left: list[Member]
    joined: list[Member]


class Roster(Mapping[int, Member]):
    """The other members, by number; keeps the encryption's list in step with its own.

    Args:
        crypto: is told who comes and goes.
        sealed: whether frames are sealed at all.

    """

    __slots__ = ("_crypto", "_hellos", "_members", "_sealed", "refused")

    def __init__(self, crypto: _Crypto, *, sealed: bool) -> None:
        self._crypto = crypto
        self._sealed = sealed
        self._members: dict[int, Member] = {}
        self._hellos: dict[int, bytes | None] = {}
        self.refused: list[tuple[Member, SealError]] = []
        """Members whose hello was refused, and why, until the caller takes them out."""

    @property
    def view(self) -> Mapping[int, Member]:
        """The members, to look at."""
        return MappingProxyType(self._members)

    def __getitem__(self, number: int) -> Member:
        return self._members[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        return f"<Roster of {len(self)} members>"

    def knows(self, number: int, user: str, hello: bytes | None) -> bool:
        """Say whether exactly this member is there."""
        member = self._members.get(number)
        return member is not None and (member.user, self._hellos[number]) == (user, hello)

    def add(self, number: int, user: str, hello: bytes | None) -> Member:
        """Take a member in.

        Raises:
            RemoteProtocolError: the number is taken, the user's name is none, or there are more members
                than can be.

        """
        if number in self._members:
            raise RemoteProtocolError("a member number was given twice")
        if len(self._members) >= _MEMBERS_MAX:
            raise RemoteProtocolError("more members than a channel can have")
        check_user(user)
        verified, cause = False, None
        try:
            self._crypto.add_member(number, user, hello)
            verified = self._sealed and hello is not None
        except SealError as error:
            cause = error
        member = self._members[number] = Member(number, user, verified)
        self._hellos[number] = hello
        if cause is not None:
            self.refused.append((member, cause))
        return member

    def remove(self, number: int) -> Member | None:
        """Let a member go; None when there is none of this number."""
        member = self._members.pop(number, None)
        if member is not None:
            del self._hellos[number]
            self._crypto.remove_member(number)
        return member

    def replace(self, infos: Iterable[MemberInfo]) -> Change:
        """Let the channel be exactly *infos*.

        A member is the same as before when number, user and hello are. The encryption is told all of it: it
        has been away and has to make up its own mind.

        Raises:
            RemoteProtocolError: as for ``add``.

        """
        new: dict[int, MemberInfo] = {}
        for info in infos:
            if info.member in new:
                raise RemoteProtocolError("a member number was given twice")
            new[info.member] = info
            check_user(info.user)
        if len(new) > _MEMBERS_MAX:
            raise RemoteProtocolError("more members than a channel can have")
        before, known = self._members, self._hellos
        gone = [
            number
            for number, member in before.items()
            if number not in new or (new[number].user, new[number].hello) != (member.user, known[number])
        ]
        refused = {
            refusal.member: refusal.error
            for refusal in self._crypto.joined((info.member, info.user, info.hello) for info in new.values())
        }
        self._members = {
            number: Member(
                number, info.user, self._sealed and info.hello is not None and number not in refused
            )
            for number, info in new.items()
        }
        self._hellos = {number: info.hello for number, info in new.items()}
        self.refused += [(self._members[number], error) for number, error in refused.items()]
        joined = [
            member for number, member in self._members.items() if number not in before or number in gone
        ]
        return Change([before[number] for number in gone], joined)

    def announced(self, number: int) -> tuple[int, str, bytes | None] | None:
        """Return a member as it was announced: number, user and hello."""
        member = self._members.get(number)
        return None if member is None else (number, member.user, self._hellos[number])

    def hellos(self) -> list[tuple[int, str, bytes | None]]:
        """Return all members as they were announced."""
        return [(number, member.user, self._hellos[number]) for number, member in self._members.items()]

    def verify(self, number: int, verified: bool) -> None:
        """Note that a member's hello is accepted after all, or no more."""
        member = self._members.get(number)
        if member is not None:
            self._members[number] = replace(member, verified=verified)


def check_user(user: str) -> None:
    """Return if the server may announce a member of this name; raises RemoteProtocolError."""
    try:
        user_id(user)
    except InvalidName:
        raise RemoteProtocolError("a member whose name no user can have") from None
