"""Where keys come from: ``Key``, which an application holds.

===================  =================================================================================
``Key.raw``          a shared secret of 32 random bytes per epoch, handed out by the application
``Key.passphrase``   the same, made from words that people can say to each other
``Key.managed``      every member has keys of its own and gives them to members that it can verify
``Key.none``         no encryption
===================  =================================================================================

docs/keys.md says which one to take.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Self, TypeAlias

from sealcast.client.errors import CertificateMissing

from .channel import ChannelCrypto
from .context import SESSION, BaseKey, Entropy, Sender, context_id
from .conversation import Conversation
from .custom import FrameCipher
from .hello import Role
from .identity import Identity
from .kem import kem_by_name
from .lifetime import Uncopyable
from .managed import ManagedKeys
from .padding import PaddingRule
from .passphrase import secret_of_passphrase
from .protection import Protection
from .provider import KeyProvider
from .shared_secrets import SECRET, SharedSecrets, check_epoch, check_secret
from .suites import Suite
from .trust import AuthorityTrust, Claim, trust_policy
from .trust_store import TrustStore

__all__ = ["SECRET", "Key", "KeyProvider", "SharedSecrets"]

_Made: TypeAlias = tuple[KeyProvider, bytes]
"""A provider, and the certificate that follows the hello."""


class _SenderKeys(ManagedKeys):
    """Managed keys under the provider's interface: what is held does not depend on the beacon's epoch."""

    __slots__ = ()

    def held(self, sender: Sender, epoch: int | None = None) -> BaseKey | None:
        return super().held(sender)


class Key(Uncopyable):
    """What an application gives to ``Client.join``: how this channel is encrypted.

    Made by its class methods. Never shows its secret, and is never copied or pickled.

    All members of a channel need the same choices here, except ``padding`` and ``audience``:

    - ``suite``: ``AES_128_GCM`` (the default) or ``AES_256_GCM``; or ``cipher``, the application's own.
    - ``padding``: ``none``, ``buckets`` or ``constant(size)``: how much the sizes of frames say.
    - ``sign_media``: sign frames in batches, and tell whose were not (``Authentic``, ``Unauthentic``).
      Messages are signed in any case.
    - ``audience``: this member only listens in a large channel: senders need not prove their freshness
      to it alone, the time in their beacons is enough.
    """

    __slots__ = ("_label", "_protection", "_provider")

    def __init__(
        self,
        label: str,
        protection: Protection,
        provider: Callable[[str, str, Sender, Entropy], _Made] | None,
    ) -> None:
        """Use the class methods; *provider* makes keys for (app, channel, this side) from an entropy."""
        self._label = label
        self._protection = protection
        self._provider = provider

    def __repr__(self) -> str:
        return self._label

    @classmethod
    def raw(
        cls,
        secret: bytes | bytearray | memoryview,
        *,
        suite: Suite | str | None = None,
        epoch: int = 0,
        cipher: FrameCipher | None = None,
        padding: PaddingRule = "none",
        sign_media: bool = False,
        audience: bool = False,
    ) -> Self:
        """Return a key from a shared secret of 32 random bytes.

        All members need the same secret and epoch. ``Channel.rotate`` changes it.

        Raises:
            ValueError: the secret does not have 32 bytes, or the arguments do not go together.
            SuiteRefused: the suite is not offered.
            EpochRefused: the epoch is not a u32.

        """
        protection = Protection.of(suite, cipher, padding, sign_media, audience)
        return cls._shared("raw", check_secret(secret), check_epoch(epoch), protection)

    @classmethod
    def passphrase(
        cls,
        passphrase: str,
        salt: bytes | bytearray | memoryview,
        *,
        suite: Suite | str | None = None,
        epoch: int = 0,
        cipher: FrameCipher | None = None,
        padding: PaddingRule = "none",
        sign_media: bool = False,
        audience: bool = False,
    ) -> Self:
        """Return a key from a passphrase and a salt of 32 bytes, the same for all members.

        It takes about 0.2 s; in a coroutine: ``await asyncio.to_thread(Key.passphrase, words, salt)``.
        The relay can try passphrases on what it recorded, so take a long one, or better ``Key.raw``.

        Raises:
            PassphraseRefused: the passphrase is shorter than 12 characters, or the salt not 32 bytes.
            ValueError: the arguments do not go together.
            SuiteRefused: the suite is not offered.
            EpochRefused: the epoch is not a u32.

        """
        protection = Protection.of(suite, cipher, padding, sign_media, audience)
        start = check_epoch(epoch)
        return cls._shared("passphrase", secret_of_passphrase(passphrase, salt), start, protection)

    @classmethod
    def _shared(cls, how: str, secret: bytes, epoch: int, protection: Protection) -> Self:
        # A closure, not functools.partial: the repr of a partial shows its arguments.
        def make(app_id: str, channel: str, sender: Sender, entropy: Entropy) -> _Made:
            return SharedSecrets(sender.ctx, sender.suite, epoch, secret, entropy=entropy), b""

        return cls(f"Key.{how}(suite={protection.suite}, epoch={epoch})", protection, make)

    @classmethod
    def managed(
        cls,
        identity: Identity,
        authority: bytes | None = None,
        *,
        certificate: bytes | None = None,
        kem: str = "x25519",
        trust: str = "authority",
        verify_member: Callable[[Claim], bool] | None = None,
        store: TrustStore | None = None,
        suite: Suite | str | None = None,
        cipher: FrameCipher | None = None,
        padding: PaddingRule = "none",
        sign_media: bool = False,
        audience: bool = False,
    ) -> Self:
        """Return keys that the members make themselves, for members that they can verify.

        Who leaves reads nothing that comes later, who joins nothing that came earlier.

        Args:
            identity: this user's long-lived key.
            authority: the public key, 32 bytes, of the authority that certifies members.
            certificate: this user's, if the identity does not carry it already (``Identity.hold``).
            kem: ``x25519``, or ``x-wing`` against who records today and computes in quanta later.
            trust: who counts as a member: ``authority``, ``callback`` or ``first_use``.
            verify_member: for ``callback``: called with a ``Claim``, returns True for a member.
            store: for ``first_use``: where identities are remembered.
            suite: see ``Key``; so for the rest.
            cipher: see ``Key``.
            padding: see ``Key``.
            sign_media: see ``Key``.
            audience: see ``Key``.

        Raises:
            ValueError: the arguments do not go together.
            CertificateRefused: the certificate is none, or for another identity.
            KemRefused: the key encapsulation is not offered here.
            SuiteRefused: the suite is not offered.

        """
        protection = Protection.of(suite, cipher, padding, sign_media, audience)
        policy = trust_policy(authority, verify_member=verify_member, trust=trust, store=store)
        chosen = kem_by_name(kem)
        if certificate is not None:
            identity.hold(certificate)
        role = Role.AUDIENCE if audience else Role.MEMBER

        def make(app_id: str, channel: str, sender: Sender, entropy: Entropy) -> _Made:
            own = identity.certificate(sender.ctx, sender.user)
            if isinstance(policy, AuthorityTrust):
                # What the others would refuse is better refused before the join.
                if not own:
                    raise CertificateMissing("this identity carries no certificate for this user and channel")
                claim = Claim(app_id, channel, sender.ctx, sender.user, identity.public, role, own)
                policy.check(claim, time.time())
            keys = _SenderKeys(app_id, channel, sender, identity, policy, kem=chosen, entropy=entropy)
            return keys, own

        return cls(f"Key.managed(suite={protection.suite}, kem={kem}, trust={trust})", protection, make)

    @classmethod
    def none(cls) -> Self:
        """Return the absence of a key: clear text, which the relay and its operator can read."""
        return cls("Key.none()", Protection(), None)

    def bind(
        self,
        app_id: str,
        channel: str,
        user: str,
        *,
        wall: Callable[[], float] = time.time,
        entropy: Entropy = secrets.token_bytes,
    ) -> ChannelCrypto:
        """Return a new sending and receiving context for *user* in a channel, with a fresh session.

        Args:
            app_id: the app.
            channel: the channel's name.
            user: the user's name.
            wall: the time in Unix seconds.
            entropy: what the session and its keys are made from: never the same bytes twice.

        Raises:
            InvalidName: a name is not allowed.
            CertificateRefused: managed keys, and this user's own certificate does not hold here.

        """
        ctx = context_id(app_id, channel)
        if self._provider is None:
            return ChannelCrypto(user, None)
        sender = Sender(ctx, self._protection.suite, user, entropy(SESSION))
        provider, certificate = self._provider(app_id, channel, sender, entropy)
        conversation = Conversation(sender, provider, self._protection, certificate, wall, entropy)
        return ChannelCrypto(user, conversation)
