"""Ban rules: who may not do what, where, until when. Pure: no clock, no database, no sockets.

A rule names an address, a channel, a user, or several of them, which then all have to match; it holds inside
one app. It takes away privileges: without ``join`` a member stays and may no longer publish some kinds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sealcast.protocol.names import Privilege

from .prefixes import Network, network, place_of

__all__ = ["FOREVER", "NOTHING", "PRIVILEGES", "REASON_MAX", "Ban", "BanBook"]

PRIVILEGES: Final[Mapping[str, Privilege]] = {privilege.name.lower(): privilege for privilege in Privilege}
"""What can be taken away, by name."""

REASON_MAX: Final = 256
"""Characters of a reason."""

FOREVER: Final = math.inf

NOTHING: Final[Mapping[Privilege, float]] = {}
"""What is taken away from nearly everybody."""


@dataclass(frozen=True)
class Ban:
    """One rule."""

    ban_id: str
    app_id: str
    address: str | None
    """An address or network, as ``network`` reads and prints it."""
    channel: str | None
    user: str | None
    privileges: tuple[str, ...]
    """What it takes away: names of PRIVILEGES."""
    until: float | None
    """Unix seconds, exclusive; None: until it is lifted."""
    reason: str
    """For operators. It is not told to clients."""
    creator: str
    """Who made it, as the audit log names them."""
    created: float

    @cached_property
    def network(self) -> Network | None:
        """The address as it is compared."""
        return None if self.address is None else network(self.address)

    @property
    def rule_id(self) -> str:
        """The id, as all rules have one."""
        return self.ban_id

    @property
    def end(self) -> float:
        """When it ends."""
        return FOREVER if self.until is None else self.until

    def covers(self, address: str) -> bool:
        """Say whether the rule names this address, or a network that it is in."""
        if self.network is None:
            return False
        version, number = place_of(address)
        return version == self.network.version and _prefix(version, number, self.network.bits) == (
            self.network.prefix
        )


def _prefix(version: int, number: int, bits: int) -> int:
    return number >> ((32 if version == 4 else 128) - bits)


class _Shelf:
    """The rules about one channel, one user, both, or neither: those for everybody, and those by network."""

    __slots__ = ("all", "by_network", "lengths")

    def __init__(self) -> None:
        self.all: dict[str, Ban] = {}
        self.by_network: dict[Network, dict[str, Ban]] = {}
        self.lengths: dict[tuple[int, int], int] = {}
        """How many networks there are of each version and length: so many questions are asked."""

    def put(self, ban: Ban) -> None:
        net = ban.network
        if net is None:
            self.all[ban.ban_id] = ban
            return
        if net not in self.by_network:
            self.by_network[net] = {}
            self.lengths[net[:2]] = self.lengths.get(net[:2], 0) + 1
        self.by_network[net][ban.ban_id] = ban

    def take(self, ban: Ban) -> bool:
        """Take a rule out; return whether there is no other."""
        net = ban.network
        if net is None:
            del self.all[ban.ban_id]
        else:
            del self.by_network[net][ban.ban_id]
            if not self.by_network[net]:
                del self.by_network[net]
                self.lengths[net[:2]] -= 1
                if not self.lengths[net[:2]]:
                    del self.lengths[net[:2]]
        return not self.all and not self.by_network

    def find(self, version: int, number: int) -> Iterator[Ban]:
        yield from self.all.values()
        for kind, bits in self.lengths if self.by_network else ():
            if kind == version:
                yield from self.by_network.get(
                    Network(kind, bits, _prefix(version, number, bits)), _NO_BANS
                ).values()


_NO_BANS: Final[dict[str, Ban]] = {}


class BanBook:
    """The rules of one app, found by what they name: a question costs the same for 10 rules and 10,000."""

    def __init__(self) -> None:
        self._bans: dict[str, Ban] = {}
        self._shelves: dict[tuple[str | None, str | None], _Shelf] = {}

    def __len__(self) -> int:
        return len(self._bans)

    def __iter__(self) -> Iterator[Ban]:
        return iter(self._bans.values())

    def get(self, ban_id: str) -> Ban | None:
        """Return a rule, or None."""
        return self._bans.get(ban_id)

    def put(self, ban: Ban) -> None:
        """Add a rule, or let one be as this says."""
        self.take(ban.ban_id)
        self._bans[ban.ban_id] = ban
        self._shelves.setdefault((ban.channel, ban.user), _Shelf()).put(ban)

    def take(self, ban_id: str) -> Ban | None:
        """Take a rule out; return it, if there was one."""
        ban = self._bans.pop(ban_id, None)
        if ban is not None:
            key = (ban.channel, ban.user)
            if self._shelves[key].take(ban):
                del self._shelves[key]
        return ban

    def denied(self, channel: str, user: str, address: str, now: float) -> Mapping[Privilege, float]:
        """Return what *user* at *address* may not do in *channel*, each with the time at which that ends."""
        if not self._bans:
            return NOTHING
        keys = ((None, None), (channel, None), (None, user), (channel, user))
        return self._sum(keys, address, now)

    def shut_out(self, address: str, now: float) -> bool:
        """Say whether nobody at *address* may join anything."""
        return bool(self._bans) and Privilege.JOIN in self._sum([(None, None)], address, now)

    def _sum(
        self, keys: Iterable[tuple[str | None, str | None]], address: str, now: float
    ) -> Mapping[Privilege, float]:
        version, number = place_of(address)
        denied: dict[Privilege, float] = {}
        for key in keys:
            shelf = self._shelves.get(key)
            if shelf is None:
                continue
            for ban in shelf.find(version, number):
                if ban.end > now:
                    for name in ban.privileges:
                        privilege = PRIVILEGES[name]
                        denied[privilege] = max(denied.get(privilege, 0.0), ban.end)
        return denied or NOTHING

    def lapsed(self, now: float) -> list[Ban]:
        """Take out the rules that have ended; return them."""
        over = [ban for ban in self._bans.values() if ban.end <= now]
        for ban in over:
            self.take(ban.ban_id)
        return over
