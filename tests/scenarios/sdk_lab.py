"""A relay and clients of it, with a wire between them that a test can cut."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Mapping
from typing import Any, TypeVar

from sealcast.client import Backoff, Channel, Client, Event, Key, Options
from sealcast.client.tokens import mint
from sealcast.server.config import AppConfig, AppPolicy, Config, ServerConfig, StorageConfig
from sealcast.server.relay import Relay

__all__ = ["APP", "CERTIFICATE", "OTHER_APP", "PATIENCE", "E", "Lab", "Wire", "rest", "told"]

APP, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
OTHER_APP = "abcdef0123456789abcdef0123456789"
PATIENCE = 10.0

E = TypeVar("E", bound=Event)


class Wire:
    """Carries bytes between a client and a relay until it is cut, and while it flows."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.answering = asyncio.Event()
        """Whether what comes from the relay flows."""
        self.answering.set()
        self._pairs: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def cut(self) -> None:
        """Break all connections, without a farewell to either end."""
        for writer in self._pairs:
            writer.transport.abort()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        self._pairs |= {writer, back}
        for source, sink, flow in ((reader, back, self.flowing), (there, writer, self.answering)):
            task = asyncio.create_task(self._pump(source, sink, flow))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, flow: asyncio.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                await flow.wait()
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
        self._pairs.discard(sink)


class Lab:
    """A relay, clients of it, and what a test asks of both."""

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self.stack = stack
        self.secret = secrets.token_bytes(32)
        self.port = 0
        self.storage = StorageConfig()

    @property
    def key(self) -> Key:
        return Key.raw(self.secret)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    async def serve(self, *, more: Mapping[str, Any] | None = None, **policy: Any) -> Relay:
        """Start a relay; a second one takes the port of the first. *more* are other options of the app."""
        app = AppConfig(app_id=APP, certificate=CERTIFICATE, policy=AppPolicy(**policy), **(more or {}))
        other = AppConfig(app_id=OTHER_APP, certificate=CERTIFICATE)
        server = ServerConfig(port=self.port, close=0.5, drain_spread=0.0)
        relay = Relay(Config(server=server, storage=self.storage, apps=(app, other)))
        _, self.port = await relay.start()
        return relay

    def token(self, channel: str, user: str, **how: Any) -> str:
        return mint(APP, CERTIFICATE, channel, user, **how)

    async def client(self, url: str | None = None, *, app_id: str = APP, **more: Any) -> Client:
        options = Options(backoff=Backoff(base=0.01, cap=0.05), timeout=PATIENCE)
        client = Client(url or self.url, app_id=app_id, proxy=None, options=options, **more)
        return await self.stack.enter_async_context(client)

    async def join(self, client: Client, channel: str, user: str, **how: Any) -> Channel:
        return await client.join(channel, user=user, token=self.token(channel, user, **how), key=self.key)

    async def wire(self) -> Wire:
        wire = Wire(self.port)
        await wire.start()
        self.stack.push_async_callback(wire.stop)
        return wire


async def told(room: Channel, kind: type[E]) -> E:
    """Return the next event, which has to be of this kind."""
    async with asyncio.timeout(PATIENCE):
        event = await anext(room)
    assert isinstance(event, kind), event
    return event


async def rest(room: Channel) -> list[Event]:
    async with asyncio.timeout(PATIENCE):
        return [event async for event in room]
