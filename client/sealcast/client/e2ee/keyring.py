"""The keys that other senders gave to this side: taken once, moved forward, dropped in time.

For each sender (user and session) there is a chain per epoch. Epochs of a sender only grow: a wrap of
an earlier epoch than the last one installed is old, whoever sends it again. Within an epoch only later
steps come, and a second key for a step that is known must be the same key.

A chain goes ``RETIRE`` seconds after the first good frame of a later epoch, after its sender left, or at
once when an epoch with the same low four bits arrives. The number of the last epoch is kept for
sessions that left, so that leaving and coming back lets no old wrap through.
"""

from __future__ import annotations

import enum
import hmac
from collections import OrderedDict
from typing import Final, NamedTuple

from sealcast.client.errors import WrapConflict

from .context import EPOCH_BITS, BaseKey
from .lifetime import Uncopyable
from .ratchet import STEP_MAX, ReceiveChain
from .rekey import Name
from .suites import Suite

__all__ = ["DEPARTED_MAX", "RETIRE", "Freshness", "Keyring", "Stale"]

RETIRE: Final = 10.0
"""Seconds for which an epoch still opens after a later one has been seen in use."""
DEPARTED_MAX: Final = 32_768
"""Sessions that left and whose last epoch is remembered; the oldest are forgotten first."""

_ALL_STEPS: Final = STEP_MAX + 1


class Freshness(enum.Enum):
    """What the epoch and step of a wrap are to this side."""

    NEW = "new"
    KNOWN = "known"
    """Of a chain that is held; the key must be the one it has there."""
    OLD = "old"


class Stale(NamedTuple):
    """Receive keys that must not be used any more: whoever caches what was derived from them drops it."""

    name: Name
    epoch: int
    below: int
    """The steps below this one; all of the epoch when it is 16."""


class _Sender:
    """What is held of one sender; *chains* by the low four bits of their epochs."""

    __slots__ = ("chains", "newest", "present", "seen")

    def __init__(self) -> None:
        self.chains: dict[int, ReceiveChain] = {}
        self.newest = -1
        self.seen = -1
        """The highest epoch of which a frame was good."""
        self.present = True


class Keyring(Uncopyable):
    """All receive keys of one channel. No I/O, no clock."""

    __slots__ = ("_departed", "_departed_max", "_retiring", "_senders", "_stale", "_suite")

    def __init__(self, suite: Suite, *, departed_max: int = DEPARTED_MAX) -> None:
        self._suite = suite
        self._departed_max = departed_max
        self._senders: dict[Name, _Sender] = {}
        # Both in the order in which they will be dropped.
        self._departed: OrderedDict[Name, None] = OrderedDict()
        self._retiring: OrderedDict[tuple[Name, int], float] = OrderedDict()
        self._stale: list[Stale] = []

    def __repr__(self) -> str:
        return f"Keyring(senders={len(self._senders)}, chains={len(self)})"

    def __len__(self) -> int:
        """How many chains are held."""
        return sum(len(sender.chains) for sender in self._senders.values())

    def freshness(self, name: Name, epoch: int, step: int) -> Freshness:
        """Say what a wrap of this epoch and step would be; known before it is opened."""
        sender = self._senders.get(name)
        if sender is None or epoch > sender.newest:
            return Freshness.NEW
        chain = sender.chains.get(epoch & EPOCH_BITS)
        if chain is None or chain.base.epoch != epoch:
            # The newest epoch of a sender that left and came back: its chain is gone, not its past.
            return Freshness.NEW if epoch == sender.newest else Freshness.OLD
        if epoch < sender.newest or step < chain.base.step:
            return Freshness.OLD
        return Freshness.KNOWN

    def install(self, name: Name, base: BaseKey) -> Freshness:
        """Take a key that *name* wrapped to this side; return what it was.

        Raises:
            WrapConflict: another key is held for the same epoch and step. Nothing changes.

        """
        freshness = self.freshness(name, base.epoch, base.step)
        if freshness is Freshness.KNOWN:
            held = self._senders[name].chains[base.epoch & EPOCH_BITS].at(base.step)
            if held is None or not hmac.compare_digest(held.key, base.key):
                raise WrapConflict
        if freshness is not Freshness.NEW:
            return freshness
        sender = self._senders.setdefault(name, _Sender())
        evicted = sender.chains.get(base.epoch & EPOCH_BITS)
        if evicted is not None:
            self._drop(name, evicted.base.epoch)
        sender.chains[base.epoch & EPOCH_BITS] = ReceiveChain(self._suite, base)
        sender.newest = base.epoch
        return freshness

    def receiving(self, name: Name, epoch: int, step: int) -> BaseKey | None:
        """Return a sender's key by the low four bits of epoch and step, without moving the chain."""
        sender = self._senders.get(name)
        chain = sender.chains.get(epoch & EPOCH_BITS) if sender is not None else None
        return chain.at(step) if chain is not None else None

    def opened(self, name: Name, epoch: int, step: int, now: float) -> None:
        """Note that a frame under this key, again by its low four bits, was good.

        The chain moves to the step; earlier epochs of the sender retire.
        """
        sender = self._senders.get(name)
        chain = sender.chains.get(epoch & EPOCH_BITS) if sender is not None else None
        if sender is None or chain is None or chain.at(step) is None:
            return
        if chain.commit(step):
            self._stale.append(Stale(name, chain.base.epoch, step))
        if chain.base.epoch > sender.seen:
            sender.seen = chain.base.epoch
            for older in sender.chains.values():
                if older.base.epoch < sender.seen:
                    self._retire(name, older.base.epoch, now)

    def held(self, name: Name) -> BaseKey | None:
        """Return the key held of a sender's newest epoch, at the last step that proved itself."""
        sender = self._senders.get(name)
        chain = sender.chains.get(sender.newest & EPOCH_BITS) if sender is not None else None
        return chain.base if chain is not None else None

    def leave(self, name: Name, now: float) -> None:
        """Retire all keys of a sender that has left."""
        sender = self._senders.get(name)
        if sender is None or not sender.present:
            return
        sender.present = False
        for chain in sender.chains.values():
            self._retire(name, chain.base.epoch, now)
        self._departed[name] = None
        while len(self._departed) > self._departed_max:
            oldest, _ = self._departed.popitem(last=False)
            for chain in tuple(self._senders[oldest].chains.values()):
                self._drop(oldest, chain.base.epoch)
            del self._senders[oldest]

    def back(self, name: Name) -> None:
        """Keep the newest keys of a sender after all: the same session is there again."""
        sender = self._senders.get(name)
        if sender is None or sender.present:
            return
        sender.present = True
        self._departed.pop(name, None)
        for chain in sender.chains.values():
            if chain.base.epoch >= sender.seen:
                self._retiring.pop((name, chain.base.epoch), None)

    def next_timeout(self) -> float | None:
        """Return when the next keys retire, or None."""
        return next(iter(self._retiring.values()), None)

    def handle_timeout(self, now: float) -> None:
        """Drop the keys whose time is over."""
        while self._retiring:
            (name, epoch), due = next(iter(self._retiring.items()))
            if due > now:
                return
            self._drop(name, epoch)

    def take_stale(self) -> list[Stale]:
        """Return what caches must drop since the last call."""
        taken, self._stale = self._stale, []
        return taken

    def _retire(self, name: Name, epoch: int, now: float) -> None:
        # The first reason counts: a key that was to go soon does not stay longer because its sender leaves.
        self._retiring.setdefault((name, epoch), now + RETIRE)

    def _drop(self, name: Name, epoch: int) -> None:
        del self._senders[name].chains[epoch & EPOCH_BITS]
        self._retiring.pop((name, epoch), None)
        self._stale.append(Stale(name, epoch, _ALL_STEPS))
