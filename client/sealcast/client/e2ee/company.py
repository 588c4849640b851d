"""Who is in the channel, by member number and by session, and the hash over all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sealcast.client.errors import HelloRefused

from .context import BaseKey, Sender
from .hello import Hello, Role, SentHello
from .rekey import Name
from .roster_hash import roster_hash, roster_leaf

__all__ = ["Companion", "Company", "check_fits", "companion_of"]


class Companion(NamedTuple):
    """One session of another member, whose hello was accepted."""

    sender: Sender
    hello: Hello
    body: bytes
    """The hello as it was signed."""

    @property
    def name(self) -> Name:
        """User and session."""
        return self.sender.user, self.sender.session

    @property
    def is_audience(self) -> bool:
        """Whether it asks for no echo of its challenge."""
        return self.hello.role is Role.AUDIENCE


def companion_of(own: Sender, sent: SentHello) -> Companion:
    """Return whom a hello introduces, in the channel and suite of *own*."""
    sender = Sender(own.ctx, own.suite, sent.hello.user, sent.hello.session)
    return Companion(sender, sent.hello, sent.body)


def check_fits(hello: Hello, user: str, own: Sender, kem: int) -> None:
    """Return if a hello is *user*'s and made for the same suite and way of sharing keys.

    Raises:
        HelloRefused: it is not.

    """
    if hello.user != user:
        raise HelloRefused("the hello names another user than the relay does")
    if hello.suite != own.suite.id:
        raise HelloRefused("the member uses another cipher suite; give all members the same key")
    if hello.kem != kem:
        raise HelloRefused("the member shares keys in another way; give all members the same key")


class Company:
    """The other members with an accepted hello, and this side.

    *held* says which key is held of a sender, for a roster hash that was made in an epoch.
    """

    __slots__ = ("_by_member", "_held", "_leaves", "_numbers", "_own", "_roster")

    def __init__(
        self, own: Sender, body: bytes, held: Callable[[Sender, int | None], BaseKey | None]
    ) -> None:
        self._own = (own, body)
        self._held = held
        self._by_member: dict[int, Companion] = {}
        self._numbers: dict[Name, list[int]] = {}
        # Both are made again when what they were made from has changed.
        self._leaves: dict[Name, tuple[BaseKey | None, bytes]] = {}
        self._roster: tuple[tuple[bytes, ...], bytes] | None = None

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(tuple(self._by_member))

    def get(self, member: int) -> Companion | None:
        """Return who a member number stands for."""
        return self._by_member.get(member)

    def number(self, name: Name) -> int | None:
        """Return the latest member number of a session; None when it is not there."""
        numbers = self._numbers.get(name)
        return numbers[-1] if numbers else None

    def numbers(self, name: Name) -> tuple[int, ...]:
        """Return all member numbers of a session."""
        return tuple(self._numbers.get(name, ()))

    def add(self, member: int, companion: Companion) -> None:
        """Take a member in; the number must be free."""
        self._by_member[member] = companion
        self._numbers.setdefault(companion.name, []).append(member)

    def remove(self, member: int) -> Companion | None:
        """Let a member number go; return the session if no other number stands for it."""
        companion = self._by_member.pop(member, None)
        if companion is None:
            return None
        numbers = self._numbers[companion.name]
        numbers.remove(member)
        if numbers:
            return None
        del self._numbers[companion.name]
        self._leaves.pop(companion.name, None)
        return companion

    def hellos(self) -> list[bytes]:
        """Return the hello of every session as it was signed, this side's first."""
        others = (self._by_member[numbers[-1]].body for numbers in self._numbers.values())
        return [self._own[1], *others]

    def roster(self, epoch: int) -> bytes:
        """Return the hash of all sessions and the keys held of them, for a beacon of *epoch*."""
        sender, body = self._own
        leaves = [self._leaf(sender, body, epoch)]
        for numbers in self._numbers.values():
            companion = self._by_member[numbers[-1]]
            leaves.append(self._leaf(companion.sender, companion.body, epoch))
        key = tuple(leaves)
        if self._roster is None or self._roster[0] != key:
            self._roster = (key, roster_hash(sender.ctx, leaves))
        return self._roster[1]

    def _leaf(self, sender: Sender, body: bytes, epoch: int) -> bytes:
        name = (sender.user, sender.session)
        base = self._held(sender, epoch)
        known = self._leaves.get(name)
        if known is None or known[0] != base:
            known = self._leaves[name] = (base, roster_leaf(body, base))
        return known[1]
