"""Shared secrets: 32 random bytes per epoch, which the application hands to its members by its own means.

Everybody who holds one can read everything of its epochs, and can seal in any member's name if the relay
helps; a member is removed by giving the others a new secret.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from sealcast.client.errors import EpochRefused, WrapRefused

from .context import EPOCH_BITS, EPOCH_MAX, BaseKey, Entropy, Sender, base_key, epoch_key
from .direct import Direct
from .hello import KEM_NONE
from .identity import Identity
from .keyring import RETIRE, Stale
from .lifetime import Uncopyable
from .notices import Notice
from .peers import Introduction
from .provider import Refused
from .rekey import Name
from .suites import Suite

__all__ = ["SECRET", "SENDERS_MAX", "SharedSecrets", "check_epoch", "check_secret"]

SECRET: Final = 32
"""The size of a raw secret, in bytes."""
SENDERS_MAX: Final = 65_536
"""Senders of which the newest epoch seen is remembered; the oldest are forgotten first."""


def check_secret(secret: bytes | bytearray | memoryview) -> bytes:
    """Return a raw secret as bytes of its own.

    Raises:
        TypeError: it is not bytes.
        ValueError: it does not have 32 bytes.

    """
    if not isinstance(secret, bytes | bytearray | memoryview):
        raise TypeError("a secret is bytes, not text; make one with `sealcast genkey`")
    if len(secret) != SECRET:
        raise ValueError(f"a secret has {SECRET} random bytes; make one with `sealcast genkey`")
    return bytes(secret)


def check_epoch(epoch: int) -> int:
    """Return *epoch*; raises EpochRefused unless it is a u32."""
    if not 0 <= epoch <= EPOCH_MAX:
        raise EpochRefused("an epoch is a number from 0 to 2^32 - 1")
    return epoch


class SharedSecrets(Uncopyable):
    """The provider behind ``Key.raw`` and ``Key.passphrase``: one secret per epoch, the same for all members.

    Keeps at most sixteen epochs, one for each value of the low four bits, and of each not the secret
    but what HKDF extracts from it for this channel. Of each sender, epochs older than one that was seen
    in use open for ``RETIRE`` more seconds: then who holds an old secret only can make nothing that opens.
    *entropy* makes the session's identity.
    """

    __slots__ = (
        "_ctx",
        "_current",
        "_entropy",
        "_epochs",
        "_floors",
        "_identity",
        "_retiring",
        "_seen",
        "_stale",
        "_suite",
    )

    def __init__(
        self,
        ctx: bytes,
        suite: Suite,
        epoch: int,
        secret: bytes,
        *,
        entropy: Entropy = secrets.token_bytes,
    ) -> None:
        self._ctx = ctx
        self._suite = suite
        self._current = epoch
        self._entropy = entropy
        self._epochs = {epoch & EPOCH_BITS: (epoch, epoch_key(suite, ctx, secret))}
        self._identity: Identity | None = None
        self._seen: OrderedDict[Name, int] = OrderedDict()
        self._floors: OrderedDict[Name, int] = OrderedDict()
        self._retiring: OrderedDict[tuple[Name, int], float] = OrderedDict()
        self._stale: list[Stale] = []

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

    def identity(self) -> Identity:
        """Return a key pair that lives for one session: a shared secret names nobody."""
        if self._identity is None:
            self._identity = Identity.generate(self._entropy)
        return self._identity

    def sending(self, sender: Sender) -> BaseKey:
        """Return this side's base key in the present epoch."""
        epoch, extracted = self._epochs[self._current & EPOCH_BITS]
        return BaseKey(epoch, 0, base_key(extracted, sender, epoch))

    def receiving(self, sender: Sender, epoch: int, step: int) -> BaseKey | None:
        """Return another sender's base key in a kept epoch; shared secrets have no ratchet steps."""
        kept = self._epochs.get(epoch)
        if kept is None or step or kept[0] < self._floors.get((sender.user, sender.session), 0):
            return None
        return BaseKey(kept[0], 0, base_key(kept[1], sender, kept[0]))

    def reading(self, sender: Sender, epoch: int, step: int) -> BaseKey | None:
        """Return any sender's base key in a kept epoch, also when the sender has moved on."""
        kept = self._epochs.get(epoch)
        return None if kept is None or step else BaseKey(kept[0], 0, base_key(kept[1], sender, kept[0]))

    def held(self, sender: Sender, epoch: int | None = None) -> BaseKey | None:
        """Return the key of any sender in *epoch*, the present one if None; None for one without a secret."""
        wanted = self._current if epoch is None else epoch
        kept = self._epochs.get(wanted & EPOCH_BITS)
        if kept is None or kept[0] != wanted:
            return None
        return BaseKey(wanted, 0, base_key(kept[1], sender, wanted))

    def set_key(self, epoch: int, secret: bytes) -> bool:
        """Make *epoch* the present one; an older epoch with the same low four bits is dropped.

        Returns False for the present epoch with its own secret again.

        Raises:
            EpochRefused: the epoch does not come after the present one, or is not a u32.
            ValueError: the secret does not have 32 bytes.

        """
        extracted = epoch_key(self._suite, self._ctx, check_secret(secret))
        if epoch == self._current:
            if hmac.compare_digest(extracted, self._epochs[epoch & EPOCH_BITS][1]):
                return False
            raise EpochRefused("this epoch has another secret already; give the new key a higher epoch")
        if epoch < self._current:
            raise EpochRefused
        self._epochs[check_epoch(epoch) & EPOCH_BITS] = (epoch, extracted)
        self._current = epoch
        return True

    def opened(self, sender: Sender, epoch: int, step: int, now: float) -> None:
        """Note that a frame was good: the sender's older epochs open for ``RETIRE`` more seconds."""
        kept = self._epochs.get(epoch)
        name = (sender.user, sender.session)
        if kept is None or kept[0] <= self._seen.get(name, -1):
            return
        self._remember(self._seen, name, kept[0])
        if any(older < kept[0] for older, _ in self._epochs.values()):
            self._retiring.setdefault((name, kept[0]), now + RETIRE)

    def next_timeout(self) -> float | None:
        """Return when the next epoch of a sender retires; None when none does."""
        return next(iter(self._retiring.values()), None)

    def handle_timeout(self, now: float) -> None:
        """Let the epochs go whose time is over."""
        while self._retiring:
            (name, floor), due = next(iter(self._retiring.items()))
            if due > now:
                return
            del self._retiring[name, floor]
            if floor <= self._floors.get(name, 0):
                continue
            self._remember(self._floors, name, floor)
            for epoch, _ in self._epochs.values():
                if epoch < floor:
                    self._stale.append(Stale(name, epoch, EPOCH_BITS + 1))

    def stale(self) -> list[Stale]:
        """Return which receive keys went since the last call."""
        taken, self._stale = self._stale, []
        return taken

    # Everybody has the secret, so nobody is asked, given or told anything.

    def joined(self, roster: Iterable[Introduction], now: float, wall: float) -> list[Refused]:
        """Do nothing."""
        return []

    def vouch(self, introduction: Introduction, wall: float) -> None:
        """Do nothing: a shared secret names nobody."""

    def add_member(self, introduction: Introduction, now: float, wall: float) -> None:
        """Do nothing."""

    def remove_member(self, member: int, now: float) -> None:
        """Do nothing."""

    def reconsider(self, now: float, wall: float) -> list[int]:
        """Return nobody."""
        return []

    def receive_direct(self, member: int, data: bytes, now: float) -> bool:
        """Refuse: no keys are sent.

        Raises:
            WrapRefused: always.

        """
        raise WrapRefused("all members hold one secret here, so no keys are taken from anybody")

    def mark_used(self, base: BaseKey) -> None:
        """Do nothing."""

    def outgoing(self) -> list[Direct]:
        """Return nothing."""
        return []

    def notices(self) -> list[Notice]:
        """Return nothing."""
        return []

    @staticmethod
    def _remember(among: OrderedDict[Name, int], name: Name, epoch: int) -> None:
        among[name] = epoch
        among.move_to_end(name)
        if len(among) > SENDERS_MAX:
            among.popitem(last=False)
