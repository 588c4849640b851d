"""The locks of a channel: a name is held by one user at a time, for some seconds unless it says so again.

No I/O and no clock. A lock that ran out may have had an owner who does not know it yet. So every change of
owner has a number, the fence, that only grows: what an owner does elsewhere can carry it, and who takes it
refuses a number lower than one that it has seen. Fences start at the milliseconds of the wall clock, as
nothing of a lock is kept over a restart.
"""

from __future__ import annotations

from typing import NamedTuple

from .budget import Used

__all__ = ["Held", "LockBounds", "LockChange", "LockRefused", "Locks", "Owner"]


class LockRefused(Exception):
    """A request that is not granted; ``name`` is the reply code that says why."""

    def __init__(self, name: str, retry_after: float | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.retry_after = retry_after
        """When the lock ends unless its owner goes on, in seconds."""


class Owner(NamedTuple):
    """Who holds a lock: a user, and the run of its program where it has named one.

    Another run of the same user gets the lock too, and another fence with it: the one before may still be
    at work somewhere, and knows nothing of its successor.
    """

    user: str
    run: bytes = b""

    def __repr__(self) -> str:
        return f"Owner({self.user!r})"


class LockBounds(NamedTuple):
    """How many locks there may be."""

    locks: int
    together: int
    """In all channels that share ``used``."""


class Held(NamedTuple):
    """A lock that somebody has."""

    name: str
    owner: Owner
    fence: int
    ends: float
    """In monotonic seconds."""


class LockChange(NamedTuple):
    """What happened to a lock."""

    name: str
    fence: int
    reason: str
    """``acquired``, ``released``, ``taken`` or ``expired``."""
    user: str | None
    """Who has it now."""


class Locks:
    """The locks of one channel. *now* is in monotonic seconds.

    Args:
        used: where this channel counts its locks, with others.
        fence: the next owner gets a higher number.

    """

    __slots__ = ("_changes", "_held", "_used", "fence")

    def __init__(self, used: Used, fence: int) -> None:
        self.fence = fence
        """The highest that was given out, or might have been."""
        self._used = used
        self._held: dict[str, Held] = {}
        self._changes: list[LockChange] = []

    def __repr__(self) -> str:
        return f"Locks({len(self)} held, fence={self.fence})"

    def __len__(self) -> int:
        """How many are held."""
        return len(self._held)

    def held(self, now: float) -> tuple[Held, ...]:
        """Return the locks that are held at *now*."""
        return tuple(lock for lock in self._held.values() if lock.ends > now)

    def lock(
        self, name: str, owner: Owner, ttl: float, now: float, bounds: LockBounds, *, take: bool = False
    ) -> int:
        """Hold *name* for *ttl* seconds from now on; return the fence.

        For the owner it stays the same. *take* takes the lock from whoever has it.

        Raises:
            LockRefused: ``lock_held`` or ``too_many_items``.

        """
        self.expire(now)
        held = self._held.get(name)
        if held is not None and held.owner == owner:
            self._held[name] = held._replace(ends=now + ttl)
            return held.fence
        if held is None:
            if len(self._held) >= bounds.locks or self._used.amount >= bounds.together:
                raise LockRefused("too_many_items")
            self._used.amount += 1
        elif not take and held.owner.user != owner.user:
            raise LockRefused("lock_held", held.ends - now)
        self.fence += 1
        self._held[name] = Held(name, owner, self.fence, now + ttl)
        self._changes.append(
            LockChange(name, self.fence, "acquired" if held is None else "taken", owner.user)
        )
        return self.fence

    def unlock(self, name: str, user: str, now: float) -> None:
        """Give a lock back.

        Raises:
            LockRefused: ``not_lock_owner``: the user does not have it, or not any more.

        """
        self.expire(now)
        held = self._held.get(name)
        if held is None or held.owner.user != user:
            raise LockRefused("not_lock_owner")
        self._let_go(held, "released")

    def expire(self, now: float) -> None:
        """Let go of what was not held on to."""
        for held in sorted(self._held.values(), key=lambda lock: lock.ends):
            if held.ends <= now:
                self._let_go(held, "expired")

    def next_timeout(self) -> float | None:
        """Return when ``expire`` has something to do next."""
        return min((held.ends for held in self._held.values()), default=None)

    def take_changes(self) -> list[LockChange]:
        """Return what has happened since the last call, in order."""
        changes, self._changes = self._changes, []
        return changes

    def _let_go(self, held: Held, reason: str) -> None:
        del self._held[held.name]
        self._used.amount -= 1
        self._changes.append(LockChange(held.name, held.fence, reason, None))
