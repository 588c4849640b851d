"""What a relay can do to bytes that it cannot open."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from sealcast.client import Identity, Key
from sealcast.client.e2ee import ChannelCrypto
from sealcast.protocol import controls
from sealcast.protocol.names import Kind

from ..middle import Passing, Rule, Wire
from .keys import APP

__all__ = [
    "WRAP",
    "direct",
    "flips",
    "growing",
    "instead",
    "offering_clear_text",
    "once_each",
    "stranger",
    "weaker_hellos",
    "withheld",
    "wraps",
]

WRAP = 1
"""The first byte of a direct that carries a key."""

_BITS = 8


def flips(data: bytes, *, every: int = 1) -> Iterator[bytes]:
    """Return all copies of *data* with one bit changed, or *every* so many of them."""
    for at in range(0, len(data) * _BITS, every):
        bent = bytearray(data)
        bent[at // _BITS] ^= 1 << at % _BITS
        yield bytes(bent)


def instead(wire: Wire, user: str, put: Callable[[Passing], Iterable[bytes]], *kinds: Kind) -> Rule:
    """Return the rule that puts something in place of a user's frames and messages of some kinds, or all."""

    def rule(passing: Passing) -> Iterable[bytes]:
        if passing.head is None or passing.member != wire.number(user):
            return [passing.data]
        return put(passing) if not kinds or passing.kind in kinds else [passing.data]

    return rule


def once_each(wire: Wire, user: str, put: Callable[[Passing], Iterable[bytes]]) -> Rule:
    """Return the rule that does so with the first of each kind."""
    done: set[Kind | None] = set()

    def first(passing: Passing) -> Iterable[bytes]:
        if passing.kind in done:
            return [passing.data]
        done.add(passing.kind)
        return put(passing)

    return instead(wire, user, first)


def withheld(
    wire: Wire, user: str, kept: list[bytes], fits: Callable[[Passing], bool] = lambda passing: True
) -> Rule:
    """Return the rule that keeps back everything of a user, the news of it too, or what fits of it."""

    def rule(passing: Passing) -> Iterable[bytes]:
        if wire.members.get(passing.member or 0) != user or not fits(passing):
            return [passing.data]
        kept.append(passing.data)
        return []

    return rule


def wraps(tape: Iterable[Passing]) -> list[bytes]:
    """Return the keys that were sent directly, as they were sent."""
    directs = [passing.control.data for passing in tape if isinstance(passing.control, controls.Directed)]
    return [data for data in directs if data[0] == WRAP]


def direct(wire: Wire, user: str, data: bytes) -> bytes:
    """Return a direct to the wire's client in a user's name."""
    return controls.encode(controls.Directed(channel=wire.channel, member=wire.number(user), data=data))


def growing(tape: Collection[Passing], seen: Collection[Passing]) -> list[Passing]:
    """Return the frames of a tape whose counters are above all *seen* ones of the same key id."""
    last: dict[int, int] = {}
    for passing in seen:
        if passing.head is not None:
            kid, ctr, _ = passing.header
            last[kid] = max(ctr, last.get(kid, -1))
    frames = [passing for passing in tape if passing.head is not None]
    return [passing for passing in frames if passing.header[1] > last.get(passing.header[0], -1)]


def offering_clear_text(passing: Passing) -> Iterable[bytes]:
    """Be the rule that lets the relay's answer to a join say that encryption is a matter of taste."""
    if not isinstance(passing.control, controls.Joined):
        return [passing.data]
    return [controls.encode(replace(passing.control, policy={"encryption": "optional"}), passing.ref)]


def stranger(user: str, **choices: str) -> ChannelCrypto:
    """Return a context as anybody can make one, with a secret of its own."""
    return Key.raw(secrets.token_bytes(32), **choices).bind(APP, "room", user)


def weaker_hellos(user: str, *, managed: bool) -> list[bytes | None]:
    """Return well-signed hellos of another suite, and of another way to share keys."""
    unmanaged = stranger(user).hello
    keyed = Key.managed(Identity.generate(), trust="first_use").bind(APP, "room", user).hello
    return [stranger(user, suite="AES_256_GCM").hello, unmanaged if managed else keyed]
