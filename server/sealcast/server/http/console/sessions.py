"""Who is signed in. Pure, in memory: a restart signs everybody out, and a database that is down nobody.

The browser has a random id of 256 bits, we its SHA-256: who reads our memory cannot take a session over.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from ...store.records import Role

__all__ = ["IDLE", "LIFE", "Said", "Sessions", "SignedIn"]

IDLE: Final = 3600.0
"""Seconds without a page after which a session ends; live figures that load by themselves do not count."""
LIFE: Final = 12 * 3600.0
"""Seconds after which it ends in any case."""
_MOST: Final = 1000
_MOST_OF_ONE: Final = 20


@dataclass(frozen=True, slots=True)
class Said:
    """What the next page tells, once."""

    text: str
    error: bool = False
    secret: str = field(default="", repr=False)
    """Shown this once."""


@dataclass(slots=True)
class SignedIn:
    """One session."""

    account_id: str
    """Empty for a one-time sign-in, which has no account."""
    name: str
    """The e-mail."""
    role: Role
    proof: str = field(repr=False)
    """The hash of the password that it was begun with: another password ends it."""
    began: float = 0.0
    seen: float = 0.0
    checked: float = 0.0
    """When the account was last looked at."""
    said: Said | None = None

    def take_said(self) -> Said | None:
        """Return what is to be told, which then has been."""
        said, self.said = self.said, None
        return said


class Sessions:
    """The sessions of one process. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._sessions: dict[bytes, SignedIn] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, account_id: str, name: str, role: Role, proof: str, now: float) -> str:
        """Begin a session; return its id, which nobody can show again."""
        for over in [digest for digest, each in self._sessions.items() if _over(each, now)]:
            del self._sessions[over]
        own = [
            digest for digest, each in self._sessions.items() if account_id and each.account_id == account_id
        ]
        if len(own) >= _MOST_OF_ONE:
            self._forget(own)
        elif len(self._sessions) >= _MOST:
            self._forget(list(self._sessions))
        session_id = secrets.token_urlsafe(32)
        self._sessions[_digest(session_id)] = SignedIn(account_id, name, role, proof, now, now, now)
        return session_id

    def find(self, session_id: str, now: float, *, touch: bool = True) -> SignedIn | None:
        """Return a session that is not over; *touch* says that somebody is there."""
        digest = _digest(session_id)
        session = self._sessions.get(digest)
        if session is None:
            return None
        if _over(session, now):
            del self._sessions[digest]
            return None
        if touch:
            session.seen = now
        return session

    def end(self, session_id: str) -> None:
        """End a session, if there is one."""
        self._sessions.pop(_digest(session_id), None)

    def end_all(self, account_id: str, but: SignedIn | None = None) -> int:
        """End the sessions of an account; return how many."""
        own = [
            digest
            for digest, each in self._sessions.items()
            if each.account_id == account_id and each is not but
        ]
        for digest in own:
            del self._sessions[digest]
        return len(own)

    def csrf(self, cookie: str) -> str:
        """Return the token that the forms of who has this cookie carry."""
        return hmac.new(self._key, cookie.encode(), hashlib.sha256).hexdigest()

    def csrf_good(self, cookie: str, token: str) -> bool:
        """Say whether a form was made for who has this cookie."""
        return bool(cookie) and hmac.compare_digest(self.csrf(cookie).encode(), token.encode())

    def _forget(self, digests: list[bytes]) -> None:
        del self._sessions[min(digests, key=lambda digest: self._sessions[digest].seen)]


def _over(session: SignedIn, now: float) -> bool:
    return now >= session.seen + IDLE or now >= session.began + LIFE


def _digest(session_id: str) -> bytes:
    return hashlib.sha256(session_id.encode()).digest()
