"""Passwords of the console's accounts: argon2id hashes, made and compared off the event loop."""

from __future__ import annotations

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

__all__ = ["PASSWORD_LEAST", "PASSWORD_MOST", "Passwords", "refusal_of_email", "refusal_of_password"]

PASSWORD_LEAST: Final = 12
PASSWORD_MOST: Final = 256
_EMAIL_MOST: Final = 254
_AT_ONCE: Final = 2
"""How many are worked on at the same time: each takes 64 MiB and a tenth of a second."""


def refusal_of_password(text: str) -> str | None:
    """Say what is wrong with a new password, or return None."""
    if len(text) < PASSWORD_LEAST:
        return f"a password has {PASSWORD_LEAST} characters or more"
    if len(text) > PASSWORD_MOST:
        return f"a password has {PASSWORD_MOST} characters or fewer"
    return None


def refusal_of_email(text: str) -> str | None:
    """Say what is wrong with the e-mail of a new account, or return None."""
    name, at, host = text.partition("@")
    if not (name and at and host) or len(text) > _EMAIL_MOST or not text.isprintable() or " " in text:
        return "that is no e-mail"
    return None


class Passwords:
    """Makes and compares hashes, a few at a time."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._nobody: str | None = None

    async def hash(self, text: str) -> str:
        """Return a hash to keep."""
        async with self._turn:
            return await asyncio.to_thread(self._hasher.hash, text)

    async def good(self, kept: str | None, text: str) -> bool:
        """Say whether a hash is of this password.

        Without a hash it takes as long, so that who asks does not learn which accounts there are.
        """
        if len(text) > PASSWORD_MOST:
            return False
        if kept is None and self._nobody is None:
            self._nobody = await self.hash("nobody")
        async with self._turn:
            same = await asyncio.to_thread(self._compare, kept or self._nobody or "", text)
        return same and kept is not None

    def stale(self, kept: str) -> bool:
        """Say whether a hash was made with weaker parameters than those of today."""
        return self._hasher.check_needs_rehash(kept)

    def _compare(self, kept: str, text: str) -> bool:
        try:
            return self._hasher.verify(kept, text)
        except (VerificationError, InvalidHashError):
            return False
