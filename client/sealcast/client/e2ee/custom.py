"""An application's own cipher in the place of AES-GCM: ``FrameCipher``.

The library keeps all around it: keys and their derivation, header, counters, replay and freshness,
padding, signatures. What the application does is two functions, from bytes to bytes, each told in a
``FrameContext`` which frame it is about. Such frames carry the flag ``40 custom``, and their channel's
suite is a number from 0xF000 to 0xFFFF (private use in the SFrame registry), so that members with
another cipher refuse each other at the hello.

With a custom suite the key schedule uses HKDF-SHA256; base keys and frame keys have 32 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from sealcast.client.errors import CipherFailed, OpenFailed, SuiteRefused
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

from .context import Payload, Sender, Transform
from .suites import Suite

__all__ = ["CUSTOM_FIRST", "CUSTOM_LAST", "CustomKey", "FrameCipher", "FrameContext", "custom_suite"]

CUSTOM_FIRST: Final = 0xF000
CUSTOM_LAST: Final = 0xFFFF
"""The suite numbers for private use."""
OVERHEAD_MAX: Final = 1024


@dataclass(frozen=True, slots=True)
class FrameContext:
    """Which frame is being sealed or opened."""

    aad: bytes
    """What must be authenticated with the frame: SFrame header | bind16 | descriptor. It holds the counter,
    and through bind16 the app, channel, suite, epoch, user and session."""
    key: bytes = field(repr=False)
    """32 bytes of this sender, epoch, ratchet step and stream alone (RFC 9605 §4.4.2)."""
    nonce: bytes
    """12 bytes that never come twice with this key."""
    kind: Kind
    stream: int
    user: str
    """The sender."""
    session: bytes
    epoch: int
    ctr: int
    descriptor: Descriptor


class FrameCipher(Protocol):
    """What an application implements. Both functions may be called from several threads.

    An implementation must authenticate: ``open`` has to raise for a frame that ``seal`` did not make with
    the same context, ``aad`` included. One that does not gives up integrity, replay protection included.
    """

    @property
    def suite(self) -> int:
        """The number that all members give this cipher: 0xF000-0xFFFF."""

    @property
    def overhead(self) -> int:
        """By how many bytes a sealed frame is longer than its payload, at most; 0-1024."""

    def seal(self, fc: FrameContext, plaintext: bytes) -> bytes:
        """Return the ciphertext. What it raises becomes ``CipherFailed``."""

    def open(self, fc: FrameContext, ciphertext: bytes) -> bytes:
        """Return the plaintext, or raise. Whatever it raises becomes ``OpenFailed``."""


def custom_suite(cipher: FrameCipher) -> Suite:
    """Return the suite of a cipher.

    Raises:
        SuiteRefused: its number is not one for private use.
        ValueError: its overhead is out of range.

    """
    number = cipher.suite
    if not isinstance(number, int) or not CUSTOM_FIRST <= number <= CUSTOM_LAST:
        raise SuiteRefused("a custom cipher's suite is a number from 0xF000 to 0xFFFF")
    if not 0 <= cipher.overhead <= OVERHEAD_MAX:
        raise ValueError(f"a custom cipher's overhead is from 0 to {OVERHEAD_MAX} bytes")
    return Suite(number, f"CUSTOM_{number:04X}", "", "sha256", 32, 32)


class CustomKey(NamedTuple):
    """A cipher with the key of one key id: what stands where AES-GCM's object would."""

    cipher: FrameCipher
    key: bytes
    salt: int
    sender: Sender
    epoch: int

    def __repr__(self) -> str:
        return f"CustomKey(suite=0x{self.cipher.suite:04x}, epoch={self.epoch})"

    def sealing(self, descriptor: Descriptor) -> Transform:
        """Return ``encrypt(nonce, plaintext, aad)`` for frames with this descriptor."""
        cipher, most = self.cipher, self.cipher.overhead

        def encrypt(nonce: bytes, data: Payload, aad: bytes) -> bytes:
            plaintext = bytes(data)
            try:
                sealed = cipher.seal(self._context(descriptor, nonce, aad), plaintext)
            except Exception as error:
                raise CipherFailed from error
            if not isinstance(sealed, bytes) or len(sealed) > len(plaintext) + most:
                raise CipherFailed("the application's cipher must return bytes, within its overhead")
            return sealed

        return encrypt

    def opening(self, descriptor: Descriptor) -> Transform:
        """Return ``decrypt(nonce, ciphertext, aad)`` for frames with this descriptor."""
        cipher = self.cipher

        def decrypt(nonce: bytes, data: Payload, aad: bytes) -> bytes:
            try:
                opened = cipher.open(self._context(descriptor, nonce, aad), bytes(data))
            except Exception:
                # Which check failed is nobody's business, and what was raised may hold the payload.
                raise OpenFailed from None
            if not isinstance(opened, bytes):
                raise OpenFailed
            return opened

        return decrypt

    def _context(self, descriptor: Descriptor, nonce: bytes, aad: bytes) -> FrameContext:
        return FrameContext(
            aad=aad,
            key=self.key,
            nonce=nonce,
            kind=descriptor.kind,
            stream=descriptor.stream,
            user=self.sender.user,
            session=self.sender.session,
            epoch=self.epoch,
            ctr=int.from_bytes(nonce, "big") ^ self.salt,
            descriptor=descriptor,
        )
