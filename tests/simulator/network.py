"""Connections that exist only in memory: delays, stalls and cuts instead of sockets.

One ``Wire`` stands for one WebSocket. Each direction keeps its order, as TCP does; different wires do not
wait for each other. What the relay writes waits in a buffer until the client's side takes it, and the
relay's transport is backed up while that is over its high-water mark, as asyncio's would be.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable

from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from sealcast.protocol.names import SUBPROTOCOL
from sealcast.server.interfaces import Receiver

from ..server.fakes import unframe

__all__ = ["Socket", "Wire"]

HIGH_WATER = 4096
LOW_WATER = 1024


class _Abort:
    """What ``socket.transport`` is to the SDK."""

    def __init__(self, abort: Callable[[], None]) -> None:
        self.abort = abort


class Wire:
    """One connection: the relay's ``Transport`` on one side, what the SDK takes for a socket on the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop, chance: random.Random, latency: float) -> None:
        self.backed_up = False
        self.receiver: Receiver | None = None
        self.stalled = False
        """While it is set nothing reaches the client."""
        self._loop = loop
        self._chance = chance
        self._latency = latency
        self._up_at = self._down_at = 0.0
        self._down: deque[bytes] = deque()
        self._down_size = 0
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._close: Close | None = None
        self._server_gone = False
        self._client_gone = False
        self._closed = asyncio.Event()

    # --- the relay's side ---

    def write(self, data: bytes) -> None:
        if self._server_gone:
            return
        for message in unframe(data):
            self._down.append(message)
            self._down_size += len(message)
            self._down_at = self._arrival(self._down_at)
            self._loop.call_at(self._down_at, self._deliver)
        if self._down_size > HIGH_WATER and not self.backed_up:
            self.backed_up = True
            assert self.receiver is not None
            self.receiver.pause()

    def ping(self) -> None:
        if not self._server_gone and not self.stalled:
            self._loop.call_later(2 * self._latency, self._pong)

    def admitted(self) -> None:
        pass

    def close(self, code: int, reason: str) -> None:
        if not self._server_gone:
            self._server_gone = True
            self._down_at = self._arrival(self._down_at)
            self._loop.call_at(self._down_at, self._finish, Close(code, reason))
            self._loop.call_soon(self._lost, None)

    def _pong(self) -> None:
        if self.receiver is not None and not self._server_gone and not self._client_gone:
            self.receiver.heard()

    def _deliver(self) -> None:
        if self.stalled or not self._down or self._client_gone:
            return
        message = self._down.popleft()
        self._down_size -= len(message)
        self._inbox.put_nowait(message)
        if self.backed_up and self._down_size <= LOW_WATER:
            self.backed_up = False
            if self.receiver is not None and not self._server_gone:
                self.receiver.resume()

    def stall(self) -> None:
        """Nothing reaches the client until ``resume_reading``; TCP keeps what is under way."""
        self.stalled = True

    def resume_reading(self) -> None:
        """The client's network is back: what was held up arrives."""
        self.stalled = False
        for _ in range(len(self._down)):
            self._down_at = self._arrival(self._down_at)
            self._loop.call_at(self._down_at, self._deliver)

    # --- the client's side: what the SDK asks of a socket ---

    async def send(self, data: bytes) -> None:
        if self._close is not None or self._client_gone:
            raise self._why()
        self._up_at = self._arrival(self._up_at)
        self._loop.call_at(self._up_at, self._arrive, data)

    async def recv(self) -> bytes:
        if self._client_gone and self._inbox.empty():
            raise self._why()
        data = await self._inbox.get()
        if data is None:
            raise self._why()
        return data

    def _why(self) -> ConnectionClosedError:
        close = self._close  # answered with the same code, as the library does
        return ConnectionClosedError(close, close, None if close is None else True)

    def hang_up(self, code: int) -> None:
        """The client's side closes in order: what it has sent still arrives."""
        if not self._client_gone:
            self._up_at = self._arrival(self._up_at)
            self._loop.call_at(self._up_at, self._lost, code)
            self._finish(None)

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def _arrive(self, data: bytes) -> None:
        if self.receiver is not None and not self._server_gone:
            self.receiver.receive(data)
            self.receiver.heard()

    # --- ends ---

    def cut(self) -> None:
        """The connection breaks; both sides notice, each in its own time, and what is under way is lost."""
        self._finish(None)
        self._loop.call_later(self._chance.uniform(0, 3) * self._latency, self._lost, None)

    def crash(self) -> None:
        """The relay's process is gone: it notices nothing any more, the client in a while."""
        self._server_gone = True
        self.receiver = None
        self._loop.call_later(self._latency, self._finish, None)

    def _finish(self, close: Close | None) -> None:
        if not self._client_gone:
            self._client_gone = True
            self._close = close
            self._inbox.put_nowait(None)
            self._closed.set()

    def _lost(self, code: int | None) -> None:
        receiver, self.receiver = self.receiver, None
        self._server_gone = True
        if receiver is not None:
            receiver.lost(code)
        # A client that hears nothing more finds out by its pings.
        self._loop.call_later(self._latency, self._finish, None)

    def _arrival(self, after: float) -> float:
        delay = self._latency * self._chance.choice((1, 1, 1, 2, 8))
        # Strictly later than the last one: the loop may swap callbacks of one time.
        return max(after + 1e-6, self._loop.time() + delay)


class Socket:
    """What the SDK takes for its WebSocket: the client's end of a wire."""

    subprotocol = SUBPROTOCOL

    def __init__(self, wire: Wire) -> None:
        self.transport = _Abort(wire.cut)
        self.send = wire.send
        self.recv = wire.recv
        self.wait_closed = wire.wait_closed
        self._wire = wire

    async def close(self, code: int, reason: str) -> None:
        self._wire.hang_up(code)
        await self._wire.wait_closed()
