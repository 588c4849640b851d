"""From a passphrase to a shared secret: PBKDF2-HMAC-SHA-256 (RFC 8018 §5.2), slow on purpose.

::

    secret = PBKDF2-HMAC-SHA-256(NFC(passphrase) in UTF-8, "sealcast/1 pbkdf2" | salt(32), 600,000 rounds, 32)

NFC, because one keyboard writes "é" as one character and another as two, and both show the same.
The salt is public and made once for a channel; it keeps one table of guesses from serving two channels.
PBKDF2 rather than a memory-hard function, because browsers have it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final

from sealcast.client.errors import PassphraseRefused

__all__ = ["PASSPHRASE_MAX", "PASSPHRASE_MIN", "ROUNDS", "SALT", "secret_of_passphrase"]

ROUNDS: Final = 600_000
SALT: Final = 32
"""The size of a salt, in bytes."""
PASSPHRASE_MIN: Final = 12
"""Characters. Twelve random letters are 56 bits; a phrase that means something has fewer."""
PASSPHRASE_MAX: Final = 1024
"""Characters."""

_PREFIX: Final = b"sealcast/1 pbkdf2"
_SECRET: Final = 32


def secret_of_passphrase(passphrase: str, salt: bytes | bytearray | memoryview) -> bytes:
    """Return the 32-byte secret of a passphrase.

    It takes about 0.2 s of one core and lets other threads run meanwhile; in a coroutine call it by
    ``asyncio.to_thread``.

    Raises:
        PassphraseRefused: fewer than 12 characters or more than 1024, or half a character (an unpaired
            surrogate), or a salt that does not have 32 bytes.
        TypeError: the passphrase is not text, or the salt is not bytes.

    """
    if not isinstance(passphrase, str):
        raise TypeError("a passphrase is text; 32 random bytes go to Key.raw")
    if not isinstance(salt, bytes | bytearray | memoryview):
        raise TypeError("a salt is bytes")
    if len(salt) != SALT:
        raise PassphraseRefused(f"a salt has {SALT} random bytes, the same for all members")
    if len(passphrase) > PASSPHRASE_MAX:
        raise PassphraseRefused(f"a passphrase has at most {PASSPHRASE_MAX} characters")
    text = unicodedata.normalize("NFC", passphrase)
    if len(text.strip()) < PASSPHRASE_MIN:
        raise PassphraseRefused(f"a passphrase has at least {PASSPHRASE_MIN} characters; use several words")
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        raise PassphraseRefused("the passphrase holds half a character") from None
    return hashlib.pbkdf2_hmac("sha256", encoded, _PREFIX + bytes(salt), ROUNDS, _SECRET)
