"""Wraps: a sender's base key, sealed to one receiver's session and signed by the sender's identity.

::

    info = "sealcast/1 wrap" | ctx | u8 grant | u16 suite | u32 epoch | u8 step
           | lp16(user_s) | session_s(16) | identity_s(32)
           | lp16(user_r) | session_r(16) | identity_r(32) | u16 kem | lp16(kem public key_r)
    box  = HPKE base mode, one shot: enc | ciphertext | tag, with this info and no aad
    wrap = u8 grant | u32 epoch | u8 step | signature(64) | box
    signature = Ed25519(identity_s, "sealcast/1 wrap-sig" | SHA-256(info) | SHA-256(box))

Grant 0 is a base key of Nh bytes, so a wrap has 150 bytes with suite 4 and X25519. Grant 1 is reserved
and refused. HPKE's base mode says nothing about who sealed, hence the signature; it comes first in
``opening`` too: a ``SignedWrap`` has no key in it, and only ``verify`` leads to what has.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.client.errors import WrapForged, WrapMalformed

from .context import BaseKey, lp16
from .hello import SIGNATURE
from .identity import Signer
from .kem import KEM_OVERHEAD, PrivateKem, PublicKem
from .ratchet import STEP_MAX
from .reader import Reader
from .suites import Suite

__all__ = ["GRANT_BASE_KEY", "Pair", "Party", "SignedWrap", "VerifiedWrap", "make_wrap", "read_wrap"]

GRANT_BASE_KEY: Final = 0
"""The kind of wrap that holds a base key."""

_HEAD: Final = 1 + 4 + 1 + SIGNATURE


class Party(NamedTuple):
    """One end of a wrap: a user's session, and the identity key of its hello."""

    user: str
    session: bytes
    identity: bytes

    def encode(self) -> bytes:
        """Return this end's part of the info."""
        return lp16(self.user.encode("ascii")) + self.session + self.identity


class Pair(NamedTuple):
    """Who wraps to whom, where: all of the info that stays the same between two sessions."""

    ctx: bytes
    suite: Suite
    sender: Party
    receiver: Party
    kem: int
    """The receiver's key encapsulation."""
    kem_public: bytes
    """The receiver's public key, from its hello."""

    def info(self, epoch: int, step: int) -> bytes:
        """Return the info that a wrap's box and signature are bound to."""
        return b"".join(
            (
                b"sealcast/1 wrap",
                self.ctx,
                GRANT_BASE_KEY.to_bytes(1, "big"),
                self.suite.id.to_bytes(2, "big"),
                epoch.to_bytes(4, "big"),
                step.to_bytes(1, "big"),
                self.sender.encode(),
                self.receiver.encode(),
                self.kem.to_bytes(2, "big"),
                lp16(self.kem_public),
            )
        )


def _signed(info: bytes, box: bytes) -> bytes:
    return b"sealcast/1 wrap-sig" + hashlib.sha256(info).digest() + hashlib.sha256(box).digest()


def make_wrap(base: BaseKey, pair: Pair, to: PublicKem, signer: Signer) -> bytes:
    """Return *base* wrapped to the pair's receiver, whose key is *to*, and signed by its sender."""
    info = pair.info(base.epoch, base.step)
    box = to.seal(pair.suite, info, base.key)
    return b"".join(
        (
            GRANT_BASE_KEY.to_bytes(1, "big"),
            base.epoch.to_bytes(4, "big"),
            base.step.to_bytes(1, "big"),
            signer.sign(_signed(info, box)),
            box,
        )
    )


class SignedWrap(NamedTuple):
    """A wrap that was read and not yet verified; epoch and step are only what it says."""

    epoch: int
    step: int
    signature: bytes
    box: bytes

    def __repr__(self) -> str:
        return f"SignedWrap(epoch={self.epoch}, step={self.step})"

    def verify(self, pair: Pair, identity: Ed25519PublicKey) -> VerifiedWrap:
        """Return the wrap as one that *identity*, the sender's key, signed for exactly this pair.

        Raises:
            WrapForged: it did not, or for another channel, sender, receiver, session, epoch or step.

        """
        info = pair.info(self.epoch, self.step)
        try:
            identity.verify(self.signature, _signed(info, self.box))
        except InvalidSignature:
            raise WrapForged from None
        return VerifiedWrap(self.epoch, self.step, pair.suite, info, self.box)


class VerifiedWrap(NamedTuple):
    """A wrap that is known to come from its sender, still closed."""

    epoch: int
    step: int
    suite: Suite
    info: bytes
    box: bytes

    def __repr__(self) -> str:
        return f"VerifiedWrap(epoch={self.epoch}, step={self.step})"

    def open(self, kem: PrivateKem) -> BaseKey:
        """Return the base key, opened with the receiver's private key.

        Raises:
            WrapUnopened: it was sealed for another key.

        """
        # Of the right size, as ``read_wrap`` saw to it: HPKE adds the same number of bytes to anything.
        return BaseKey(self.epoch, self.step, kem.open(self.suite, self.info, self.box))


def read_wrap(data: bytes, suite: Suite, kem: int) -> SignedWrap:
    """Parse a wrap for a receiver with this suite and key encapsulation.

    Raises:
        WrapMalformed: the size is not the one that suite and kem give, a reserved grant, or a step
            above fifteen.

    """
    if len(data) != _HEAD + KEM_OVERHEAD[kem] + suite.hash_size:
        raise WrapMalformed("the wrap has the wrong size")
    reader = Reader(data, "wrap", WrapMalformed)
    if reader.integer(1) != GRANT_BASE_KEY:
        raise reader.refuse("is of a reserved kind")
    epoch, step, signature = reader.integer(4), reader.integer(1), reader.take(SIGNATURE)
    if step > STEP_MAX:
        raise reader.refuse("names a step that does not exist")
    return SignedWrap(epoch, step, signature, reader.rest())
