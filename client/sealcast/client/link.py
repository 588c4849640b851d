"""One connection: the session machine, its requests, a reader and a writer.

The reader runs in ``run``; a writer task takes what ``Outgoing`` holds. Everything that a control
changes is done in the step in which it is read, so that what follows it on the wire finds it done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from sealcast.protocol import controls, envelope
from sealcast.protocol.codes import Code, end, returns
from sealcast.protocol.errors import RemoteProtocolError, SealcastError
from sealcast.protocol.session import Machine

from .directs import Directs
from .errors import Disconnected, RequestRefused
from .outgoing import Outgoing
from .pending import KEPT_FREE, Pending
from .reasons import ended_with, refused_with, returns_to_channel
from .request import Request
from .tasks import TaskSet
from .transport import abort, end_of, reject, shut

if TYPE_CHECKING:
    from .membership import Membership

__all__ = ["Link", "LinkOwner"]

FLUSH_TIMEOUT: Final = 1.0
"""Seconds that what is queued may take to go out before a connection is closed."""
QUIET_TIMEOUT: Final = 2.0
"""Seconds for what is still open: requests before a connection is left, a join that was given up."""
_IGNORED: Final = frozenset({"unknown_control", "not_joined"})
"""A newer server's control, or one about a membership that has just ended: no breach of the protocol."""


class LinkOwner(Protocol):
    """Who is told what concerns the whole connection; called from the reader, never awaited."""

    def drained(self, link: Link, drain: controls.Drain) -> None:
        """The server is going away."""
        ...

    def ended(self, link: Link, code: Code) -> None:
        """The connection has ended; nothing can be sent on it any more."""
        ...


class Link:
    """One open connection.

    Args:
        socket: the WebSocket, whose ``welcome`` was read.
        machine: the session machine, on the client's side.
        welcome: what the server said of itself.
        queue_bytes: bound of the send queue.
        owner: is told of what concerns the whole connection.

    """

    def __init__(
        self,
        socket: ClientConnection,
        machine: Machine,
        welcome: controls.Welcome,
        *,
        queue_bytes: int,
        owner: LinkOwner,
    ) -> None:
        self.welcome = welcome
        self.ended: Code | None = None
        """Why it has ended, once it has."""
        self.closing: Code | None = None
        """Why this side is about to end it, once it is."""
        self.gone = asyncio.Event()
        """Set when it has ended."""
        self.ignored = 0
        """Controls, frames and messages for a channel that is not joined here, or of an unknown name."""
        self.routes: dict[int, Membership] = {}
        """The memberships by channel number."""
        self._socket = socket
        self._machine = machine
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._outgoing = Outgoing(queue_bytes)
        self._pending = Pending(machine, self._outgoing.put)
        self._tasks = TaskSet()
        self._writer: asyncio.Task[None] | None = None
        self.directs = Directs(self, welcome.limits.get("directs_per_minute"))
        """What its memberships send to single members."""

    def __repr__(self) -> str:
        return f"<Link {self.ended or 'open'}, {len(self.routes)} channels>"

    # --- life ---

    async def run(self) -> None:
        """Read until the connection ends; then leave no task and no open socket behind."""
        self._writer = self._loop.create_task(self._write())
        try:
            await self._read()
        except ConnectionClosed as closed:
            # What the server says counts also when this side was about to close.
            server_began = closed.rcvd is not None and closed.rcvd_then_sent
            self._finish(end_of(closed) if server_began else self.closing or end_of(closed))
        except RemoteProtocolError as error:
            code = error.code if error.fatal else end("protocol_error")
            # The table's text is written for clients that break the protocol.
            self._finish(replace(code, message=f"the server broke the protocol: {error}"))
            await reject(self._socket, code.number, code.name)
        finally:
            self._finish(self.closing or end("connection_lost"))
            self._writer.cancel()
            await self._tasks.aclose()
            [fault] = await asyncio.gather(self._writer, return_exceptions=True)
            await abort(self._socket)
        if isinstance(fault, Exception):
            raise fault

    async def close(self, code: Code) -> None:
        """Send what is queued, then close the connection normally; *code* is what this side calls the end."""
        if self.ended is not None:
            return
        self.closing = self.closing or code
        self._outgoing.finish()
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=FLUSH_TIMEOUT)
        await shut(self._socket, 1000, code.name)

    def drop(self, code: Code) -> None:
        """End the connection at once, without a word to the server."""
        self.closing = code
        self._socket.transport.abort()

    async def move(self, code: Code) -> None:
        """Close the connection once no request is open, or after a short while."""
        self.closing = code
        self._outgoing.finish()
        await self._pending.quiet(QUIET_TIMEOUT)
        await self.close(code)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work* as a task that ends with the connection."""
        self._tasks.spawn(work)

    def _finish(self, code: Code) -> None:
        if self.ended is not None:
            return
        self.ended = code
        self._machine.close()
        self._outgoing.close()
        self.directs.close()
        self._pending.close(code, returns(code.number))
        self.gone.set()
        self.routes = {}
        self._owner.ended(self, code)

    # --- sending ---

    def limit(self, name: str) -> int | None:
        """Return a limit that ``welcome`` announced, or None."""
        value = self.welcome.limits.get(name)
        return None if value is None else int(value)

    def fits(self, size: int) -> bool:
        """Say whether a frame of *size* bytes may be sent now."""
        return self._outgoing.fits(size, self._loop.time())

    def send_frame(self, channel: int, member: int, sealed: bytes) -> None:
        """Queue a sealed frame for which there is room."""
        self._outgoing.put(envelope.frame(channel, member, sealed), self._loop.time())

    def turn(self, size: int) -> AbstractAsyncContextManager[None]:
        """Wait until a message of *size* bytes may be sent; raises OutgoingClosed when it never may."""
        return self._outgoing.turn(size)

    @property
    def last_ref(self) -> int:
        """The ref of the latest request."""
        return self._machine.last_ref

    def send_message(
        self,
        channel: int,
        member: int,
        seal: Callable[[], bytes],
        timeout: float,
        again: int | None = None,
    ) -> Request:
        """Seal and queue a message, within a ``turn``; the answer to the request is its ack.

        One that an earlier connection took goes *again*, under the ref that it had.

        Raises:
            LimitExceeded: too many requests wait for their answers.

        """
        self._pending.check_room(KEPT_FREE)
        sealed = seal()
        request = self._pending.message(channel, timeout, again)
        self._outgoing.put(envelope.message(channel, member, request.ref, sealed), self._loop.time())
        return request

    async def join(
        self, join: controls.Join, timeout: float, accept: Callable[[controls.Joined], None]
    ) -> None:
        """Ask to become a member; *accept* takes the answer in the step in which it is read.

        Raises:
            Disconnected: the connection has ended.
            LimitExceeded: too many requests wait for their answers.
            RequestRefused: the server said no.
            RequestTimeout: the server did not answer in time.
            SealcastError: what *accept* raised; the membership is left again.

        """
        await self._pending.undoing.wait(join.channel, min(timeout, QUIET_TIMEOUT))
        await self.answer(self._ask(join, timeout, name=join.channel, accept=accept))

    async def request(self, control: controls.Control, timeout: float, channel: int) -> controls.Control:
        """Ask the server for something about a channel and return its answer; raises as ``join`` does."""
        return await self.answer(self._ask(control, timeout, channel))

    def submit(self, control: controls.Control, timeout: float, channel: int) -> Request:
        """Queue a request about a channel at once; ``answer`` waits for what comes of it.

        Raises:
            Disconnected: the connection has ended.
            LimitExceeded: too many requests wait for their answers.

        """
        return self._ask(control, timeout, channel)

    async def answer(self, request: Request) -> controls.Control:
        """Wait for the answer to a request; a wait that is cancelled makes the answer a late one."""
        return await self._pending.answer(request)

    def leave_quietly(self, channel: int, name: str = "") -> None:
        """Leave a channel that nobody here wants any more, without waiting for the answer."""
        self.routes.pop(channel, None)
        if self.ended is None and self._pending.has_room():
            self._ask(controls.Leave(channel=channel), QUIET_TIMEOUT, channel, name=name).give_up()

    def _ask(
        self,
        control: controls.Control,
        timeout: float,
        channel: int = 0,
        *,
        name: str = "",
        accept: Callable[[controls.Joined], None] | None = None,
    ) -> Request:
        if self.ended is not None:
            raise Disconnected(self.ended, returns(self.ended.number))
        return self._pending.ask(control, timeout, channel, name=name, accept=accept)

    async def _write(self) -> None:
        try:
            while (data := await self._outgoing.get()) is not None:
                await self._socket.send(data)
                self._outgoing.sent()
        except ConnectionClosed:
            pass  # the reader sees it too, and knows why
        except Exception:
            self._socket.transport.abort()
            raise

    # --- reading ---

    async def _read(self) -> None:
        while True:
            data = await self._socket.recv()
            if isinstance(data, str):
                raise RemoteProtocolError("a text message", end("text_refused"))
            if data[:1] == b"\x00":
                self._control(data)
            else:
                self._sealed(data)

    def _sealed(self, data: bytes) -> None:
        head = envelope.decode(data)
        if head.type == envelope.MESSAGE:
            raise RemoteProtocolError("a message of the type that only clients send")
        membership = self.routes.get(head.channel)
        if membership is None:
            self.ignored += 1
        elif head.type == envelope.FRAME:
            membership.reception.frame(head.member, data[head.start :])
        else:
            membership.message(head.member, head.number, data[head.start :])

    def _control(self, data: bytes) -> None:
        try:
            control, ref, _ = self._machine.receive(data, self._loop.time())
        except RemoteProtocolError as error:
            if error.code.name in _IGNORED:
                self.ignored += 1
                return
            raise
        if isinstance(control, controls.Drain):
            self._owner.drained(self, control)
        elif ref:
            # It stays open until the answer was taken: when that fails, it fails with the connection.
            request = self._pending.get(ref)
            if request is not None:  # else a second answer to a message that was sent again
                self._answered(control, request)
                self._pending.done(request, settled=not isinstance(control, controls.Joined))
        else:
            self._told(control)

    def _answered(self, control: controls.Control, request: Request) -> None:
        if isinstance(control, controls.Joined):
            self._joined(control, request)
        elif isinstance(control, controls.Error):
            request.fail(RequestRefused(refused_with(control), control.retry_after))
        elif isinstance(control, controls.Ack):
            if control.channel != request.channel:
                raise RemoteProtocolError("an ack for another channel than the message's")
            membership = self.routes.get(control.channel)
            if membership is not None:
                membership.acknowledged(control.offset)
            request.succeed(control)
        else:
            # Succeeded first: with a membership that ends, what else was asked about it fails.
            request.succeed(control)
            self._told(control)

    def _joined(self, joined: controls.Joined, request: Request) -> None:
        if not request.waiting or request.accept is None:
            self.leave_quietly(joined.channel, request.name)
            return
        try:
            request.accept(joined)
        except RemoteProtocolError:
            raise
        except SealcastError as error:
            self.leave_quietly(joined.channel)
            request.fail(error)
        else:
            request.succeed(joined)

    def _told(self, control: controls.Control) -> None:
        """Hand a control to the membership that it concerns."""
        if isinstance(control, controls.Error):
            for number, concerned in list(self.routes.items()):
                if control.channel in (None, 0, number):
                    concerned.refused(control)
            return
        membership = self.routes.get(getattr(control, "channel", 0))
        if membership is None:
            self.ignored += 1
        elif isinstance(control, controls.Left):
            self._left(control, membership)
        else:
            membership.told(control)

    def _left(self, left: controls.Left, membership: Membership) -> None:
        code = ended_with(left.code, left.name)
        del self.routes[left.channel]
        self._pending.lose(left.channel, code, returns_to_channel(code.number))
        membership.left(code)
