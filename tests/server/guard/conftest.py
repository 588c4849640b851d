"""Relays that guard their port, and clients from many addresses: all of 127/8 is this machine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest_asyncio

from sealcast.protocol.controls import Error, Join
from sealcast.server.config import AppConfig, Config, GuardConfig, ServerConfig
from sealcast.server.relay import Relay

from ..raw import Client, Wire

if TYPE_CHECKING:
    from ..conftest import Lab

HOME, OFFICE, BAD, PROXY = "127.0.0.1", "127.0.0.2", "127.0.0.66", "127.0.0.99"


class Blocks:
    """A witness that hears of blocks only."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str, float]] = []

    def address_blocked(self, app_id: str, address: str, reason: str, seconds: float) -> None:
        self.told.append((app_id, address, reason, seconds))

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Guarded:
    """A relay whose only free address is the one that tests call home."""

    HOME, OFFICE, BAD, PROXY = HOME, OFFICE, BAD, PROXY

    def __init__(self, lab: Lab, stack: contextlib.AsyncExitStack) -> None:
        self.lab = lab
        self._stack = stack
        self.blocks = Blocks()

    async def serve(self, *apps: AppConfig, guard: dict[str, Any] | None = None, **server: Any) -> Relay:
        """Start it."""
        options = {"port": 0, "close": 0.2, "drain_spread": 0.0, "heartbeat": 3600.0, **server}
        config = Config(
            server=ServerConfig(**options),
            guard=GuardConfig(**{"allow": (HOME,), **(guard or {})}),
            apps=apps or (self.lab.app(),),
        )
        relay = Relay(config, self.lab.clock)
        relay.witness = self.blocks
        await self._stack.enter_async_context(relay.running())
        self.lab.relays.append(relay)
        return relay

    async def client(self, relay: Relay, address: str, **options: Any) -> Client:
        """Connect from an address."""
        return await self.lab.connect(relay, local_addr=(address, 0), **options)

    async def wire(self, relay: Relay, address: str) -> Wire:
        """Open a bare socket from an address."""
        assert relay.address is not None
        sock = socket.socket()
        self._stack.callback(sock.close)
        sock.bind((address, 0))
        sock.setblocking(False)
        wire = Wire(self.lab, sock)
        await self._connect(sock, relay.address)
        return wire

    async def _connect(self, sock: socket.socket, address: tuple[str, int]) -> None:
        await asyncio.get_running_loop().sock_connect(sock, address)

    async def answer(
        self, relay: Relay, address: str, *lines: str, path: str = "", first: bytes = b""
    ) -> bytes:
        """Knock from an address; return the head of the answer, empty when there is none."""
        wire = await self.wire(relay, address)
        with contextlib.suppress(OSError):
            await wire.send(first + self.lab.request(path or f"/v1/{self.lab.APP}", *lines))
        try:
            return await wire.head()
        except EOFError:
            return b""
        finally:
            wire.close()

    async def status(
        self, relay: Relay, address: str, *lines: str, path: str = "", first: bytes = b""
    ) -> int:
        """Knock from an address; return the status, 0 when the connection was cut."""
        head = await self.answer(relay, address, *lines, path=path, first=first)
        return int(head.split(b" ", 2)[1]) if head else 0

    def forged(self, user: str = "mallory") -> Join:
        """Return a join with a token that somebody else has signed."""
        return Join(channel="standup", user=user, token=self.lab.token("standup", user, certificate="a" * 32))

    async def forge(self, relay: Relay, address: str, times: int, **options: Any) -> tuple[int, str] | None:
        """Try forged tokens on one connection; return how it ended if it did before all were tried."""
        client = await self.client(relay, address, **options)
        before = len(self.blocks.told)
        for _ in range(times):
            error = await client.refused(self.forged())
            assert error.name == "invalid_token"
            if len(self.blocks.told) > before:
                return await client.ended()
        await client.ws.close()
        return None

    async def refused(self, client: Client, **how: Any) -> Error:
        """Ask to join with a token that is refused."""
        token = self.lab.token("standup", "ann", **how)
        return await client.refused(Join(channel="standup", user="ann", token=token))


@pytest_asyncio.fixture
async def guarded(lab: Lab) -> AsyncIterator[Guarded]:
    async with contextlib.AsyncExitStack() as stack:
        yield Guarded(lab, stack)
