"""Which addresses are kept out for a while, because of what they have done. Pure: time is an argument.

An offence costs an address points, which fade by time. With too many of them it is blocked, the first time
shortly, and longer each time after that; how often it was is forgotten by and by, too. Members that join
properly from an address raise what it takes to block it, within bounds: one bad client in a large office does
not shut out the others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .config import GuardConfig

__all__ = ["FACTOR", "OFFENCES", "Block", "Guard"]

OFFENCES: Final[Mapping[str, float]] = {
    # Tokens: forged or garbled ones are work against us; one that is only old or for elsewhere is a mistake.
    "invalid_token": 10.0,
    "app_mismatch": 2.0,
    "token_required": 1.0,
    # What ended a connection.
    "protocol_error": 20.0,
    "text_refused": 20.0,
    "too_many_errors": 20.0,
    "too_big": 10.0,
    "unauthenticated": 1.0,
    # Handshakes.
    "not_http": 5.0,
    "bad_handshake": 5.0,
    "slow_handshake": 2.0,
    "tls_failed": 0.5,
    "unfinished_handshake": 0.1,
    "unknown_app": 1.0,
    "too_many_handshakes": 1.0,
    "too_many_connections": 1.0,
}
"""What an offence costs. What is not here costs nothing: an expired token, a wrong channel, a full one."""

FACTOR: Final = 4.0
"""How much longer each further block is."""
_WORTH: Final = 5.0
"""Points that one good join is worth."""
_CREDIT_FADES: Final = 6
"""Half-lives of points in one of credit."""
_LEVEL_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Block:
    """An address, or a network that counts as one, that is kept out."""

    key: str
    reason: str
    """The offence that was one too many."""
    since: float
    until: float
    """In the time of the guard's caller."""
    level: int
    """How many blocks there were lately, this one counted."""


class _Standing:
    """What is known of one address."""

    __slots__ = ("calm", "credit", "level", "points", "then")

    def __init__(self, now: float) -> None:
        self.points = 0.0
        self.credit = 0.0
        self.then = now
        """When the two were right."""
        self.level = 0
        self.calm = now
        """Since when there was no block, or one step of the level was last forgotten."""

    def fade(self, rules: GuardConfig, now: float) -> None:
        """Let time pass."""
        passed = max(now - self.then, 0.0) / rules.half_life
        if passed:
            self.points *= 0.5**passed
            self.credit *= 0.5 ** (passed / _CREDIT_FADES)
            self.then = now
        while self.level and now - self.calm >= rules.forgive:
            self.level -= 1
            self.calm += rules.forgive


class Guard:
    """Keeps the points, and says who is blocked.

    What it remembers is bounded: the address that was not heard of for the longest time is forgotten first.
    Those that are blocked are kept apart, so that a flood of other addresses does not free them.

    Args:
        rules: the options.

    """

    def __init__(self, rules: GuardConfig) -> None:
        self.rules = rules
        """May be replaced at any time; what is known stays."""
        self._seen: OrderedDict[str, _Standing] = OrderedDict()
        self._blocked: OrderedDict[str, tuple[Block, _Standing]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen) + len(self._blocked)

    def block_of(self, key: str, now: float) -> Block | None:
        """Return the block that keeps this address out now, or None."""
        found = self._blocked.get(key)
        if found is None or not self.rules.enabled:
            return None
        block, standing = found
        if now < block.until:
            return block
        del self._blocked[key]
        standing.calm = standing.then = block.until
        self._remember(key, standing)
        return None

    def blocks(self, now: float) -> Iterator[Block]:
        """Return what is blocked now."""
        for key in tuple(self._blocked):
            block = self.block_of(key, now)
            if block is not None:
                yield block

    def offend(self, key: str, offence: str, now: float) -> Block | None:
        """Note an offence; return the block that it led to, or None. One that is blocked gets no second."""
        cost = OFFENCES.get(offence, 0.0)
        if not cost or not self.rules.enabled or self.block_of(key, now) is not None:
            return None
        standing = self._standing(key, now)
        standing.points += cost
        if standing.points < self.rules.threshold + standing.credit:
            return None
        return self._block(key, standing, offence, now)

    def credit(self, key: str, now: float) -> None:
        """Note that somebody joined properly from there."""
        most = self.rules.threshold * self.rules.credit
        if most and key not in self._blocked:
            standing = self._standing(key, now)
            standing.credit = min(standing.credit + _WORTH, most)

    def lift(self, key: str) -> bool:
        """Forget everything about an address; return whether it was blocked."""
        self._seen.pop(key, None)
        return self._blocked.pop(key, None) is not None

    def _block(self, key: str, standing: _Standing, offence: str, now: float) -> Block:
        rules = self.rules
        standing.level = min(standing.level + 1, _LEVEL_MAX)
        standing.points = 0.0
        lasts = min(rules.block * FACTOR ** (standing.level - 1), rules.block_max)
        block = Block(key, offence, now, now + lasts, standing.level)
        self._seen.pop(key, None)
        self._blocked[key] = (block, standing)
        if len(self._blocked) > rules.addresses:
            self._blocked.popitem(last=False)
        return block

    def _standing(self, key: str, now: float) -> _Standing:
        standing = self._seen.get(key)
        if standing is None:
            standing = _Standing(now)
        standing.fade(self.rules, now)
        self._remember(key, standing)
        return standing

    def _remember(self, key: str, standing: _Standing) -> None:
        self._seen[key] = standing
        self._seen.move_to_end(key)
        while len(self._seen) > self.rules.addresses:
            self._seen.popitem(last=False)
