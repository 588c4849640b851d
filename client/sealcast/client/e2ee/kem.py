"""Key encapsulation for wraps: HPKE base mode (RFC 9180), classic or post-quantum hybrid.

==========  ======  ============================  ==========  ===========  ======================
name        id      KEM                           public key  overhead     private key
==========  ======  ============================  ==========  ===========  ======================
``x25519``  0x0020  DHKEM(X25519, HKDF-SHA256)    32 bytes    32 + 16      32 bytes
``x-wing``  0x647a  ML-KEM-768 with X25519        1216 bytes  1120 + 16    a 32-byte seed
==========  ======  ============================  ==========  ===========  ======================

The KDF is HKDF-SHA256; the AEAD is AES-128-GCM for suite 4 and AES-256-GCM for suite 5. A key pair
lives for one session, so a wrap that is recorded today opens for nobody once the session is over.
Who records today and hopes for a quantum computer is what ``x-wing`` is for.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any, Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from sealcast.client.errors import HelloRefused, KemRefused, WrapUnopened

from .context import Entropy
from .hello import KEM_X25519, KEM_X_WING
from .lifetime import Uncopyable
from .suites import Suite

__all__ = ["KEM_OVERHEAD", "PrivateKem", "PublicKem", "kem_by_name"]

_TAG: Final = 16
KEM_OVERHEAD: Final = {KEM_X25519: 32 + _TAG, KEM_X_WING: 1088 + 32 + _TAG}
"""By how many bytes a box is longer than what is in it."""

_NAMES: Final = {"x25519": KEM_X25519, "x-wing": KEM_X_WING}
_SEED: Final = 32
_MLKEM_PUBLIC: Final = 1184
_MLKEM_SEED: Final = 64


def kem_by_name(name: str) -> int:
    """Return the id of a key encapsulation.

    Raises:
        KemRefused: the name is unknown, or the installed ``cryptography`` does not have it.

    """
    if name not in _NAMES:
        raise KemRefused("the key encapsulations are x25519 and x-wing")
    _hpke_kem(_NAMES[name])
    return _NAMES[name]


def _hpke_kem(kem: int) -> hpke.KEM:
    if kem == KEM_X25519:
        return hpke.KEM.X25519
    # Newer than the rest of HPKE in this library.
    if kem == KEM_X_WING and hasattr(hpke.KEM, "MLKEM768_X25519"):
        return hpke.KEM.MLKEM768_X25519
    raise KemRefused


def _hpke(kem: int, suite: Suite) -> hpke.Suite:
    aead = hpke.AEAD.AES_128_GCM if suite.key_size == 16 else hpke.AEAD.AES_256_GCM
    return hpke.Suite(_hpke_kem(kem), hpke.KDF.HKDF_SHA256, aead)


class PublicKem:
    """Another member's public key, as its hello gives it: what keys are sealed to."""

    __slots__ = ("_key", "kem", "public")

    def __init__(self, kem: int, public: bytes) -> None:
        """Check the key, so that sealing to it cannot fail later.

        Raises:
            HelloRefused: the bytes are no key, or one that every secret would be known for.
            KemRefused: the key encapsulation is not offered here.

        """
        _hpke_kem(kem)
        self.kem = kem
        self.public = public
        try:
            self._key = _public_key(kem, public)
        except UnsupportedAlgorithm:
            raise KemRefused from None
        except ValueError:
            raise HelloRefused("the hello's key encapsulation key is not a usable one") from None

    def seal(self, suite: Suite, info: bytes, secret: bytes) -> bytes:
        """Return ``enc | ciphertext | tag`` of *secret*, bound to *info*."""
        return _hpke(self.kem, suite).encrypt(secret, self._key, info=info)


def _public_key(kem: int, public: bytes) -> Any:
    x25519 = X25519PublicKey.from_public_bytes(public[-32:])
    # A point of small order makes a shared secret that everybody knows; the exchange refuses it.
    X25519PrivateKey.generate().exchange(x25519)
    if kem == KEM_X25519:
        if len(public) != 32:
            raise ValueError("an X25519 key has 32 bytes")
        return x25519
    from cryptography.hazmat.primitives.asymmetric import mlkem

    mlkem768 = mlkem.MLKEM768PublicKey.from_public_bytes(public[:-32])
    return hpke.MLKEM768X25519PublicKey(mlkem768, x25519)


class PrivateKem(Uncopyable):
    """This session's key pair: what opens the wraps of the others. Lives in memory only."""

    __slots__ = ("_key", "kem", "public")

    def __init__(self, kem: int, seed: bytes) -> None:
        """Make the pair from 32 secret bytes: X25519's private key, or the seed of X-Wing.

        Raises:
            KemRefused: the key encapsulation is not offered here.
            ValueError: the seed has another size.

        """
        if len(seed) != _SEED:
            raise ValueError(f"the seed of a key encapsulation has {_SEED} bytes")
        _hpke_kem(kem)
        self.kem = kem
        try:
            self._key, self.public = _private_key(kem, seed)
        except UnsupportedAlgorithm:
            raise KemRefused from None

    def __repr__(self) -> str:
        return f"PrivateKem(0x{self.kem:04x})"

    @classmethod
    def generate(cls, kem: int, entropy: Entropy = secrets.token_bytes) -> PrivateKem:
        """Return a new pair, made from what *entropy* gives.

        Raises:
            KemRefused: the key encapsulation is not offered here.

        """
        return cls(kem, entropy(_SEED))

    def open(self, suite: Suite, info: bytes, box: bytes) -> bytes:
        """Return what was sealed to this pair with the same *info*.

        Raises:
            WrapUnopened: it was not, or was changed.

        """
        try:
            return _hpke(self.kem, suite).decrypt(box, self._key, info=info)
        except (InvalidTag, ValueError):
            raise WrapUnopened from None


def _private_key(kem: int, seed: bytes) -> tuple[Any, bytes]:
    if kem == KEM_X25519:
        key = X25519PrivateKey.from_private_bytes(seed)
        return key, key.public_key().public_bytes_raw()
    from cryptography.hazmat.primitives.asymmetric import mlkem

    # draft-connolly-cfrg-xwing-kem: the seed stands for both halves.
    expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED + 32)
    mlkem768 = mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED:])
    public = mlkem768.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return hpke.MLKEM768X25519PrivateKey(mlkem768, x25519), public
