"""When a sender changes its key: a small machine with its table, on the caller's clock.

A sender has a *current* key, which it seals with, and while it changes keys a *pending* one, which the
receivers are being given. Five causes move it between four stages, and joins happen in all of them:

- Somebody who had the key left. Leaves within ``GATHER`` seconds are answered by one new key. It is
  given to all who remain, and used once all have acknowledged it or ``SWITCH`` seconds later. Leaves that
  come while a key is pending do not wait for it: they are gathered at the same time, and the pending
  key, which is better than the current one, is used at the latest when the next one is made. So
  nothing is sealed under a key that somebody had who left more than ``GATHER + SWITCH`` seconds ago.
- A key that was used grows old. One that was not used is as good as new.
- This side joined again and does not know who left meanwhile: a new key at once. Nobody is waited for,
  because directs and frames keep their order; who has to wait for a direct holds the frames.

Who joins gets the current key, one ratchet step after the last one that was used. A key that was never
used goes out as it is: it opens nothing from before. After step 15 the next join makes a new key, at once
as well. A pending key goes to who joins, too.

The diagram in docs/managed-keys.md is drawn from ``TRANSITIONS``.
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeAlias

from .context import BaseKey, Entropy
from .lifetime import Uncopyable
from .ratchet import STEP_MAX, advance
from .suites import Suite

__all__ = [
    "GATHER",
    "MAX_AGE",
    "SWITCH",
    "TRANSITIONS",
    "Action",
    "Cause",
    "Delivery",
    "Name",
    "Rekeying",
    "Stage",
]

Name: TypeAlias = tuple[str, bytes]
"""A user and the session id of its context: who holds a key."""

GATHER: Final = 0.25
"""Seconds in which leaves are answered by one new key."""
SWITCH: Final = 1.0
"""Seconds after which a new key is used, whoever has not acknowledged it."""
MAX_AGE: Final = 600.0
"""Seconds after which a key that was used is replaced."""


class Stage(enum.Enum):
    """Where a sender stands between two keys."""

    STEADY = "steady"
    GATHERING = "gathering"
    SWITCHING = "switching"
    OVERLAPPING = "overlapping"
    """A key is pending, and leaves that it does not answer are being gathered."""


class Cause(enum.Enum):
    """What moves a sender."""

    LEFT = "a holder left"
    GATHERED = "250 ms passed"
    SETTLED = "all acked, or 1 s passed"
    AGED = "10 min passed, key used"
    SPENT = "a join at step 15, key used"
    REJOINED = "this side joined again"


class Action(enum.Enum):
    """What a move does."""

    GATHER = "start 250 ms"
    RENEW = "new key to all"
    SWITCH = "use the new key"


_GATHER, _RENEW, _SWITCH = Action.GATHER, Action.RENEW, Action.SWITCH

TRANSITIONS: Final[dict[tuple[Stage, Cause], tuple[Stage, tuple[Action, ...]]]] = {
    (Stage.STEADY, Cause.LEFT): (Stage.GATHERING, (_GATHER,)),
    (Stage.STEADY, Cause.AGED): (Stage.SWITCHING, (_RENEW,)),
    (Stage.STEADY, Cause.SPENT): (Stage.STEADY, (_RENEW, _SWITCH)),
    (Stage.STEADY, Cause.REJOINED): (Stage.STEADY, (_RENEW, _SWITCH)),
    (Stage.GATHERING, Cause.LEFT): (Stage.GATHERING, ()),
    (Stage.GATHERING, Cause.GATHERED): (Stage.SWITCHING, (_RENEW,)),
    (Stage.GATHERING, Cause.SPENT): (Stage.STEADY, (_RENEW, _SWITCH)),
    (Stage.GATHERING, Cause.REJOINED): (Stage.STEADY, (_RENEW, _SWITCH)),
    (Stage.SWITCHING, Cause.LEFT): (Stage.OVERLAPPING, (_GATHER,)),
    (Stage.SWITCHING, Cause.SETTLED): (Stage.STEADY, (_SWITCH,)),
    (Stage.SWITCHING, Cause.SPENT): (Stage.STEADY, (_SWITCH,)),
    (Stage.SWITCHING, Cause.REJOINED): (Stage.STEADY, (_RENEW, _SWITCH)),
    (Stage.OVERLAPPING, Cause.LEFT): (Stage.OVERLAPPING, ()),
    (Stage.OVERLAPPING, Cause.GATHERED): (Stage.SWITCHING, (_SWITCH, _RENEW)),
    (Stage.OVERLAPPING, Cause.SETTLED): (Stage.GATHERING, (_SWITCH,)),
    (Stage.OVERLAPPING, Cause.SPENT): (Stage.GATHERING, (_SWITCH,)),
    (Stage.OVERLAPPING, Cause.REJOINED): (Stage.STEADY, (_RENEW, _SWITCH)),
}
"""What each cause does in each stage. A cause that is not listed cannot come in that stage."""


class Delivery(NamedTuple):
    """A key that a receiver is to be given."""

    name: Name
    base: BaseKey


class Rekeying(Uncopyable):
    """One sender's keys: which it seals with, who has them, which comes next. No I/O, no clock.

    *entropy* makes new keys.
    """

    __slots__ = (
        "_aged_at",
        "_awaited",
        "_current",
        "_deliveries",
        "_entropy",
        "_gather_at",
        "_pending",
        "_receivers",
        "_stage",
        "_started",
        "_suite",
        "_switch_at",
        "_used",
    )

    def __init__(self, suite: Suite, *, entropy: Entropy = secrets.token_bytes) -> None:
        self._suite = suite
        self._entropy = entropy
        self._stage = Stage.STEADY
        self._current = BaseKey(0, 0, entropy(suite.hash_size))
        self._used = False
        self._pending: BaseKey | None = None
        self._receivers: set[Name] = set()
        self._awaited: set[Name] = set()
        self._deliveries: list[Delivery] = []
        self._started = False
        self._gather_at = self._switch_at = self._aged_at = 0.0

    def __repr__(self) -> str:
        current = self._current
        return (
            f"Rekeying({self._stage.value}, epoch={current.epoch}, step={current.step}, "
            f"receivers={len(self._receivers)}, awaited={len(self._awaited)})"
        )

    @property
    def stage(self) -> Stage:
        """Where this sender stands."""
        return self._stage

    @property
    def current(self) -> BaseKey:
        """The key to seal with."""
        return self._current

    @property
    def pending(self) -> BaseKey | None:
        """The key that the receivers are being given, if there is one. Nothing was sealed under it."""
        return self._pending

    @property
    def receivers(self) -> frozenset[Name]:
        """Who has been given the keys and has not left."""
        return frozenset(self._receivers)

    def take_deliveries(self) -> list[Delivery]:
        """Return the keys that are to be wrapped now, in the order in which they must be sent."""
        taken, self._deliveries = self._deliveries, []
        return taken

    def mark_used(self, epoch: int, step: int) -> None:
        """Note that something is sealed under the key of *epoch* and *step*. Any thread may call this."""
        current = self._current
        if (epoch, step) == (current.epoch, current.step):
            self._used = True

    def start(self, names: Iterable[Name], now: float) -> None:
        """Begin with these receivers, or begin again: this side has joined, and they are there."""
        again = self._started or self._used
        self._started = True
        self._receivers = set(names)
        self._awaited = set()
        self._deliveries = []
        if again:
            self._fire(Cause.REJOINED, now)
            return
        self._aged_at = now + MAX_AGE
        self._deliveries = [Delivery(name, self._current) for name in sorted(self._receivers)]

    def join(self, name: Name, now: float) -> None:
        """Give the keys to one more receiver; to one that has them already, as they are."""
        if name not in self._receivers and self._used:
            if self._current.step < STEP_MAX:
                self._current = advance(self._suite, self._current, self._current.step + 1)
                self._used = False
            else:
                self._fire(Cause.SPENT, now)
        self._receivers.add(name)
        self._deliveries.append(Delivery(name, self._current))
        if self._pending is not None:
            self._deliveries.append(Delivery(name, self._pending))
            self._awaited.add(name)

    def leave(self, name: Name, now: float) -> None:
        """Take the keys away from a receiver; nothing happens if it had none."""
        if name not in self._receivers:
            return
        self._receivers.discard(name)
        self._awaited.discard(name)
        self._fire(Cause.LEFT, now)
        self._settle(now)

    def ack(self, name: Name, epoch: int, now: float) -> None:
        """Note that a receiver holds the key of *epoch*; acks of other keys say nothing new."""
        if self._pending is not None and epoch == self._pending.epoch:
            self._awaited.discard(name)
            self._settle(now)

    def next_timeout(self) -> float | None:
        """Return when ``handle_timeout`` has something to do; None before the first join."""
        match self._stage:
            case Stage.STEADY:
                return self._aged_at if self._started else None
            case Stage.GATHERING:
                return self._gather_at
            case Stage.SWITCHING:
                return self._switch_at
            case Stage.OVERLAPPING:
                return min(self._gather_at, self._switch_at)

    def handle_timeout(self, now: float) -> None:
        """Do what is due, as of when it was due: a late call makes nothing later.

        An early one does nothing.
        """
        while (due := self.next_timeout()) is not None and due <= now:
            if self._pending is not None and due >= self._switch_at:
                self._fire(Cause.SETTLED, due)
            elif self._stage is not Stage.STEADY:
                self._fire(Cause.GATHERED, due)
            elif self._used:
                self._fire(Cause.AGED, due)
            else:
                self._aged_at = now + MAX_AGE

    def _settle(self, now: float) -> None:
        if self._pending is not None and not self._awaited:
            self._fire(Cause.SETTLED, now)

    def _fire(self, cause: Cause, now: float) -> None:
        """All moves go through here."""
        self._stage, actions = TRANSITIONS[self._stage, cause]
        for action in actions:
            match action:
                case Action.GATHER:
                    self._gather_at = now + GATHER
                case Action.RENEW:
                    self._renew(now)
                case Action.SWITCH:
                    self._switch(now)
        if Action.RENEW in actions:
            self._settle(now)

    def _renew(self, now: float) -> None:
        newest = self._pending or self._current
        self._pending = BaseKey(newest.epoch + 1, 0, self._entropy(self._suite.hash_size))
        self._awaited = set(self._receivers)
        self._switch_at = now + SWITCH
        self._deliveries.extend(Delivery(name, self._pending) for name in sorted(self._receivers))

    def _switch(self, now: float) -> None:
        assert self._pending is not None, "only stages with a pending key switch to it"
        self._current, self._pending = self._pending, None
        self._used = False
        self._awaited = set()
        self._aged_at = now + MAX_AGE
