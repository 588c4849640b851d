"""What beacons show over time: who has gone silent, what is missing, whose picture differs.

Looks once a second, whatever the number of senders, so that nothing has to be sorted by time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from .context import EPOCH_BITS
from .rekey import Name

__all__ = ["MISSING_AFTER", "SPLIT_AFTER", "STALLED_AFTER", "Finding", "Watch"]

STALLED_AFTER: Final = 15.0
"""Seconds without a beacon."""
SPLIT_AFTER: Final = 10.0
"""Seconds for which two rosters may differ, because somebody is just joining, leaving or changing keys."""

MISSING_AFTER: Final = 1.0
"""Seconds that a frame may come later than the beacon that counts it."""

_LOOK_EVERY: Final = 1.0


class Finding(NamedTuple):
    """Something that a sender's beacons, or their absence, have shown."""

    name: Name
    what: str
    """``stalled``, ``split`` or ``missing``."""
    stream: int = 0
    frames: int = 0


class _Sender:
    __slots__ = ("claims", "differs_since", "heard", "seen", "since", "split", "stalled", "times")

    def __init__(self, now: float) -> None:
        self.heard = now
        self.stalled = False
        self.differs_since: float | None = None
        self.times = 0
        self.split = False
        self.since: int | None = None
        """The epoch from which on its beacons are heard; None before the first, and after a gap."""
        self.seen: dict[int, int] = {}
        """By key id: the counter up to which nothing is missed any more."""
        self.claims: dict[int, tuple[int, float]] = {}
        """By key id: the next counter, as a beacon has named it, and when it did."""


class Watch:
    """The senders whose beacons have opened the gate. No I/O, no clock.

    *last* tells the last counter that was opened of a sender's key id, -1 for none.
    """

    __slots__ = ("_last", "_look_at", "_senders")

    def __init__(self, last: Callable[[Name, int], int]) -> None:
        self._last = last
        self._senders: dict[Name, _Sender] = {}
        self._look_at: float | None = None

    def beacon(
        self,
        name: Name,
        epoch: int,
        same_roster: bool,
        counters: Iterable[tuple[int, int]],
        now: float,
    ) -> None:
        """Take a fresh sender's beacon of *epoch*.

        *same_roster* says whether its roster hash is this side's; *counters* are the key ids of its
        streams with the counter that comes next. What was sealed before the first beacon seen is not
        missed: this side may have joined later.
        """
        sender = self._senders.get(name)
        if sender is None:
            sender = self._senders[name] = _Sender(now)
        if self._look_at is None:
            self._look_at = now + _LOOK_EVERY
        sender.heard, sender.stalled = now, False
        if same_roster:
            sender.differs_since, sender.times, sender.split = None, 0, False
        else:
            sender.times += 1
            if sender.differs_since is None:
                sender.differs_since = now
        for kid, following in counters:
            if kid not in sender.seen:
                sender.seen[kid] = 0 if self._is_counted(name, sender.since, epoch, kid) else following
            if following > sender.seen[kid]:
                sender.claims.setdefault(kid, (following, now))
        if sender.since is None:
            sender.since = epoch

    def _is_counted(self, name: Name, since: int | None, epoch: int, kid: int) -> bool:
        """Whether all that was sealed under a key id that a beacon names first was meant for this side too.

        It was not if the sender had an epoch with the same low four bits before this side heard of it:
        counters go on from there. Where something was opened, only what comes after it is missed anyway.
        """
        if since is None:
            return False
        return epoch <= EPOCH_BITS or epoch & EPOCH_BITS >= since or self._last(name, kid) >= 0

    def forget(self, name: Name) -> None:
        """Let a sender go."""
        self._senders.pop(name, None)
        if not self._senders:
            self._look_at = None

    def pause(self, now: float) -> None:
        """Note that nothing could be heard until now: this side was away."""
        for sender in self._senders.values():
            sender.heard = now
            sender.differs_since, sender.times = None, 0
            # What came meanwhile is counted by the offsets of messages, and otherwise by nobody.
            sender.seen, sender.claims, sender.since = {}, {}, None

    def next_timeout(self) -> float | None:
        """Return when to look again."""
        return self._look_at

    def handle_timeout(self, now: float) -> list[Finding]:
        """Return what has been wrong for long enough; each is told once until it was right again."""
        if self._look_at is None or now < self._look_at:
            return []
        self._look_at = now + _LOOK_EVERY
        findings = []
        for name, sender in self._senders.items():
            if not sender.stalled and now - sender.heard >= STALLED_AFTER:
                sender.stalled = True
                findings.append(Finding(name, "stalled"))
            since = sender.differs_since
            # One beacon alone may have crossed a change on its way.
            if since is not None and not sender.split and sender.times > 1 and now - since >= SPLIT_AFTER:
                sender.split = True
                findings.append(Finding(name, "split"))
            findings += self._missing(name, sender, now)
        return findings

    def _missing(self, name: Name, sender: _Sender, now: float) -> list[Finding]:
        findings = []
        for kid, (following, claimed) in list(sender.claims.items()):
            # A frame may follow right behind the beacon that counts it.
            if now - claimed >= MISSING_AFTER:
                del sender.claims[kid]
                gap = following - max(sender.seen[kid], self._last(name, kid) + 1)
                sender.seen[kid] = following
                if gap > 0:
                    findings.append(Finding(name, "missing", kid >> 8, gap))
        return findings
