"""Signed frames: who of the members it was, for messages and control frames.

::

    plaintext = signature(64) | body
    signature = Ed25519(identity, "sealcast/1 sig" | bind16 | D | SFrame header | SHA-256(body))

Sign, then encrypt: the relay sees neither the signature nor the body. ``bind16`` names the app,
channel, suite, epoch, user and session, and the header the counter, so that a signature fits one
frame in one place. The body's hash is signed and never the GCM tag: who has the key can make two
frames with one tag, but not two bodies with one hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.client.errors import OpenFailed, SignatureForged

from .context import Payload, Transform
from .hello import SIGNATURE

__all__ = ["signed_text", "signing", "verifying"]

_LABEL: Final = b"sealcast/1 sig"
_BOUND: Final = 20
"""bind16 and D, the end of a frame's associated data; before them is the SFrame header."""


def signed_text(aad: bytes, body: bytes) -> bytes:
    """Return what is signed for a frame with this associated data (header | bind16 | D) and body."""
    return _LABEL + aad[-_BOUND:] + aad[:-_BOUND] + hashlib.sha256(body).digest()


def signing(sign: Callable[[bytes], bytes], encrypt: Transform) -> Transform:
    """Return *encrypt* with a signature put before what it is given."""

    def sign_and_encrypt(nonce: bytes, data: Payload, aad: bytes) -> bytes:
        body = bytes(data)
        return encrypt(nonce, sign(signed_text(aad, body)) + body, aad)

    return sign_and_encrypt


def verifying(identity: Ed25519PublicKey, decrypt: Transform) -> Transform:
    """Return *decrypt* with the signature checked and taken away.

    It raises SignatureForged when the sender did not sign, and then no state has changed: a forged
    frame cannot use up the counter of a genuine one.
    """

    def decrypt_and_verify(nonce: bytes, data: Payload, aad: bytes) -> bytes:
        plaintext = decrypt(nonce, data, aad)
        if len(plaintext) < SIGNATURE:
            raise OpenFailed
        body = plaintext[SIGNATURE:]
        try:
            identity.verify(plaintext[:SIGNATURE], signed_text(aad, body))
        except InvalidSignature:
            raise SignatureForged from None
        return body

    return decrypt_and_verify
