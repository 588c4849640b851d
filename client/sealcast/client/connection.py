"""Keeping one connection: opening it, opening it again, and knowing when to stop.

One task, the keeper, runs from the first connection until no other is wanted. It is the only place
that opens connections.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl as tls
from collections.abc import Awaitable, Iterator
from typing import Any, Final, Protocol, TypeVar

from sealcast.protocol import controls
from sealcast.protocol.codes import Code, end, returns

from .address import Address
from .backoff import HINT_MAX, Tries
from .errors import ConnectFailed, NotConnected
from .link import Link
from .options import Options
from .state import State, StateChange, States
from .transport import ConnectRefused, greeting, open_socket, worth_retrying

__all__ = ["Connection", "ConnectionOwner"]


_CLOSED: Final = "this client is closed; make a new one"
_ASKED: Final = Code(end("connection_lost").number, "asked", "this side makes another connection")

T = TypeVar("T")


class ConnectionOwner(Protocol):
    """Who needs the connection, and is told how it goes. Never awaited."""

    def wanted(self) -> bool:
        """Say whether another connection is needed after this one."""
        ...

    def opened(self, link: Link) -> None:
        """There is a connection."""
        ...

    def lost(self, code: Code, will_retry: bool) -> None:
        """The connection has ended."""
        ...

    def gave_up(self, error: ConnectFailed) -> None:
        """No other connection will be made, because the server does not want one."""
        ...

    def draining(self, delay: float, alternatives: tuple[str, ...]) -> None:
        """The server is going away."""
        ...


class Connection:
    """A connection that comes back.

    Args:
        address: where the server is.
        options: times, sizes and chance.
        ssl: the TLS context, None for the default.
        proxy: as the WebSocket library takes it: True for the environment's, None for none, or a URL.
        owner: who needs it.

    """

    def __init__(
        self,
        address: Address,
        options: Options,
        ssl: tls.SSLContext | None,
        proxy: str | bool | None,
        owner: ConnectionOwner,
    ) -> None:
        self.states = States()
        self.link: Link | None = None
        self._home = self._current = address
        self._alternatives: list[Address] = []
        self._options = options
        self._ssl = ssl
        self._proxy = proxy
        self._owner = owner
        self._keeper: asyncio.Task[None] | None = None
        self._opening: asyncio.Future[Link] | None = None
        self._waiting = 0
        self._retry = False
        self._tries = Tries(options.backoff)
        self._not_before = 0.0
        self._hurry = False
        """Whether the next attempt is to be made at once."""
        self._resting: asyncio.Future[Any] | None = None
        """The wait for an attempt, or the attempt, while it is under way."""
        self._last_ref = 0
        """Refs are counted over all connections: one names the same message on each."""

    @property
    def state(self) -> State:
        """The present state."""
        return self.states.latest.state

    async def ready(self) -> Link:
        """Return the connection; make one when there is none, wait when one is being made.

        Raises:
            ConnectFailed: none could be made.
            NotConnected: the client is closed.

        """
        while True:
            if self.state is State.CLOSED:
                raise NotConnected(_CLOSED)
            if self.link is not None:
                if self.link.closing is None:
                    return self.link
                await self.link.gone.wait()
                continue
            if self.state is State.DISCONNECTED and self._keeper is not None:
                # The end of the last connection is being put away.
                await asyncio.wait({self._keeper})
                continue
            if self._keeper is None:
                self._start()
            assert self._opening is not None
            self._waiting += 1
            try:
                return await asyncio.shield(self._opening)
            finally:
                self._waiting -= 1

    async def close(self) -> None:
        """End the connection for good; return when no task and no socket of it is left."""
        self.states.become(StateChange(State.CLOSED))
        keeper, link = self._keeper, self.link
        if keeper is None:
            return
        try:
            if link is not None:
                await link.close(end("left"))
            else:
                keeper.cancel()
        except asyncio.CancelledError:
            keeper.cancel()
            raise
        finally:
            await asyncio.wait({keeper})

    def renew(self) -> None:
        """Leave the present connection without a word, or the present wait, and make another one at once.

        Raises:
            NotConnected: the client is closed.

        """
        if self.state is State.CLOSED:
            raise NotConnected(_CLOSED)
        self._tries = Tries(self._options.backoff)
        self._not_before = 0.0
        if self.link is not None:
            self._hurry = True
            self.link.drop(_ASKED)
        elif self._resting is not None:
            self._hurry = True
            self._resting.cancel()

    # --- the keeper ---

    def _start(self) -> None:
        self.states.become(StateChange(State.CONNECTING))
        self._opening = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.get_running_loop().create_task(self._keep())
        self._keeper.add_done_callback(self._kept)

    async def _keep(self) -> None:
        link: Link | None
        try:
            link = await self._open(self._current)
        except ConnectFailed as error:
            self._fail(error)
            return
        while link is not None:
            await link.run()
            link = await self._reopen()

    def _kept(self, keeper: asyncio.Task[None]) -> None:
        self._keeper = None
        self._rest()
        self._fail(NotConnected())
        error = None if keeper.cancelled() else keeper.exception()
        if error is not None:
            context = {"message": "the sealcast client's connection failed", "exception": error}
            keeper.get_loop().call_exception_handler(context)
            self._owner.lost(end("internal_error"), False)

    async def _open(self, address: Address) -> Link:
        socket = await open_socket(address, self._options, self._ssl, self._proxy)
        machine, welcome = await greeting(socket, self._options, self._last_ref)
        link = Link(socket, machine, welcome, queue_bytes=self._options.queue_bytes, owner=self)
        self._current = address
        self._alternatives = []
        self._not_before = 0.0
        self.link = link
        self.states.become(StateChange(State.CONNECTED))
        self._tries.succeeded(asyncio.get_running_loop().time())
        self._owner.opened(link)
        if self._opening is not None and not self._opening.done():
            self._opening.set_result(link)
        return link

    async def _reopen(self) -> Link | None:
        targets = self._targets()
        after = max(0.0, self._not_before - asyncio.get_running_loop().time())
        reason = self.states.latest.reason
        while self._retry:
            await self._wait(reason, after)
            if not (self._owner.wanted() or self._waiting):
                break
            try:
                link = await self._unless_hurried(self._open(next(targets)))
            except ConnectFailed as error:
                if not worth_retrying(error):
                    self._fail(error)
                    self._owner.gave_up(error)
                    break
                after = (error.retry_after or 0.0) if isinstance(error, ConnectRefused) else 0.0
                reason = "unreachable" if error.status is None else f"http_{error.status}"
            else:
                if link is not None:
                    return link
                after, reason = 0.0, _ASKED.name
        self._rest()
        return None

    async def _wait(self, reason: str, after: float) -> None:
        failed, hurried, self._hurry = self._tries.failed, self._hurry, False
        wait = 0.0 if hurried else self._tries.wait(self._options.chance(), after)
        self.states.become(StateChange(State.RECONNECTING, reason, failed, wait))
        if not hurried:
            await self._unless_hurried(self._options.sleep(wait))
            self._hurry = False

    async def _unless_hurried(self, work: Awaitable[T]) -> T | None:
        """Return what *work* does; None when ``renew`` has cut it short."""
        task = asyncio.ensure_future(work)
        self._resting = task
        try:
            await asyncio.wait({task})
        finally:
            self._resting = None
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    def _rest(self) -> None:
        if self.state not in (State.DISCONNECTED, State.CLOSED):
            self.states.become(StateChange(State.DISCONNECTED, self.states.latest.reason))

    def _targets(self) -> Iterator[Address]:
        """Yield where to try next: what the server named, where it was, where it all began; again."""
        return itertools.cycle(dict.fromkeys((*self._alternatives, self._current, self._home)))

    def _fail(self, error: Exception) -> None:
        if self._opening is not None and not self._opening.done():
            self._opening.set_exception(error)
            self._opening.exception()  # nobody has to be waiting

    # --- what the link tells ---

    def ended(self, link: Link, code: Code) -> None:
        """The connection has ended."""
        self.link = None
        self._last_ref = link.last_ref
        loop = asyncio.get_running_loop()
        self._tries.ended(loop.time())
        self._opening = loop.create_future()
        # A channel that waits to be joined again may have waited for longer than a connection without a
        # membership is kept: that is no reason to stay away.
        comes_back = returns(code.number) or code == end("unauthenticated")
        self._retry = self.state is not State.CLOSED and comes_back and self._owner.wanted()
        state = State.RECONNECTING if self._retry else State.DISCONNECTED
        self.states.become(StateChange(state, _ASKED.name if self._hurry else code.name))
        self._owner.lost(code, self._retry)

    def drained(self, link: Link, drain: controls.Drain) -> None:
        """The server is going away: leave it after the delay that it named."""
        delay = min(drain.delay, HINT_MAX)
        named = [self._home.alternative(url) for url in drain.alternatives]
        self._alternatives = [address for address in named if address is not None]
        loop = asyncio.get_running_loop()
        self._not_before = loop.time() + delay
        link.spawn(self._leave(link, delay))
        self._owner.draining(delay, tuple(address.base for address in self._alternatives))

    async def _leave(self, link: Link, delay: float) -> None:
        await self._options.sleep(delay)
        await link.move(end("draining"))
