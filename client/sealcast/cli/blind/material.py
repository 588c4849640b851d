"""The keys of one channel, as the command's own members hold them, and what each of their sessions holds.

Two sorts: one secret per epoch that all members share, and keys that the members make and wrap to each
other. For either, ``session`` says from a captured hello what its sender sealed with, and everything of
it that must be nowhere in the relay.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from sealcast.client.e2ee import AES_128_GCM, Authority, FrameContext, Identity, Key, Suite
from sealcast.client.e2ee.context import BaseKey, Sender, base_key, epoch_key
from sealcast.client.e2ee.hello import Hello
from sealcast.client.e2ee.kem import PrivateKem
from sealcast.client.e2ee.keys import SECRET
from sealcast.client.e2ee.ratchet import advance

from .draws import DrawingKey, recognise, signing_secrets
from .windows import Mode

__all__ = ["AesCcm", "Clear", "Managed", "Material", "Named", "Session", "Shared"]

Named = tuple[str, bytes]
"""A secret, and what people call it."""

_CERTIFIED_SECONDS: Final = 3600
_CLOCK_ERROR: Final = 300


@dataclass(frozen=True, slots=True)
class Session:
    """What one member's session held; ``repr`` shows none of it."""

    sender: Sender = field(repr=False)
    base_keys: dict[int, BaseKey] = field(repr=False)
    """What it sealed with, at step 0, by the low four bits of the epoch."""
    secrets: tuple[Named, ...] = field(repr=False)
    """What else only members may have."""
    kem: PrivateKem | None = field(default=None, repr=False)
    """What opens the keys that were wrapped to it; None where none are."""

    def base_key(self, epoch: int, step: int) -> BaseKey | None:
        """Return a base key by the low four bits of epoch and step; None for one that it never had."""
        base = self.base_keys.get(epoch)
        return None if base is None else advance(self.sender.suite, base, step)


class Material(Protocol):
    """The keys of one channel; ``repr`` shows none."""

    suite: Suite
    mode: Mode
    """How frames are sealed under an AES key."""
    secrets: tuple[Named, ...]
    """What must be nowhere in the relay, whoever holds it."""
    rotation: bytes | None
    """The secret that all members change to under way; None where they make their keys themselves."""
    changes: bool
    """Whether keys change under way at all."""

    def key(self, user: str) -> Key:
        """Return what a user joins with; the same for the same user."""

    def session(self, hello: Hello, sender: Sender) -> Session | None:
        """Return what the sender of a captured hello held; None for a stranger."""


class AesCcm:
    """The application's own cipher that takes part: AES-256-CCM (RFC 3610) under a private suite number."""

    suite = 0xF0CC
    overhead = 16

    def seal(self, fc: FrameContext, plaintext: bytes) -> bytes:
        """Return ciphertext and tag."""
        return AESCCM(fc.key).encrypt(fc.nonce, plaintext, fc.aad)

    def open(self, fc: FrameContext, ciphertext: bytes) -> bytes:
        """Return the plaintext; raises InvalidTag."""
        return AESCCM(fc.key).decrypt(fc.nonce, ciphertext, fc.aad)


class Shared:
    """Keys from one secret of 32 bytes per epoch, the same for all members.

    Args:
        suite: the suite that the keys use.
        secret: of epoch 0.
        make: makes a fresh key of it.
        more: what the secret was made from, if it was made from anything.
        mode: how the suite seals.

    """

    changes = True

    def __init__(
        self,
        suite: Suite,
        secret: bytes,
        make: Callable[[], DrawingKey],
        *more: Named,
        mode: Mode = "gcm",
    ) -> None:
        self.suite = suite
        self.mode: Mode = mode
        self.rotation: bytes | None = secrets.token_bytes(SECRET)
        self._epochs = [secret, self.rotation]
        self.secrets = tuple((f"content secret, epoch {n}", each) for n, each in enumerate(self._epochs))
        self.secrets += more
        self._make = make
        self._keys: dict[str, DrawingKey] = {}

    def key(self, user: str) -> Key:
        """Return what a user joins with."""
        if user not in self._keys:
            self._keys[user] = self._make()
        return self._keys[user]

    def session(self, hello: Hello, sender: Sender) -> Session | None:
        """Return what the sender of a captured hello held; None for a stranger."""
        key = self._keys.get(hello.user)
        found = None if key is None else recognise(key.draws.made, hello)
        if found is None:
            return None
        extracted = [epoch_key(self.suite, sender.ctx, secret) for secret in self._epochs]
        named = [
            (f"secret as extracted for the channel, epoch {n}", each) for n, each in enumerate(extracted)
        ]
        bases = {n: BaseKey(n, 0, base_key(each, sender, n)) for n, each in enumerate(extracted)}
        own = [(f"{name} of {hello.user}", value) for name, value in found.secrets]
        return Session(sender, bases, (*named, *own))


class Managed:
    """Keys that the members make, and wrap to members whose identity the authority has certified.

    Args:
        app_id: the app.
        channel: the channel.
        suite: the suite that all use.
        kem: how keys are wrapped, by name.

    """

    changes = True
    mode: Mode = "gcm"
    rotation: bytes | None = None

    def __init__(self, app_id: str, channel: str, suite: Suite, kem: str) -> None:
        self.suite = suite
        self._place = (app_id, channel)
        self._kem = kem
        private = secrets.token_bytes(SECRET)
        self._authority = Authority.from_bytes(private)
        self.secrets: tuple[Named, ...] = tuple(signing_secrets("authority's private key", private))
        self._keys: dict[str, DrawingKey] = {}
        self._identities: dict[str, bytes] = {}

    def key(self, user: str) -> Key:
        """Return what a user joins with: an identity of its own, certified for this channel."""
        if user in self._keys:
            return self._keys[user]
        private, now = secrets.token_bytes(SECRET), int(time.time())
        identity = Identity.from_bytes(private)
        identity.hold(
            self._authority.certify(
                *self._place,
                user,
                identity.public,
                not_before=now - _CLOCK_ERROR,
                not_after=now + _CERTIFIED_SECONDS,
            )
        )
        self.secrets += tuple(signing_secrets(f"identity's private key of {user}", private))
        key = DrawingKey.managed(identity, self._authority.public, kem=self._kem, suite=self.suite)
        self._identities[user] = private
        self._keys[user] = key
        return key

    def session(self, hello: Hello, sender: Sender) -> Session | None:
        """Return what the sender of a captured hello held; None for a stranger."""
        key = self._keys.get(hello.user)
        found = None if key is None else recognise(key.draws.made, hello, self._identities[hello.user])
        if found is None:
            return None
        # A sender's epochs count up from 0, each with a key drawn for it.
        bases = {n & 15: BaseKey(n, 0, each) for n, each in enumerate(found.base_keys)}
        own = tuple((f"{name} of {hello.user}", value) for name, value in found.secrets)
        return Session(sender, bases, own, found.kem)


class Clear:
    """The control: no keys at all."""

    suite = AES_128_GCM
    mode: Mode = "gcm"
    secrets: tuple[Named, ...] = ()
    rotation: bytes | None = None
    changes = False

    def key(self, user: str) -> Key:
        """Return the absence of a key."""
        return Key.none()

    def session(self, hello: Hello, sender: Sender) -> Session | None:
        """Return nothing: nobody held anything."""
        return None
