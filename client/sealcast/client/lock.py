"""Locks: a name that one user of a channel holds at a time, for as long as it says so.

A lock is a promise of the relay, and one with an end: whoever does not say in time that it goes on may be
gone, and somebody else gets it. Work that must not be done twice carries the fence with it, a number that
grows with every owner, to where it can be compared.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Final

from sealcast.protocol import controls
from sealcast.protocol.codes import reply
from sealcast.protocol.errors import RemoteProtocolError
from sealcast.protocol.names import Kind

from .asking import ask
from .errors import (
    ChannelClosed,
    Disconnected,
    LimitExceeded,
    LockHeld,
    LockLost,
    NotConnected,
    RequestRefused,
    RequestTimeout,
)
from .events import LockChanged
from .grant import NotPermitted
from .metadata import check_shared_name, is_shared_name
from .reasons import plain_name, plain_user

if TYPE_CHECKING:
    from .membership import Membership, Route

__all__ = ["ChannelLocks", "Lock"]

_HELD: Final = reply("lock_held")
_RENEWALS: Final = 3
"""How often it is said that a lock goes on, in the time after which it would end."""
_WAIT: Final = 1.0
"""Seconds to wait where the server names no time."""
_JITTER: Final = 0.1
"""Seconds within which those who wait for a lock ask again when it is free."""


class ChannelLocks:
    """The locks that this side holds or waits for, over all connections of a channel."""

    __slots__ = ("_membership", "_turns", "_using")

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._using: dict[str, list[Lock]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    def told(self, changed: controls.LockChanged) -> None:
        """Something happened to a lock; raises RemoteProtocolError when it cannot be called so."""
        if not is_shared_name(changed.name):
            raise RemoteProtocolError("a lock with a name that no lock can have")
        for lock in self._using.get(changed.name, ()):
            lock.told(changed)
        user = None if changed.user is None else plain_user(changed.user)
        reason = plain_name(changed.reason)
        self._membership.reception.tell(
            LockChanged(changed.name, changed.fence, reason, user, changed.member)
        )

    def ended(self) -> None:
        """The membership has ended for good, and nothing says any more that a lock goes on."""
        for locks in self._using.values():
            for lock in locks:
                lock.ended()

    @contextlib.asynccontextmanager
    async def turn(self, lock: Lock, deadline: float | None) -> AsyncIterator[None]:
        """Let one part of this program at a time ask for a lock: to the relay all of them are one user.

        Raises:
            TimeoutError: another part has it until *deadline*.

        """
        name = lock.name
        users = self._using.setdefault(name, [])
        users.append(lock)
        turn = self._turns.setdefault(name, asyncio.Lock())
        try:
            async with asyncio.timeout_at(deadline):
                await turn.acquire()
            try:
                yield
            finally:
                turn.release()
        finally:
            users.remove(lock)
            if not users:
                del self._using[name], self._turns[name]


class Lock:
    """A lock of a channel, made by ``Channel.lock``: held inside its ``async with``.

    It says by itself that it goes on. ``lost`` is set when it is held no more: it ran out while the
    connection was gone, or somebody took it. Leaving the block then raises LockLost, unless something else
    is raised.
    """

    __slots__ = (
        "_alarm",
        "_ends",
        "_fence",
        "_free",
        "_given_back",
        "_locks",
        "_loop",
        "_membership",
        "_past",
        "_stack",
        "_take",
        "_timeout",
        "_unsure",
        "lost",
        "name",
        "ttl",
    )

    def __init__(
        self,
        membership: Membership,
        locks: ChannelLocks,
        name: str,
        ttl: float,
        timeout: float | None,
        take: bool,
    ) -> None:
        """Use ``Channel.lock``."""
        check_shared_name(name)
        if not ttl >= 1:
            raise ValueError("a lock is held for a second at least")
        self.name = name
        self.ttl = ttl
        """Seconds after which it ends when nothing is heard of this side any more."""
        self.lost = asyncio.Event()
        """Set when it is held no more."""
        self._membership = membership
        self._locks = locks
        self._timeout = timeout
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._stack: contextlib.AsyncExitStack | None = None
        self._fence: int | None = None
        self._ends = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._free = asyncio.Event()
        self._given_back = False
        self._unsure = False
        """Whether it was asked for, and no answer has come."""
        self._past = -1
        """Who had this fence, or a lower one, has it no more."""

    def __repr__(self) -> str:
        standing = "not held" if self._fence is None else f"fence {self._fence}"
        return f"<Lock {self.name!r}: {'lost' if self.lost.is_set() else standing}>"

    @property
    def fence(self) -> int:
        """A number that grows with every owner of this lock."""
        if self._fence is None:
            raise RuntimeError("a lock has a fence inside its `async with`")
        return self._fence

    def check(self) -> None:
        """Raise LockLost when it is held no more."""
        if self.lost.is_set():
            raise LockLost

    async def __aenter__(self) -> Lock:
        """Wait for the lock.

        Raises:
            LockHeld: somebody else kept it for as long as was to be waited.
            ChannelClosed: the membership has ended.
            NotPermitted: the grant does not include ``data``.
            NotConnected: no connection came back in time.
            RequestRefused: the relay refused it, and says why.
            RequestTimeout: the relay did not answer.

        """
        if self._stack is not None:
            raise RuntimeError("a lock is used once; ask the channel for another one")
        self._stack = contextlib.AsyncExitStack()
        deadline = None if self._timeout is None else self._loop.time() + self._timeout
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._locks.turn(self, deadline))
            except TimeoutError:
                raise LockHeld(_HELD) from None
            await self._acquire(deadline)
            stack.push_async_callback(self._let_go)
            renewing = self._loop.create_task(self._go_on())
            stack.push_async_callback(_end, renewing)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lock back; raises LockLost when there is nothing to give back."""
        assert self._stack is not None
        await self._stack.aclose()
        if kind is None:
            self.check()

    def told(self, changed: controls.LockChanged) -> None:
        """Something happened to the lock."""
        if changed.user is None:
            self._free.set()
        self._past = max(self._past, changed.fence if changed.user is None else changed.fence - 1)
        self._compare()

    def ended(self) -> None:
        """The membership has ended for good."""
        self.lost.set()
        self._free.set()

    def _compare(self) -> None:
        if self._fence is not None and self._fence <= self._past and not self._given_back:
            self.lost.set()

    # --- asking ---

    async def _acquire(self, deadline: float | None) -> None:
        try:
            while True:
                self._free.clear()
                try:
                    await self._ask(self._take)
                    return
                except RequestRefused as refused:
                    self._unsure = False
                    if not refused.temporary:
                        raise
                    if deadline is not None and self._loop.time() >= deadline:
                        raise (
                            LockHeld(refused.code, refused.retry_after) if refused.code == _HELD else refused
                        ) from None
                    await self._wait(refused.retry_after, deadline)
                except (NotConnected, RequestTimeout):
                    if deadline is not None and self._loop.time() >= deadline:
                        raise
        except BaseException:
            if self._unsure:
                self._unlock_quietly()
            raise

    async def _wait(self, seconds: float | None, deadline: float | None) -> None:
        """Wait until the lock is free, or should be."""
        until = self._loop.time() + (_WAIT if seconds is None else seconds)
        if deadline is not None:
            until = min(until, deadline)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._free.wait()
        await asyncio.sleep(self._membership.options.chance() * _JITTER)

    async def _ask(self, take: bool) -> None:
        """Ask for the lock, or for it to go on, and take it."""
        sent = 0.0

        def make(route: Route) -> controls.Lock:
            nonlocal sent
            self._membership.require(Kind.DATA)
            if self._fence is not None:
                self.check()
            sent, self._unsure = self._loop.time(), True
            return controls.Lock(channel=route.channel, name=self.name, ttl=self.ttl, take=take)

        locked = await ask(self._membership, make, self._membership.options.timeout, controls.Locked)
        if self._fence is None:
            self._fence = locked.fence
            self._compare()
        elif locked.fence != self._fence:
            # It had run out, and is ours again: somebody may have had it in between.
            self.lost.set()
            self._unlock_quietly()
            return
        # From when it was asked for: the relay cannot have counted from earlier.
        self._ends = sent + min(locked.ttl, self.ttl)
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(self._ends, self.lost.set)

    async def _go_on(self) -> None:
        wait = self.ttl / _RENEWALS
        while not self.lost.is_set():
            await asyncio.sleep(wait)
            wait = self.ttl / _RENEWALS
            try:
                await self._ask(False)
            except RequestRefused as refused:
                if refused.code == _HELD or not refused.temporary:
                    self.lost.set()
                elif refused.retry_after is not None:
                    wait = refused.retry_after
            except (ChannelClosed, NotPermitted, LockLost):
                return  # it ends when its time is over
            except (NotConnected, RequestTimeout, LimitExceeded):
                wait = 0.0  # that has taken long enough

    async def _let_go(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        if self.lost.is_set():
            self._unlock_quietly()  # by the clock of the relay it may be held for a moment yet
            return
        self._given_back = True  # from here on somebody else may have it, and is told to this side too
        left = max(self._ends - self._loop.time(), 0.0)

        asked = 0

        def make(route: Route) -> controls.Unlock:
            nonlocal asked
            asked += 1
            return controls.Unlock(channel=route.channel, name=self.name)

        try:
            await ask(self._membership, make, min(left, self._membership.options.timeout), controls.Done)
        except RequestRefused as refused:
            # Asked for the second time, on another connection, it may be that the first has done it.
            if asked == 1 and not refused.temporary:
                self.lost.set()
        except (ChannelClosed, NotConnected, RequestTimeout, LimitExceeded):
            pass  # it ends when its time is over

    def _unlock_quietly(self) -> None:
        route = self._membership.route
        if route is not None:
            unlock = controls.Unlock(channel=route.channel, name=self.name)
            with contextlib.suppress(Disconnected, LimitExceeded):
                route.link.submit(unlock, self._membership.options.timeout, route.channel).give_up()


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for it; raises what it failed with."""
    task.cancel()
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome
