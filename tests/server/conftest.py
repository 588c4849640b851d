"""A relay under test and raw clients for it: websockets and sealcast.protocol, no SDK and no cipher.

Tests get one fixture, ``lab``. Its clock stands still until a test moves it with ``lab.later``.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
import uvloop
from websockets.asyncio.client import connect as ws_connect

from sealcast.protocol.controls import Welcome
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import AccessToken
from sealcast.server.config import AppConfig, AppLimits, AppPolicy, Config, GuardConfig, ServerConfig
from sealcast.server.relay import Relay
from sealcast.server.transport.websocket import Connection

from .postgres import Postgres, running
from .raw import PATIENCE, Client, Frame, Message, Room, Told, Wire, request, sealed, ws_frame

APP, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
OTHER_APP, OTHER_CERTIFICATE = "abcdef0123456789abcdef0123456789", "00112233445566778899aabbccddeeff"
ONE_LOOP = {"http", "store", "hooks", "figures", "recording"}
CERTIFICATES = {APP: CERTIFICATE, OTHER_APP: OTHER_CERTIFICATE}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of the relay on the loop that it uses, and on the one that it falls back to.

    What stands on libraries, and only they on the loop, is tested on the first.
    """
    loops = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
    if item.path.parent.name in ONE_LOOP:
        del loops["asyncio"]
    return loops


class FakeClock:
    """A clock that stands still. Monotonic and wall time differ, so that nobody takes one for the other."""

    def __init__(self) -> None:
        self.now = 5_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_800_000_000.0 - 5_000.0 + self.now


class Lab:
    """Makes relays and raw clients, and clears them away."""

    APP, OTHER_APP, CERTIFICATE, PATIENCE = APP, OTHER_APP, CERTIFICATE, PATIENCE
    Told, Frame, Message, Room = Told, Frame, Message, Room
    sealed = staticmethod(sealed)
    ws_frame = staticmethod(ws_frame)
    request = staticmethod(request)

    def __init__(self, stack: contextlib.AsyncExitStack) -> None:
        self.clock = FakeClock()
        self.relays: list[Relay] = []
        self._stack = stack
        self._salt = itertools.count(1)

    def later(self, seconds: float) -> None:
        """Let so much time pass, and the tick by which the relay may be late."""
        self.clock.now += seconds + 0.05
        for relay in self.relays:
            relay.hub.wheel.advance(self.clock.now)

    async def turn(self) -> None:
        """Let the loop, and with it the relay, come round once."""
        await asyncio.sleep(0)

    def token(
        self,
        channel: str,
        user: str,
        rights: Mapping[Privilege, int] | None = None,
        *,
        app_id: str = APP,
        certificate: str = "",
        ttl: int = 3600,
        age: int = 0,
        real_time: bool = False,
    ) -> str:
        """Sign a token: all privileges for its whole life, unless ``rights`` says otherwise."""
        now = time.time() if real_time else self.clock.wall()
        builder = AccessToken(
            app_id,
            certificate or CERTIFICATES[app_id],
            issued_at=int(now) - age,
            salt=next(self._salt),
            expire=ttl,
        )
        return builder.add_rtc(
            channel, user, dict.fromkeys(Privilege, 0) if rights is None else rights
        ).build()

    def app(
        self,
        app_id: str = APP,
        *,
        policy: Mapping[str, Any] | None = None,
        limits: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> AppConfig:
        """Describe an app."""
        more.setdefault("certificate", CERTIFICATES.get(app_id))
        return AppConfig(
            app_id=app_id, policy=AppPolicy(**(policy or {})), limits=AppLimits(**(limits or {})), **more
        )

    async def serve(self, *apps: AppConfig, guard: Mapping[str, Any] | None = None, **server: Any) -> Relay:
        """Start a relay, with one app unless others are given."""
        options = {"port": 0, "close": 0.2, "drain_spread": 0.0, "heartbeat": 3600.0, **server}
        config = Config(
            server=ServerConfig(**options), guard=GuardConfig(**(guard or {})), apps=apps or (self.app(),)
        )
        relay = await self._stack.enter_async_context(Relay(config, self.clock).running())
        self.relays.append(relay)
        return relay

    async def connect(self, relay: Relay, app_id: str = APP, **options: Any) -> Client:
        """Open a connection."""
        assert relay.address is not None
        host, port = relay.address
        scheme = "wss" if "ssl" in options else "ws"
        ws = await ws_connect(
            f"{scheme}://{host}:{port}/v1/{app_id}",
            **{
                "subprotocols": ["sealcast.1"],
                "compression": None,
                "proxy": None,
                "ping_interval": None,
                "max_size": None,
                "max_queue": None,
                "close_timeout": PATIENCE,
                **options,
            },
        )
        self._stack.push_async_callback(ws.close)
        client = Client(self, app_id, ws)
        await client.told(Welcome)
        return client

    async def wire(self, relay: Relay, *, upgrade: bool = True, room_for: int = 0) -> Wire:
        """Open a bare socket; ``room_for`` bounds what the system receives for it unread."""
        assert relay.address is not None
        sock = socket.socket()
        self._stack.callback(sock.close)
        sock.setblocking(False)
        if room_for:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_for)
        await asyncio.get_running_loop().sock_connect(sock, relay.address)
        wire = Wire(self, sock)
        if upgrade:
            await wire.send(request(f"/v1/{APP}"))
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
        return wire

    @contextlib.asynccontextmanager
    async def undisturbed(self, relay: Relay, app_id: str = APP) -> AsyncIterator[None]:
        """Let two members of another channel talk all the while: nothing may get lost or out of order."""
        one, two = await self.connect(relay, app_id), await self.connect(relay, app_id)
        rooms = [(one, await one.join("calm", "one")), (two, await two.join("calm", "two"))]
        await one.settle()
        before = rooms[1][1].joined.offset
        stop = asyncio.Event()

        async def talk() -> None:
            for turn in itertools.count():
                (speaker, room), (listener, other) = rooms[turn % 2], rooms[1 - turn % 2]
                frame = await speaker.frame(room)
                message, offset = await speaker.message(room)
                assert offset == before + turn + 1
                assert await listener.receive() == Frame(other.number, room.member, frame)
                assert await listener.receive() == Message(other.number, room.member, offset, message)
                if turn >= 9 and stop.is_set():
                    return

        talking = asyncio.create_task(talk())
        try:
            yield
            stop.set()
            await talking
        finally:
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
        assert await one.settle() == await two.settle() == []
        for client in (one, two):
            await client.ws.close()


@pytest.fixture
def open_files() -> Iterator[int]:
    """Raise the limit of open files as far as it goes; return how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 20_000) if hard != resource.RLIM_INFINITY else 20_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield max(soft, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.Transport]:
    """Collect the transports of the relay's side, in the order in which they were opened."""
    transports: list[asyncio.Transport] = []
    original = Connection.connection_made

    def connection_made(self: Connection, transport: asyncio.BaseTransport) -> None:
        transports.append(cast(asyncio.Transport, transport))
        original(self, transport)

    monkeypatch.setattr(Connection, "connection_made", connection_made)
    return transports


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that is started when the first test asks for it."""
    with running() as server:
        yield server


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind that there may be."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/sealcast.db"
    server: Postgres = request.getfixturevalue("postgres")
    return await server.database()


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    """Provide relays and raw clients; all of them are gone when the test is."""
    async with contextlib.AsyncExitStack() as stack:
        yield Lab(stack)
