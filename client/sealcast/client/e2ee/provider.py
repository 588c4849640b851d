"""What every way of agreeing on keys comes down to, for one channel and one session."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from .context import BaseKey, Sender
from .direct import Direct
from .identity import Signer
from .keyring import Stale
from .notices import Notice
from .peers import Introduction
from .suites import Suite

__all__ = ["KeyProvider", "Refused"]


class Refused(Protocol):
    """A member that a provider did not admit, and why."""

    @property
    def member(self) -> int:
        """The member's number."""

    @property
    def error(self) -> Exception:
        """Why."""


class KeyProvider(Protocol):
    """The source of base keys for one channel.

    A provider is made for one bound context and used by it alone: by one thread, except ``mark_used``.
    After every call its owner takes ``stale``, ``sending``, ``outgoing`` and ``notices``. *now* is in
    seconds of any clock that only goes forward, *wall* in Unix seconds.
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

    def identity(self) -> Signer:
        """Return the key that signs the hello, messages and control frames."""

    def sending(self, sender: Sender) -> BaseKey:
        """Return the base key that *sender*, which is this side, seals with from now on."""

    def receiving(self, sender: Sender, epoch: int, step: int) -> BaseKey | None:
        """Return the base key of another sender by the low four bits of epoch and step, or None."""

    def held(self, sender: Sender, epoch: int | None = None) -> BaseKey | None:
        """Return the key that a roster hash made in *epoch* names for *sender*, this side included."""

    def set_key(self, epoch: int, secret: bytes) -> bool:
        """Take the application's secret for a new epoch; return False when it is the present one.

        Raises:
            EpochRefused: the epoch does not come after the present one.
            SealError: the members make their keys themselves.

        """

    def joined(self, roster: Iterable[Introduction], now: float, wall: float) -> Iterable[Refused]:
        """Take the members that are there after this side has joined; return who is not admitted."""

    def vouch(self, introduction: Introduction, wall: float) -> None:
        """Return if the author of an earlier message is trusted; nothing changes. Raises HelloRefused."""

    def reading(self, sender: Sender, epoch: int, step: int) -> BaseKey | None:
        """Return the base key that a kept message opens with, own ones included, or None.

        As ``receiving``, but for epochs too that are over for what comes in live.
        """

    def add_member(self, introduction: Introduction, now: float, wall: float) -> None:
        """Admit a member; raises HelloRefused when it is not trusted."""

    def remove_member(self, member: int, now: float) -> None:
        """Let a member go; an unknown number is no error."""

    def reconsider(self, now: float, wall: float) -> list[int]:
        """Ask again about members that were not trusted; return who is admitted now."""

    def receive_direct(self, member: int, data: bytes, now: float) -> bool:
        """Take what a member sent directly; return whether it brought a key. Raises SealError."""

    def mark_used(self, base: BaseKey) -> None:
        """Note that something is being sealed under *base*; from any thread."""

    def opened(self, sender: Sender, epoch: int, step: int, now: float) -> None:
        """Note that a frame was good under this key, by its low four bits; needed once for each."""

    def stale(self) -> list[Stale]:
        """Return which receive keys went since the last call."""

    def outgoing(self) -> list[Direct]:
        """Return what is to be sent directly before any frame that is sealed later."""

    def notices(self) -> list[Notice]:
        """Return what happened since the last call."""

    def next_timeout(self) -> float | None:
        """Return when to call ``handle_timeout``; None for not at all."""

    def handle_timeout(self, now: float) -> None:
        """Do what is due; early calls do nothing."""
