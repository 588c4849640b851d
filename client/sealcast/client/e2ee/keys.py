"""Where keys come from: ``Key``, which an application holds, and the provider behind it.

``Key.raw`` is a shared secret of 32 random bytes per epoch, which the application hands to its
members by its own means. Everybody who holds it can read everything of its epochs, and can seal in
any member's name if the relay helps; a member is removed by giving the others a new secret.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealcast.client.errors import EpochRefused

from .channel import ChannelCrypto
from .context import EPOCH_BITS, EPOCH_MAX, BaseKey, Sender, base_key, context_id, epoch_key
from .hello import KEM_NONE
from .lifetime import Uncopyable
from .suites import AES_128_GCM, Suite, suite_by_id, suite_by_name

__all__ = ["SECRET", "Key", "KeyProvider", "SharedSecrets"]

SECRET: Final = 32
"""The size of a raw secret, in bytes."""


class KeyProvider(Protocol):
    """The source of base keys for one channel: what every way of agreeing on keys comes down to.

    A provider is made for one bound context and used by it alone.
    """

    @property
    def suite(self) -> Suite:
        """The suite that all members of the channel use."""

    @property
    def kem(self) -> int:
        """How keys are wrapped to this member, as its hello says it; ``KEM_NONE`` when they are not."""

    @property
    def kem_public(self) -> bytes:
        """The public key that others wrap to; empty for ``KEM_NONE``."""

    def identity(self) -> Ed25519PrivateKey:
        """Return the key that signs the hello."""

    def sending(self, sender: Sender) -> BaseKey:
        """Return the base key that *sender*, which is this side, seals with from now on."""

    def receiving(self, sender: Sender, epoch: int, step: int) -> BaseKey | None:
        """Return the base key of another sender by the low four bits of epoch and step, or None."""

    def set_key(self, epoch: int, secret: bytes) -> bool:
        """Take the application's secret for a new epoch; return False when it is the present one.

        Raises:
            EpochRefused: the epoch does not come after the present one.

        """


class SharedSecrets(Uncopyable):
    """The provider behind ``Key.raw``: one secret per epoch, the same for all members.

    Keeps at most sixteen epochs, one for each value of the low four bits, and of each not the secret
    but what HKDF extracts from it for this channel.
    """

    __slots__ = ("_ctx", "_current", "_epochs", "_suite")

    def __init__(self, ctx: bytes, suite: Suite, epoch: int, secret: bytes) -> None:
        self._ctx = ctx
        self._suite = suite
        self._current = epoch
        self._epochs = {epoch & EPOCH_BITS: (epoch, epoch_key(suite, ctx, secret))}

    def __repr__(self) -> str:
        return f"SharedSecrets(suite={self._suite}, epoch={self._current})"

    @property
    def suite(self) -> Suite:
        """The suite that all members of the channel use."""
        return self._suite

    @property
    def kem(self) -> int:
        """Always ``KEM_NONE``: everybody has the secret."""
        return KEM_NONE

    @property
    def kem_public(self) -> bytes:
        """Always empty."""
        return b""

    def identity(self) -> Ed25519PrivateKey:
        """Return a key pair that lives for one session: a shared secret names nobody."""
        return Ed25519PrivateKey.generate()

    def sending(self, sender: Sender) -> BaseKey:
        """Return this side's base key in the present epoch."""
        epoch, extracted = self._epochs[self._current & EPOCH_BITS]
        return BaseKey(epoch, 0, base_key(extracted, sender, epoch))

    def receiving(self, sender: Sender, epoch: int, step: int) -> BaseKey | None:
        """Return another sender's base key in a kept epoch; shared secrets have no ratchet steps."""
        kept = self._epochs.get(epoch)
        if kept is None or step:
            return None
        return BaseKey(kept[0], 0, base_key(kept[1], sender, kept[0]))

    def set_key(self, epoch: int, secret: bytes) -> bool:
        """Make *epoch* the present one; an older epoch with the same low four bits is dropped.

        Returns False for the present epoch with its own secret again.

        Raises:
            EpochRefused: the epoch does not come after the present one, or is not a u32.
            ValueError: the secret does not have 32 bytes.

        """
        extracted = epoch_key(self._suite, self._ctx, _secret(secret))
        if epoch == self._current:
            if hmac.compare_digest(extracted, self._epochs[epoch & EPOCH_BITS][1]):
                return False
            raise EpochRefused("this epoch has another secret already; give the new key a higher epoch")
        if epoch < self._current:
            raise EpochRefused
        self._epochs[_epoch(epoch) & EPOCH_BITS] = (epoch, extracted)
        self._current = epoch
        return True


def _secret(secret: bytes | bytearray | memoryview) -> bytes:
    if not isinstance(secret, bytes | bytearray | memoryview):
        raise TypeError("a secret is bytes, not text; make one with `sealcast genkey`")
    if len(secret) != SECRET:
        raise ValueError(f"a secret has {SECRET} random bytes; make one with `sealcast genkey`")
    return bytes(secret)


def _epoch(epoch: int) -> int:
    if not 0 <= epoch <= EPOCH_MAX:
        raise EpochRefused("an epoch is a number from 0 to 2^32 - 1")
    return epoch


class Key(Uncopyable):
    """What an application gives to ``Client.join``: how this channel is encrypted.

    Made by ``Key.raw`` or ``Key.none``. Never shows its secret, and is never copied or pickled.
    """

    __slots__ = ("_label", "_provider")

    def __init__(self, label: str, provider: Callable[[bytes], KeyProvider] | None) -> None:
        """Use the class methods; *provider* makes a provider for a channel's ``ctx``."""
        self._label = label
        self._provider = provider

    def __repr__(self) -> str:
        return self._label

    @classmethod
    def raw(
        cls, secret: bytes | bytearray | memoryview, *, suite: Suite | str = AES_128_GCM, epoch: int = 0
    ) -> Key:
        """Return a key from a shared secret of 32 random bytes.

        All members need the same secret, suite and epoch. ``ChannelCrypto.set_key`` rotates it.

        Raises:
            ValueError: the secret does not have 32 bytes.
            SuiteRefused: the suite is not offered.
            EpochRefused: the epoch is not a u32.

        """
        chosen = suite_by_name(suite) if isinstance(suite, str) else suite_by_id(suite.id)
        material, start = _secret(secret), _epoch(epoch)
        label = f"Key.raw(suite={chosen}, epoch={start})"
        # A closure, not functools.partial: the repr of a partial shows its arguments.
        return cls(label, lambda ctx: SharedSecrets(ctx, chosen, start, material))

    @classmethod
    def none(cls) -> Key:
        """Return the absence of a key: clear text, which the relay and its operator can read."""
        return cls("Key.none()", None)

    def bind(self, app_id: str, channel: str, user: str) -> ChannelCrypto:
        """Return a new sending and receiving context for *user* in a channel, with a fresh session.

        Raises:
            InvalidName: a name is not allowed.

        """
        ctx = context_id(app_id, channel)
        return ChannelCrypto(ctx, user, self._provider(ctx) if self._provider else None)
