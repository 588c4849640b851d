"""Revoked tokens: by their id, or all that were issued before a time. Pure: no clock, no database.

A revocation by time may be narrowed to a user, a channel, or both. Since a token lives for a day at most, a
revocation is needed for about as long, and then forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sealcast.protocol.tokens import LIFE_MAX

__all__ = ["Revocation", "RevocationBook", "needed_until"]

_NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation: of the token with an id, or of what was issued before a time."""

    revocation_id: str
    app_id: str
    token_id: str | None
    channel: str | None
    user: str | None
    issued_before: float | None
    """Unix seconds, exclusive; None when it is about one token."""
    until: float
    """When no such token can be valid any more, in Unix seconds."""
    reason: str
    creator: str
    created: float

    @property
    def rule_id(self) -> str:
        """The id, as all rules have one."""
        return self.revocation_id

    @property
    def end(self) -> float:
        """When it can be forgotten."""
        return self.until


def needed_until(now: float, issued_before: float | None, skew: float) -> float:
    """Return when a revocation that is made now can be forgotten; *skew* is how far issuers may be ahead."""
    return max(now, issued_before or now) + LIFE_MAX + skew


class RevocationBook:
    """The revocations of one app; a question costs five look-ups, however many there are."""

    def __init__(self) -> None:
        self._all: dict[str, Revocation] = {}
        self._tokens: dict[str, set[str]] = {}
        """The revocations of each token, by its id."""
        self._scopes: dict[tuple[str | None, str | None], dict[str, float]] = {}
        """By channel and user: the times of the revocations."""
        self._before: dict[tuple[str | None, str | None], float] = {}
        """The latest of these times."""

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Revocation]:
        return iter(self._all.values())

    def get(self, revocation_id: str) -> Revocation | None:
        """Return a revocation, or None."""
        return self._all.get(revocation_id)

    def put(self, revocation: Revocation) -> None:
        """Add a revocation."""
        self.take(revocation.revocation_id)
        number = revocation.revocation_id
        self._all[number] = revocation
        if revocation.token_id is not None:
            self._tokens.setdefault(revocation.token_id, set()).add(number)
        elif revocation.issued_before is not None:
            key = (revocation.channel, revocation.user)
            self._scopes.setdefault(key, {})[number] = revocation.issued_before
            self._before[key] = max(self._before.get(key, _NEVER), revocation.issued_before)

    def take(self, revocation_id: str) -> Revocation | None:
        """Take a revocation out; return it, if there was one."""
        revocation = self._all.pop(revocation_id, None)
        if revocation is None:
            return None
        if revocation.token_id is not None:
            self._tokens[revocation.token_id].discard(revocation_id)
            if not self._tokens[revocation.token_id]:
                del self._tokens[revocation.token_id]
        else:
            key = (revocation.channel, revocation.user)
            times = self._scopes[key]
            time = times.pop(revocation_id)
            if not times:
                del self._scopes[key], self._before[key]
            elif time == self._before[key]:
                self._before[key] = max(times.values())
        return revocation

    def revoked(self, channel: str, user: str, token_id: str, issued_at: float) -> bool:
        """Say whether a token with which *user* is in *channel*, or wants to be, is revoked."""
        if not self._all:
            return False
        if token_id in self._tokens:
            return True
        before = self._before
        return any(
            before.get(key, _NEVER) > issued_at
            for key in ((None, None), (channel, None), (None, user), (channel, user))
        )

    def lapsed(self, now: float) -> list[Revocation]:
        """Take out those that are needed no more; return them."""
        over = [each for each in self._all.values() if each.until <= now]
        for each in over:
            self.take(each.revocation_id)
        return over
