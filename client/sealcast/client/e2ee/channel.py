"""One channel's encryption, as the SDK uses it: seal, open, who is a member, which key."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sealcast.client.errors import HelloRefused, KeyMissing
from sealcast.protocol.descriptor import CLEAR, SEALED, Descriptor
from sealcast.protocol.names import user_id

from .clear import clear_open, clear_seal
from .context import SESSION, Sender
from .hello import CHALLENGE, Hello, Role, public_bytes, read_hello, sign_hello
from .lifetime import Uncopyable
from .opener import Opened, Opener
from .sealer import Payload, Sealer

if TYPE_CHECKING:
    from .keys import KeyProvider

__all__ = ["ChannelCrypto"]


class _Sealed:
    """The parts of a context that has a key."""

    __slots__ = ("hello", "opener", "provider", "sealer", "sender")

    def __init__(self, ctx: bytes, user: str, provider: KeyProvider) -> None:
        sender = Sender(ctx, provider.suite, user, secrets.token_bytes(SESSION))
        self.sender = sender
        self.provider = provider
        self.sealer = Sealer(sender, provider.sending(sender))
        self.opener = Opener(provider.receiving)
        self.hello = _introduce(sender, provider)


def _introduce(sender: Sender, provider: KeyProvider) -> bytes:
    identity = provider.identity()
    hello = Hello(
        role=Role.MEMBER,
        suite=sender.suite.id,
        user=sender.user,
        session=sender.session,
        identity=public_bytes(identity),
        kem=provider.kem,
        kem_public=provider.kem_public,
        time_ms=time.time_ns() // 1_000_000,
        challenge=secrets.token_bytes(CHALLENGE),
    )
    return sign_hello(hello, sender.ctx, identity)


class ChannelCrypto(Uncopyable):
    """Seals what one user sends to a channel and opens what the others send.

    Made by ``Key.bind``, with a random session id that never leaves memory except in the hello. It
    outlives connections: a reconnect keeps it, a new process makes a new one. It is never copied or
    pickled, and dead in a forked child. ``seal`` may be called from several threads, the rest from one.
    """

    __slots__ = ("_parts", "_user", "open", "seal")

    seal: Callable[[Descriptor, Payload], bytes]
    """``seal(descriptor, payload) -> D | SFrame``; see ``Sealer.seal`` for what it raises.

    The descriptor's version must be this context's ``version``. An attribute, because one more call
    per frame would cost a tenth of the sealing.
    """
    open: Callable[[int, Payload], Opened]
    """``open(member, D | SFrame) -> Opened``; see ``Opener.open`` for what it raises."""

    def __init__(self, ctx: bytes, user: str, provider: KeyProvider | None) -> None:
        self._user = user_id(user)
        self._parts = _Sealed(ctx, self._user, provider) if provider is not None else None
        if self._parts is None:
            self.seal, self.open = clear_seal, clear_open
        else:
            self.seal, self.open = self._parts.sealer.seal, self._parts.opener.open

    def __repr__(self) -> str:
        if self._parts is None:
            return "ChannelCrypto(no key)"
        return f"ChannelCrypto(suite={self._parts.sender.suite}, epoch={self._parts.sealer.epoch})"

    @property
    def version(self) -> int:
        """The version of every descriptor of this context: 1 sealed, 2 clear text."""
        return CLEAR if self._parts is None else SEALED

    @property
    def hello(self) -> bytes | None:
        """What introduces this context to the other members, sent with the join; None without a key.

        The same bytes for the context's whole life.
        """
        return None if self._parts is None else self._parts.hello

    @property
    def epoch(self) -> int | None:
        """The epoch that frames are sealed in; None without a key."""
        return None if self._parts is None else self._parts.sealer.epoch

    def add_member(self, member: int, user: str, hello: bytes | None) -> None:
        """Open frames of *member*, which the relay says is *user*, by what its hello says.

        Whoever had the number before loses it, also when the hello is refused. A member without a
        hello is not an error: its frames raise KeyMissing.

        Raises:
            HelloRefused: malformed, wrongly signed, made for another channel, user, suite or way of
                sharing keys, one of our own sent back to us, or one member too many.

        """
        if self._parts is None:
            return
        parts = self._parts
        parts.opener.dismiss(member)
        if hello is None:
            return
        read = read_hello(hello, parts.sender.ctx)
        if read.session == parts.sender.session:
            raise HelloRefused("the hello carries this side's own session; the relay sent it back")
        if read.user != user:
            raise HelloRefused("the hello names another user than the relay does")
        if read.suite != parts.sender.suite.id:
            raise HelloRefused("the member uses another cipher suite; give all members the same key")
        if read.kem != parts.provider.kem:
            raise HelloRefused("the member shares keys in another way; give all members the same key")
        sender = Sender(parts.sender.ctx, parts.sender.suite, read.user, read.session)
        parts.opener.admit(member, sender, hashlib.sha256(hello).digest())

    def remove_member(self, member: int) -> None:
        """Stop opening frames of *member*; an unknown number is no error.

        The counters seen of its session are remembered, so leaving and joining again lets no old
        frame through.
        """
        if self._parts is not None:
            self._parts.opener.dismiss(member)

    def set_key(self, epoch: int, secret: bytes) -> None:
        """Seal with the application's *secret* for *epoch* from now on.

        Frames of older epochs still open, until a new epoch with the same low four bits replaces
        theirs. The present epoch with its own secret again changes nothing.

        Raises:
            KeyMissing: this context was made by ``Key.none()``.
            EpochRefused: the epoch does not come after the present one.
            ValueError: the secret does not have 32 bytes.
            ContextPoisoned: the process has forked since this was made.

        """
        if self._parts is None:
            raise KeyMissing("a context without a key cannot be given one; join again with a key")
        parts = self._parts
        if parts.provider.set_key(epoch, secret):
            parts.opener.forget_epoch(epoch)
            parts.sealer.rekey(parts.provider.sending(parts.sender))
