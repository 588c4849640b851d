"""Sign-ins without an account: a code that is good once, for minutes. Pure.

For relays that are tried out. The link has the code in its fragment, which no browser sends to anybody; the
page hands it over by a form, so that a program that looks at links ahead of people does not use it up.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from ...store.records import Role

__all__ = ["CODE_LIFE", "OneTime"]

CODE_LIFE: Final = 600.0
"""Seconds that a code is good."""
_MOST: Final = 16


class OneTime:
    """The codes of one process. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._codes: dict[bytes, tuple[Role, float]] = {}

    def make(self, role: Role, now: float) -> str:
        """Make a code."""
        code = secrets.token_urlsafe(32)
        while len(self._codes) >= _MOST:
            del self._codes[next(iter(self._codes))]
        self._codes[_digest(code)] = (role, now + CODE_LIFE)
        return code

    def take(self, code: str, now: float) -> Role | None:
        """Return as what a code signs in, and let it be good no more. None if it is not good."""
        role, until = self._codes.pop(_digest(code), (None, 0.0))
        return role if now < until else None


def _digest(code: str) -> bytes:
    # A table of hashes of random values: how long looking one up takes says nothing about the others.
    return hashlib.sha256(code.encode()).digest()
