"""What lies between a payload and the cipher: signature, padding, and whose cipher it is.

From the inside out: body, signature before it, padding after both, cipher. Which of them a frame has
stands in its flags. Each layer wraps ``encrypt`` or ``decrypt`` once per descriptor, so frames without
layers pay nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.client.errors import OpenFailed
from sealcast.protocol.descriptor import CUSTOM, PADDED, SIGNED, Descriptor
from sealcast.protocol.names import Kind

from .context import Payload, Transform
from .custom import FrameCipher
from .hello import SIGNATURE
from .padding import NONE, Padding, pad, unpad
from .signing import signing, verifying
from .suites import TAG

__all__ = ["ALWAYS_SIGNED", "OpenLayers", "SealLayers"]

ALWAYS_SIGNED: Final = frozenset({Kind.MESSAGE, Kind.CONTROL})
"""What its sender always signs, and what is refused unsigned."""
_CLEAR_OVERHEAD: Final = 4 + 7
"""The descriptor, and an SFrame header at its longest."""


def _padding(kind: Kind, rule: Padding, encrypt: Transform) -> Transform:
    def pad_and_encrypt(nonce: bytes, data: Payload, aad: bytes) -> bytes:
        return encrypt(nonce, pad(bytes(data), rule.size(kind, len(data))), aad)

    return pad_and_encrypt


def _unpadding(decrypt: Transform) -> Transform:
    def decrypt_and_unpad(nonce: bytes, data: Payload, aad: bytes) -> bytes:
        return unpad(decrypt(nonce, data, aad))

    return decrypt_and_unpad


class SealLayers:
    """The layers of one sending context.

    Args:
        sign: signs with the identity of the context's hello.
        padding: the rule for sizes.
        cipher: the application's, or None.

    """

    __slots__ = ("_padding", "_sign", "cipher")

    def __init__(
        self,
        sign: Callable[[bytes], bytes],
        *,
        padding: Padding = NONE,
        cipher: FrameCipher | None = None,
    ) -> None:
        self._sign = sign
        self._padding = padding
        self.cipher = cipher

    def describe(self, descriptor: Descriptor) -> Descriptor:
        """Return the descriptor as it goes out: with the flags of the layers that such a frame gets."""
        flags = descriptor.flags
        if descriptor.kind in ALWAYS_SIGNED:
            flags |= SIGNED
        if self._pads(descriptor.kind):
            flags |= PADDED
        if self.cipher is not None:
            flags |= CUSTOM
        return descriptor if flags == descriptor.flags else replace(descriptor, flags=flags)

    def wrap(self, encrypt: Transform, descriptor: Descriptor) -> Transform:
        """Return *encrypt* under the layers that the outgoing descriptor's flags name."""
        if descriptor.flags & PADDED:
            encrypt = _padding(descriptor.kind, self._padding, encrypt)
        if descriptor.flags & SIGNED:
            encrypt = signing(self._sign, encrypt)
        return encrypt

    def sealed_size(self, kind: Kind, length: int) -> int:
        """Return how many bytes a payload of *length* becomes at most, from the descriptor on.

        Raises:
            PaddingExceeded: the padded size is constant and smaller.

        """
        inner = length + (SIGNATURE if kind in ALWAYS_SIGNED else 0)
        if self._pads(kind):
            inner = self._padding.size(kind, inner)
        return _CLEAR_OVERHEAD + inner + (TAG if self.cipher is None else self.cipher.overhead)

    def _pads(self, kind: Kind) -> bool:
        # Beacons and batches show what the relay knows anyway, and do not fit a constant size.
        return self._padding.pads and kind is not Kind.CONTROL


class OpenLayers:
    """What a receiving context takes off; *cipher* is the application's, or None."""

    __slots__ = ("cipher",)

    def __init__(self, cipher: FrameCipher | None = None) -> None:
        self.cipher = cipher

    def check(self, descriptor: Descriptor) -> None:
        """Refuse a frame of another cipher than the channel's.

        Raises:
            OpenFailed: it is.

        """
        if bool(descriptor.flags & CUSTOM) != (self.cipher is not None):
            raise OpenFailed("the frame was sealed with another cipher than this channel's")

    def wrap(self, decrypt: Transform, descriptor: Descriptor, identity: Ed25519PublicKey) -> Transform:
        """Return *decrypt* under the layers that the descriptor's flags name."""
        if descriptor.flags & PADDED:
            decrypt = _unpadding(decrypt)
        if descriptor.flags & SIGNED:
            decrypt = verifying(identity, decrypt)
        return decrypt
