"""The locks of all channels of a process, and what lets them go in time.

A lock outlives its channel: who holds it may be on its way back. It does not outlive the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .budget import Used
from .clock import Clock, TimingWheel
from .interfaces import ChannelKey
from .locks import LockChange, Locks

__all__ = ["Changed", "LockBook"]

_MS = 1000

Changed = Callable[[ChannelKey, Sequence[LockChange]], None]
"""Told what has happened to the locks of a channel by itself, in order."""


class _Page:
    """The locks of one channel, as the wheel knows them."""

    __slots__ = ("_book", "due", "key", "locks")

    def __init__(self, book: LockBook, key: ChannelKey, locks: Locks) -> None:
        self.key = key
        self.locks = locks
        self.due: float | None = None
        self._book = book

    def on_time(self, now: float) -> float | None:
        self.locks.expire(now)
        self._book.expired(self.key)
        return self.locks.next_timeout()


class LockBook:
    """Finds a channel's locks, and forgets those of channels that have none.

    Args:
        clock: fences start at its wall time.
        wheel: wakes what has run out.
        changed: told which locks have run out.

    """

    def __init__(self, clock: Clock, wheel: TimingWheel, changed: Changed) -> None:
        self._clock = clock
        self._wheel = wheel
        self._changed = changed
        self._pages: dict[ChannelKey, _Page] = {}
        self._used: dict[str, Used] = {}
        """The locks of each app."""
        self._fence = 0
        """No channel that was forgotten has given out a higher one."""

    def __repr__(self) -> str:
        return f"LockBook({len(self._pages)} channels)"

    def of(self, key: ChannelKey) -> Locks:
        """Return the locks of a channel; call ``settle`` when something has been done with them."""
        page = self._pages.get(key)
        if page is None:
            fence = max(self._fence, int(self._clock.wall() * _MS))
            used = self._used.setdefault(key.app_id, Used())
            page = self._pages[key] = _Page(self, key, Locks(used, fence))
        return page.locks

    def find(self, key: ChannelKey) -> Locks | None:
        """Return the locks of a channel, if it has any."""
        page = self._pages.get(key)
        return None if page is None else page.locks

    def settle(self, key: ChannelKey) -> list[LockChange]:
        """Return what has happened to the locks of a channel, and see to it that they end in time."""
        page = self._pages[key]
        self._wheel.schedule(page, page.locks.next_timeout())
        if not page.locks:
            del self._pages[key]
            self._fence = max(self._fence, page.locks.fence)
        return page.locks.take_changes()

    def expired(self, key: ChannelKey) -> None:
        """Tell that locks of a channel have run out."""
        changes = self.settle(key)
        if changes:
            self._changed(key, changes)
