"""API keys: what they look like, what they may do, and who sends one.

A key is ``sealcast_<id>_<secret>``. The server keeps its SHA-256, which is enough: the secret has 256 random
bits, so nobody finds it by trying, and comparing hashes takes as long for any wrong one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple, get_args

from fastapi import Depends, Request

from ..clock import Clock
from ..config import ServerConfig
from ..store.records import KeyRecord, Missing, StoreDown

if TYPE_CHECKING:
    from ..store.keys import Keys

__all__ = ["SCOPES", "Caller", "CallerOf", "Guests", "NewKey", "Scope", "make_key"]

Scope = Literal[
    "apps:read",
    "apps:write",
    "channels:read",
    "members:write",
    "bans:write",
    "revocations:write",
    "messages:write",
    "history:write",
    "audit:read",
    "usage:read",
    "keys:write",
    "nodes:read",
    "blocks:write",
    "metrics:read",
    "webhooks:write",
    "sessions:read",
    "users:write",
]
"""What a key may be good for."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_KEY: Final = re.compile(r"sealcast_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_USED_EVERY: Final = 60.0
"""Seconds between two notes of when a key was used."""
_NOTES_MAX: Final = 10_000


class NewKey(NamedTuple):
    """A key that was made a moment ago, for whom it is for; it is not kept."""

    key_id: str
    text: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request."""

    actor: str
    """As the audit log names it."""
    address: str
    scopes: frozenset[str]
    app_id: str | None
    """The one app that it may see; None for all."""
    rate: int | None
    """Requests a minute; None for the default."""

    def sees(self, app_id: str | None) -> bool:
        """Whether this is about what the caller may see at all."""
        return self.app_id is None or self.app_id == app_id


def make_key() -> NewKey:
    """Make a key."""
    key_id = secrets.token_hex(6)
    text = f"sealcast_{key_id}_{secrets.token_urlsafe(32)}"
    return NewKey(key_id, text, _digest(text))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class Guests:
    """Tells who a key belongs to.

    Args:
        server: may have a key of its own, which is good without a database.
        keys: those of the database.
        clock: the present.

    """

    def __init__(self, server: ServerConfig, keys: Keys | None, clock: Clock) -> None:
        configured = server.internal_key.get_secret_value()
        self._configured = _digest(configured) if configured else None
        self._keys = keys
        self._clock = clock
        self._noted: dict[str, float] = {}

    async def recognize(self, text: str, address: str) -> Caller | None:
        """Return whose key this is, or None. Raises StoreDown."""
        digest = _digest(text)
        if self._configured is not None and hmac.compare_digest(digest, self._configured):
            return Caller("configured key", address, frozenset(SCOPES), None, None)
        match = _KEY.fullmatch(text)
        if match is None or self._keys is None:
            return None
        try:
            record = await self._keys.get(match[1])
        except Missing:
            return None
        if not hmac.compare_digest(digest, record.digest):
            return None
        if record.expires is not None and record.expires <= self._clock.wall():
            return None
        await self._note(record)
        return Caller(f"key {record.key_id}", address, frozenset(record.scopes), record.app_id, record.rate)

    async def _note(self, record: KeyRecord) -> None:
        now = self._clock.monotonic()
        if now - self._noted.get(record.key_id, -_USED_EVERY) < _USED_EVERY or self._keys is None:
            return
        if len(self._noted) >= _NOTES_MAX:
            self._noted.clear()
        self._noted[record.key_id] = now
        try:
            await self._keys.used(record.key_id)
        except StoreDown:
            return  # the key is good, whether that can be written down or not


def _caller(request: Request) -> Caller:
    found: Caller = request.state.caller
    return found


CallerOf = Annotated[Caller, Depends(_caller)]
"""For a route's arguments."""
