"""A relay and clients of it in simulated time: the real hub, sessions, engine and SDK, between fake wires."""

from __future__ import annotations

import asyncio
import random
from typing import Any, cast
from unittest.mock import patch

from sealcast.client import Client, Key
from sealcast.client.errors import ConnectFailed
from sealcast.client.options import Options
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import AccessToken
from sealcast.server.config import AppConfig, AppLimits, Config, ServerConfig
from sealcast.server.engine.memory import MemoryBroker
from sealcast.server.engine.stored import StoredBroker
from sealcast.server.hub import Hub
from sealcast.server.interfaces import Broker
from sealcast.server.logs import SessionLog
from sealcast.server.session import Session

from .disk import Disk, SimulatedJournal
from .network import Socket, Wire

__all__ = ["APP", "World"]

APP, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
SECRET = bytes(range(32))
_EPOCH = 1_800_000_000.0
"""Unix time at the start of a simulation."""


class _Clock:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.monotonic = loop.time

    def wall(self) -> float:
        return _EPOCH + self.monotonic()


class World:
    """One relay, which may crash and come back, and the wires to it.

    Args:
        seed: decides every delay and every draw.
        ttl: seconds that tokens live.

    """

    def __init__(self, seed: int, *, ttl: int = 3600) -> None:
        self.loop = asyncio.get_running_loop()
        self.chance = random.Random(seed)
        self.clock = _Clock(self.loop)
        self.wires: list[Wire] = []
        self.up = False
        self.disk = Disk() if seed % 2 else None
        """What outlives a crash; None: nothing does."""
        self._journal: SimulatedJournal | None = None
        self._ttl = ttl
        self._config = Config(
            server=ServerConfig(heartbeat=5, unauthenticated=10, node="sim"),
            apps=(
                AppConfig(
                    app_id=APP,
                    certificate=CERTIFICATE,
                    limits=AppLimits(outbox=64 * 1024, joins_per_minute=6000, errors_per_minute=6000),
                ),
            ),
        )
        self._sessions = 0
        self._ticker: asyncio.TimerHandle | None = None
        self._patch = patch("sealcast.client.connection.open_socket", self._open)

    async def __aenter__(self) -> World:
        self._patch.start()
        self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._patch.stop()
        self.crash()

    # --- the relay ---

    def start(self) -> None:
        """Bring the relay up, with whatever its engine has kept."""
        self.hub = Hub(self._config, self.broker(), self.clock, self.loop.call_soon)
        self.up = True
        self._tick()

    def broker(self) -> Broker:
        """Return the engine of the next start: every second seed has one that stores its messages."""
        if self.disk is None:
            return MemoryBroker(self.clock.wall)
        self._journal = SimulatedJournal(self.disk, self.chance)
        return StoredBroker(self._journal, self.clock.wall)

    def crash(self) -> None:
        """Kill the relay: nobody is told anything."""
        self.up = False
        if self._ticker is not None:
            self._ticker.cancel()
        if self._journal is not None:
            self._journal.crash()
        wires, self.wires = self.wires, []
        for wire in wires:
            wire.crash()

    def _tick(self) -> None:
        self._ticker = self.loop.call_later(self.hub.wheel.tick, self._tick)
        self.hub.wheel.advance(self.clock.monotonic())

    # --- clients ---

    def client(self, user: str) -> Client:
        """Return a client that comes back quickly and draws its jitter from the seed."""
        options = Options(timeout=5, connect_timeout=2, chance=random.Random(self.chance.random()).random)
        return Client("ws://sim", app_id=APP, token=self.token, options=options, proxy=None)

    def key(self) -> Key:
        """Return the key that everybody has."""
        return Key.raw(SECRET)

    def token(self, channel: str, user: str) -> str:
        """Mint a token by the simulated clock."""
        token = AccessToken(APP, CERTIFICATE, issued_at=int(self.clock.wall()), salt=1, expire=self._ttl)
        return token.add_rtc(channel, user, dict.fromkeys(Privilege, self._ttl)).build()

    async def _open(self, *how: Any) -> Any:
        latency = self.chance.choice((0.001, 0.01, 0.05))
        await asyncio.sleep(2 * latency)
        app = self.hub.app(APP)
        if not self.up or app is None:
            raise ConnectFailed
        wire = Wire(self.loop, self.chance, latency)
        self._sessions += 1
        log = SessionLog(self._sessions, APP, "sim", self.clock.monotonic())
        wire.receiver = Session(self.hub, app, wire, log)
        self.wires.append(wire)
        return cast(Any, Socket(wire))
