"""Managed keys: every sender makes its own, gives them to the verified members, and changes them.

``ManagedKeys`` is the provider behind ``Key.managed`` for one channel. It does no I/O and has no clock:
*now* is monotonic seconds, *wall* Unix seconds. Its owner

1. tells it who is there: ``joined``, ``add_member``, ``remove_member``, with hellos whose signatures
   ``read_hello`` has verified, and hands over what members send directly: ``receive_direct``;
2. comes back at ``next_timeout`` with ``handle_timeout``;
3. tells it what became of keys: ``mark_used`` when something is sealed under one, ``opened`` when a
   frame under one was good;
4. and after each of these calls takes, in this order, ``stale`` (cached receive keys to drop),
   ``sending`` (seal under this from now on), ``outgoing`` (send before any frame sealed from now on)
   and ``notices``.

The parts: ``peers`` says who is verified, ``rekey`` when this side's key changes, ``keyring`` keeps the
others' keys, ``wrap`` carries them.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from sealcast.client.errors import ContextPoisoned, HelloRefused, KeyMissing, SealError, WrapRefused

from . import lifetime
from .context import EPOCH_BITS, BaseKey, Entropy, Sender, context_id
from .direct import Ack, Direct, encode_ack, encode_wrap, read_direct
from .hello import KEM_X25519
from .identity import Identity
from .kem import PrivateKem
from .keyring import Freshness, Keyring, Stale
from .notices import KeySwitched, Notice, OldWrapIgnored, TrustEnded
from .peers import Introduction, Peer, Peers
from .rekey import Rekeying
from .suites import Suite
from .trust import TrustPolicy
from .wrap import make_wrap, read_wrap

__all__ = ["NOTICES_MAX", "ManagedKeys", "Refusal"]

NOTICES_MAX: Final = 1024
"""Notices kept for an owner that does not take them; the oldest go first."""


class Refusal(NamedTuple):
    """A member that was not admitted, and why."""

    member: int
    error: HelloRefused


class ManagedKeys(lifetime.Uncopyable):
    """Sender keys for one channel and one session. One thread, except for ``mark_used``."""

    __slots__ = (
        "_announced",
        "_forks",
        "_identity",
        "_kem",
        "_keyring",
        "_notices",
        "_outgoing",
        "_peers",
        "_rekeying",
        "_sender",
    )

    def __init__(
        self,
        app_id: str,
        channel: str,
        sender: Sender,
        identity: Identity,
        trust: TrustPolicy,
        *,
        kem: int = KEM_X25519,
        entropy: Entropy = secrets.token_bytes,
    ) -> None:
        """Make this side's first key and the key pair that others wrap to.

        Args:
            app_id: the app.
            channel: the channel.
            sender: this side's context, with its fresh session id.
            identity: this side's long-lived key.
            trust: decides which members get keys.
            kem: how keys are wrapped to this side and, since all members must agree, to the others.
            entropy: what both are made from, and every later key.

        Raises:
            KemRefused: the key encapsulation is not offered here.
            ValueError: *sender* is a context of another channel.

        """
        if sender.ctx != context_id(app_id, channel):
            raise ValueError("the sending context belongs to another channel")
        self._sender = sender
        self._identity = identity
        self._kem = PrivateKem.generate(kem, entropy)
        self._peers = Peers(app_id, channel, sender, identity.public, (kem, self._kem.public), trust)
        self._rekeying = Rekeying(sender.suite, entropy=entropy)
        self._keyring = Keyring(sender.suite)
        self._outgoing: list[tuple[int | None, Direct]] = []
        self._notices: deque[Notice] = deque(maxlen=NOTICES_MAX)
        self._announced = (0, 0)
        self._forks = lifetime.forks

    def __repr__(self) -> str:
        return f"ManagedKeys(suite={self.suite}, peers={len(self._peers)}, {self._rekeying!r})"

    # What the hello, the sealer and the opener ask of any provider.

    @property
    def suite(self) -> Suite:
        """The suite that all members of the channel use."""
        return self._sender.suite

    @property
    def kem(self) -> int:
        """How keys are wrapped to this member."""
        return self._kem.kem

    @property
    def kem_public(self) -> bytes:
        """The public key that others wrap to."""
        return self._kem.public

    def identity(self) -> Identity:
        """Return the key that signs the hello."""
        return self._identity

    def sending(self, sender: Sender) -> BaseKey:
        """Return the base key that this side seals with from now on.

        Raises:
            KeyMissing: *sender* is not this side.
            ContextPoisoned: the process has forked since this was made.

        """
        self._check_alive()
        if sender != self._sender:
            raise KeyMissing("these keys belong to another sending context")
        return self._rekeying.current

    def receiving(self, sender: Sender, epoch: int, step: int) -> BaseKey | None:
        """Return the base key of another sender by the low four bits of epoch and step, or None.

        A later step than the last one seen costs at most fifteen ratchets and moves nothing; ``opened`` does.
        """
        return self._keyring.receiving((sender.user, sender.session), epoch, step)

    def reading(self, sender: Sender, epoch: int, step: int) -> BaseKey | None:
        """Return the key of a kept message: of another sender while it is held, of this side its present one.

        Keys that are gone are gone for the past too.
        """
        if sender != self._sender:
            return self.receiving(sender, epoch, step)
        base = self._rekeying.current
        return base if (base.epoch & EPOCH_BITS, base.step & EPOCH_BITS) == (epoch, step) else None

    def set_key(self, epoch: int, secret: bytes) -> bool:
        """Refuse: managed keys are made here.

        Raises:
            SealError: always.

        """
        raise SealError("managed keys are made and changed by the members; there is no key to set")

    # Who is there, and who was.

    def vouch(self, introduction: Introduction, wall: float) -> None:
        """Return if the author of an earlier message is trusted; raises HelloRefused."""
        self._check_alive()
        self._peers.vouch(introduction, wall)

    def joined(self, roster: Iterable[Introduction], now: float, wall: float) -> list[Refusal]:
        """Take the roster after this side has joined; it replaces the one before. Return who is refused.

        The first time, the present key goes to all. Every other time this side has been away and does
        not know who left meanwhile, so there is a new key, used at once.
        """
        self._check_alive()
        before = self._peers.clear()
        self._outgoing.clear()
        refusals = []
        for introduction in roster:
            self._peers.release(introduction.member)
            try:
                self._peers.admit(introduction, now, wall)
            except HelloRefused as error:
                refusals.append(Refusal(introduction.member, error))
        for gone in before:
            if self._peers.of_name(gone.name) is None:
                self._keyring.leave(gone.name, now)
        for peer in self._peers.all():
            self._keyring.back(peer.name)
        self._rekeying.start((peer.name for peer in self._peers.all() if peer.receives), now)
        self._finish()
        return refusals

    def add_member(self, introduction: Introduction, now: float, wall: float) -> None:
        """Admit a member if it is trusted, and give it the keys.

        Whoever had the number before loses it, also when the newcomer is refused.

        Raises:
            HelloRefused: it is not trusted, or its hello does not fit this channel.
            ContextPoisoned: the process has forked since this was made.

        """
        self._check_alive()
        released = self._peers.release(introduction.member)
        try:
            peer = self._peers.admit(introduction, now, wall)
        except HelloRefused:
            self._depart(released, now)
            self._finish()
            raise
        # Announced again under its own number and with its own keys, nobody has left.
        if released is not None and not (
            released.name == peer.name and released.is_introduced_by(introduction.hello)
        ):
            self._depart(released, now)
        self._welcome(peer, now)
        self._finish()

    def remove_member(self, member: int, now: float) -> None:
        """Take a member's keys away: a new key follows within 250 ms and is used within another second.

        An unknown number is no error. Nothing happens while another number stands for the same session.
        """
        self._check_alive()
        self._depart(self._peers.release(member), now)
        self._finish()

    def reconsider(self, now: float, wall: float) -> list[int]:
        """Ask the trust policy again about the members that it refused; return who is admitted now.

        For an application that has accepted a changed identity in its trust store. The keys that these
        members sent meanwhile are taken, so frames that were held are worth trying again.
        """
        self._check_alive()
        admitted = []
        for introduction, wraps in self._peers.refused():
            try:
                peer = self._peers.admit(introduction, now, wall)
            except HelloRefused:
                continue
            self._welcome(peer, now)
            admitted.append(introduction.member)
            for wrap in wraps:
                with contextlib.suppress(WrapRefused):
                    self._take_wrap(introduction.member, peer, wrap)
        self._finish()
        return admitted

    # What members send to each other.

    def receive_direct(self, member: int, data: bytes, now: float) -> bool:
        """Take a direct payload of *member*; return whether it brought a new key.

        After True, frames that were held for want of a key are worth trying again.

        Raises:
            KeyMissing: the member is not a verified one.
            WrapRefused: malformed, not signed by the member for this session, not openable, or a second
                key for the same epoch. Nothing has changed.
            ContextPoisoned: the process has forked since this was made.

        """
        self._check_alive()
        read = read_direct(data)
        peer = self._peers.of_member(member)
        if peer is None:
            if isinstance(read, bytes):
                self._peers.keep_for_later(member, read)
            raise KeyMissing("the member is not a verified one, so no keys are taken from it")
        if isinstance(read, Ack):
            self._rekeying.ack(peer.name, read.epoch, now)
            self._finish()
            return False
        return self._take_wrap(member, peer, read)

    def _take_wrap(self, member: int, peer: Peer, data: bytes) -> bool:
        wrap = read_wrap(data, self.suite, self.kem).verify(peer.inbound, peer.identity)
        if self._keyring.freshness(peer.name, wrap.epoch, wrap.step) is Freshness.OLD:
            self._notices.append(OldWrapIgnored(member, wrap.epoch, wrap.step))
            return False
        freshness = self._keyring.install(peer.name, wrap.open(self._kem))
        self._outgoing.append((None, Direct(peer.address, encode_ack(wrap.epoch, wrap.step))))
        return freshness is Freshness.NEW

    def outgoing(self) -> list[Direct]:
        """Return what is to be sent directly, in this order, before any frame that is sealed later."""
        taken, self._outgoing = self._outgoing, []
        return [direct for _, direct in taken]

    # Time.

    def next_timeout(self) -> float | None:
        """Return when to call ``handle_timeout``, in the seconds of *now*; None for not at all."""
        times = (self._rekeying.next_timeout(), self._keyring.next_timeout(), self._peers.trusted_until)
        return min((time for time in times if time is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Do what is due: end trust, retire keys, make or use a new key. Calling it early does nothing."""
        self._check_alive()
        until = self._peers.trusted_until
        if until is not None and now >= until:
            for peer in self._peers.all():
                if peer.until is not None and now >= peer.until:
                    self._distrust(peer, now)
        self._keyring.handle_timeout(now)
        self._rekeying.handle_timeout(now)
        self._finish()

    # What became of keys.

    def mark_used(self, base: BaseKey) -> None:
        """Note that something is being sealed under *base*. Any thread may call this, before it seals."""
        self._rekeying.mark_used(base.epoch, base.step)

    def opened(self, sender: Sender, epoch: int, step: int, now: float) -> None:
        """Note that a frame of *sender* was good under this key, by its low four bits.

        Needed once for each key id; more often costs little.
        """
        self._keyring.opened((sender.user, sender.session), epoch, step, now)

    def held(self, sender: Sender) -> BaseKey | None:
        """Return the key of a sender's newest epoch at the last step seen; for itself, its present key."""
        if sender == self._sender:
            return self._rekeying.current
        return self._keyring.held((sender.user, sender.session))

    def stale(self) -> list[Stale]:
        """Return which receive keys went since the last call, for caches of what was derived from them."""
        return self._keyring.take_stale()

    def notices(self) -> list[Notice]:
        """Return what happened since the last call."""
        taken = list(self._notices)
        self._notices.clear()
        return taken

    @property
    def untrusted(self) -> list[int]:
        """The members that are there and were refused by the trust policy."""
        return [introduction.member for introduction, _ in self._peers.refused()]

    @property
    def chains(self) -> int:
        """How many receive keys are held: at most sixteen for each sender."""
        return len(self._keyring)

    def _check_alive(self) -> None:
        if lifetime.forks != self._forks:
            raise ContextPoisoned

    def _welcome(self, peer: Peer, now: float) -> None:
        self._keyring.back(peer.name)
        if peer.receives:
            self._rekeying.join(peer.name, now)

    def _depart(self, peer: Peer | None, now: float) -> None:
        if peer is not None:
            self._keyring.leave(peer.name, now)
            self._rekeying.leave(peer.name, now)

    def _distrust(self, peer: Peer, now: float) -> None:
        for member in tuple(peer.members):
            self._depart(self._peers.release(member), now)
            self._notices.append(TrustEnded(member, peer.name[0]))

    def _finish(self) -> None:
        """Turn what the parts decided into directs and a notice."""
        current = self._rekeying.current
        deliveries = self._rekeying.take_deliveries()
        if deliveries:
            # While nobody sends, wraps of keys that are no longer used would only pile up.
            self._outgoing = [kept for kept in self._outgoing if kept[0] is None or kept[0] >= current.epoch]
        for name, base in deliveries:
            peer = self._peers.of_name(name)
            if peer is not None:
                wrap = make_wrap(base, peer.outbound, peer.to, self._identity)
                self._outgoing.append((base.epoch, Direct(peer.address, encode_wrap(wrap))))
        if (current.epoch, current.step) != self._announced:
            self._announced = (current.epoch, current.step)
            self._notices.append(KeySwitched(current.epoch, current.step))
