"""The cipher suites on offer and their key schedule (RFC 9605 §4.4 and §4.5).

Two suites, both with full 16-byte tags::

    0x0004  AES_128_GCM  HKDF-SHA256  Nh 32  Nk 16
    0x0005  AES_256_GCM  HKDF-SHA512  Nh 64  Nk 32        both: 12-byte nonce, 16-byte tag

The CTR-HMAC suites of the registry (1-3 and 6-8) are known by name and refused: each cuts its tag to
4-10 bytes, and each takes several times as long.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from sealcast.client.errors import SuiteRefused

__all__ = ["AES_128_GCM", "AES_256_GCM", "NONCE", "TAG", "Suite", "suite_by_id", "suite_by_name"]

NONCE: Final = 12
"""The size of a nonce (Nn)."""
TAG: Final = 16
"""The size of a tag (Nt)."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite: its number in the SFrame registry, sizes in bytes, and its key schedule."""

    id: int
    name: str
    registered: str
    """The name in the IANA registry."""
    hash: str
    """The name of the hash, as ``hashlib`` spells it."""
    hash_size: int
    """The size of the hash's output (Nh), and so of a base key."""
    key_size: int
    """The size of the AEAD's key (Nk)."""

    def __str__(self) -> str:
        return self.name

    def extract(self, salt: bytes, secret: bytes) -> bytes:
        """HKDF-Extract (RFC 5869 §2.2), which is one HMAC."""
        return hmac.digest(salt, secret, self.hash)

    def expand(self, key: bytes, info: bytes, size: int) -> bytes:
        """HKDF-Expand (RFC 5869 §2.3)."""
        algorithm = hashes.SHA256() if self.hash == "sha256" else hashes.SHA512()
        return HKDFExpand(algorithm, size, info).derive(key)

    def schedule(self, base_key: bytes, kid: int) -> tuple[bytes, bytes]:
        """Return the AEAD key and the salt of a key id (RFC 9605 §4.4.2)."""
        secret = self.extract(b"", base_key)
        suffix = kid.to_bytes(8, "big") + self.id.to_bytes(2, "big")
        key = self.expand(secret, b"SFrame 1.0 Secret key " + suffix, self.key_size)
        salt = self.expand(secret, b"SFrame 1.0 Secret salt " + suffix, NONCE)
        return key, salt

    def cipher(self, key: bytes) -> AESGCM:
        """Return the AEAD for a key of this suite. One object serves a key for life: making it costs."""
        if len(key) != self.key_size:
            raise ValueError(f"a key of {self.name} has {self.key_size} bytes")
        return AESGCM(key)


AES_128_GCM: Final = Suite(4, "AES_128_GCM", "AES_128_GCM_SHA256_128", "sha256", 32, 16)
"""The default."""
AES_256_GCM: Final = Suite(5, "AES_256_GCM", "AES_256_GCM_SHA512_128", "sha512", 64, 32)

_OFFERED: Final = (AES_128_GCM, AES_256_GCM)
_REFUSED: Final = {
    1: "AES_128_CTR_HMAC_SHA256_80",
    2: "AES_128_CTR_HMAC_SHA256_64",
    3: "AES_128_CTR_HMAC_SHA256_32",
    6: "AES_256_CTR_HMAC_SHA512_80",
    7: "AES_256_CTR_HMAC_SHA512_64",
    8: "AES_256_CTR_HMAC_SHA512_32",
}
_BY_ID: Final = {suite.id: suite for suite in _OFFERED}
_BY_NAME: Final = {
    **{suite.name: suite for suite in _OFFERED},
    **{suite.registered: suite for suite in _OFFERED},
    # The field's names for the same ciphers; the key derivation behind them is not compatible.
    **{suite.name + "2": suite for suite in _OFFERED},
}


def suite_by_id(number: int) -> Suite:
    """Return the suite with this registry number.

    Raises:
        SuiteRefused: it is not offered; the message names it when the registry knows it.

    """
    try:
        return _BY_ID[number]
    except KeyError:
        raise _refused(_REFUSED.get(number)) from None


def suite_by_name(name: str) -> Suite:
    """Return the suite with this name: ours, the registry's, or the field's ``AES_128_GCM2``.

    Raises:
        SuiteRefused: it is not offered.

    """
    try:
        return _BY_NAME[name]
    except KeyError:
        raise _refused(name if name in _REFUSED.values() else None) from None


def _refused(known: str | None) -> SuiteRefused:
    if known is None:
        return SuiteRefused()
    return SuiteRefused(f"{known} is not offered, its tag is too short; use AES_128_GCM or AES_256_GCM")
