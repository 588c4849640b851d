"""The relay as one object: all wiring, in order. ``Relay(config).run()`` is the whole server."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from sealcast.protocol.codes import end
from sealcast.protocol.errors import SealcastError
from sealcast.protocol.version import __version__

from .access import Access
from .clock import Clock, SystemClock
from .collector import Collector
from .config import AppConfig, Config
from .config_changes import changes
from .enforcing import Enforcing
from .engine.memory import MemoryBroker
from .engine.sqlite import SqliteJournal
from .engine.stored import StoredBroker
from .hub import App, Hub
from .interfaces import Receiver, Transport
from .limits import Shortage
from .logs import SessionLog, logger
from .metrics import Metrics
from .session import Session
from .spans import Tracer
from .transport.listener import Listener
from .transport.tls import CertificateUnusable
from .visitor import printable_agent
from .witness import Nobody, Witness

__all__ = ["Relay", "main_loop"]

_SWEEP_EVERY: Final = 3600.0
"""Seconds between two looks of the garbage collector at everything."""


class Relay:
    """A relay in this process and event loop.

    Usage::

        async with Relay(config).running() as relay:
            host, port = relay.address

    Args:
        config: everything it is started with.
        clock: the present; tests bring their own.
        reread: reads the configuration again, or raises SealcastError; without it, it stays as it is.

    """

    def __init__(
        self, config: Config, clock: Clock | None = None, reread: Callable[[], Config] | None = None
    ) -> None:
        self._loaded = config
        self._reread = reread
        server = config.server
        if not server.node:
            server = server.model_copy(update={"node": secrets.token_hex(4)})
        self.config = config.model_copy(update={"server": server})
        self.address: tuple[str, int] | None = None
        """Where it listens, once started."""
        self.witness: Witness = Nobody()
        """Hears of the life of channels and members; to be set before the start."""
        self.tracer: Tracer | None = None
        """Hears of joins, where they are traced; to be set before the start."""
        self._clock = clock or SystemClock()
        self.access = Access(self._clock.wall)
        """The ban rules and revocations."""
        self._sessions = 0
        self._stopping = asyncio.Event()
        self._journal: SqliteJournal | None = None

    @property
    def metrics(self) -> Metrics:
        """What has been counted since the start."""
        return self._hub.metrics

    @property
    def clock(self) -> Clock:
        """The present."""
        return self._clock

    @property
    def hub(self) -> Hub:
        """The registry, once started."""
        return self._hub

    @property
    def broker(self) -> MemoryBroker | StoredBroker:
        """The engine, once started."""
        return self._broker

    @property
    def certificate_ends(self) -> float | None:
        """When the public port's certificate ends, in Unix seconds; None without TLS."""
        return self._listener.certificate_ends

    async def start(self) -> tuple[str, int]:
        """Listen; return address and port.

        Raises:
            OSError: the address is not to be had.
            CertificateUnusable: there is to be TLS, and its files cannot be used.
            JournalUnusable: messages are to be stored, and the file cannot be used.

        """
        loop = asyncio.get_running_loop()
        self._journal = self._open_journal()
        self._broker: MemoryBroker | StoredBroker = (
            MemoryBroker(self._clock.wall)
            if self._journal is None
            else StoredBroker(self._journal, self._clock.wall)
        )
        self._hub = hub = Hub(
            self.config,
            self._broker,
            self._clock,
            loop.call_soon,
            loop.call_later,
            self.witness,
            self.access,
        )
        hub.tracer = self.tracer
        self.access.serve(Enforcing(hub, self._sessions_of))
        try:
            self._listener = Listener(
                self.config.server, self, self._clock, hub.wheel, hub.metrics, hub.warden
            )
            self.address = await self._listener.start()
        except BaseException:
            if self._journal is not None:
                await self._journal.close()
            raise
        self._tick(loop)
        host, port = self.address
        logger.info(
            "listening",
            host=host,
            port=port,
            tls=bool(self.config.server.tls_key),
            version=__version__,
            node=self.config.server.node,
            apps=len(self.config.apps),
            loop=type(loop).__module__.split(".")[0],
        )
        for app in self.config.apps:
            _warn(app)
        return self.address

    def _open_journal(self) -> SqliteJournal | None:
        storage = self.config.storage
        if storage.engine == "memory":
            return None
        journal = SqliteJournal(storage.path, self._clock.wall)
        journal.open()
        return journal

    async def stop(self) -> None:
        """Go down in order: accept nobody, store what came, tell everybody, close, cut what lingers."""
        self._hub.draining = True
        self._listener.stop()
        await self._settle()
        spread = self.config.server.drain_spread
        for connection in list(self._listener.connections):
            if connection.receiver is not None:
                connection.receiver.drain(random.uniform(0, spread))  # noqa: S311 - jitter, not a secret
        if not await self._listener.wait_empty(self.config.server.close):
            self._listener.abort()
            await self._listener.wait_empty(1.0)
        self._ticker.cancel()
        if self._journal is not None:
            await self._journal.close()
        logger.info("stopped", **self._hub.metrics.snapshot())

    async def _settle(self) -> None:
        """Wait, but not for long, until what was sent so far is stored and acknowledged."""
        self._hub.flush()
        broker = self._broker
        if isinstance(broker, StoredBroker):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.config.server.close):
                    await broker.settled()
            self._hub.flush()
            await asyncio.sleep(0)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Relay]:
        """Start, and stop at the end of the block."""
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one cuts everything at once. SIGHUP reloads."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.shut_down)
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, self.reload)
        await self.start()
        await self.wait_stopped()

    async def wait_stopped(self) -> None:
        """Serve until ``shut_down`` is called, and then stop; the process is taken to be the relay's own."""
        collector = Collector(self.metrics)
        collector.start()
        try:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _SWEEP_EVERY)
                    break
                collector.sweep()
            await self.stop()
        finally:
            collector.stop()

    def reload(self) -> None:
        """Read certificate and configuration again; what cannot be used is logged, and the old stays."""
        if self.address is None:
            return  # about to be read for the first time
        try:
            self._listener.reload()
        except CertificateUnusable as error:
            logger.error("the certificate was not reloaded, the old one stays in use", reason=str(error))
        else:
            logger.info("reloaded")
        if self._reread is None:
            return
        try:
            self._take(self._reread())
        except SealcastError as error:
            logger.error("the configuration was not reloaded, the old one stays in use", reason=str(error))

    def _take(self, config: Config) -> None:
        """Go by this configuration, as far as that can be while the relay runs. Raises AppsClash."""
        found = changes(self._loaded, config)
        self.directed(config.apps)
        self._loaded = config
        self.config = self.config.model_copy(update={"guard": config.guard})
        if found.guard:
            self._hub.warden.configure(config.guard)
        for app_id in found.removed:
            self.remove(app_id)
        for app in found.put:
            self.put(app)
        logger.info(
            "configuration reloaded",
            changed=list(found.guard),
            apps=[app.app_id for app in found.put],
            apps_removed=list(found.removed),
        )
        if found.fixed:
            logger.warning("these options changed, but need a restart", options=list(found.fixed))

    def directed(self, apps: Sequence[AppConfig]) -> None:
        """Hear which apps the configuration has now; raises AppsClash when they cannot be these."""

    def shut_down(self) -> None:
        """End ``run``; called twice, do not wait for anybody."""
        if self._stopping.is_set():
            self._listener.abort()
        self._stopping.set()

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        # First, so that a session that fails in its turn does not stop the time of all the others.
        self._ticker = loop.call_later(self._hub.wheel.tick, self._tick, loop)
        self._hub.wheel.advance(self._clock.monotonic())

    # --- apps that change while it runs ---

    def put(self, config: AppConfig) -> None:
        """Add an app, or change one: what is said of it holds at once, and a disabled one ends."""
        known = {app.config.app_id: app.config for app in self._hub.apps()}
        before = known.get(config.app_id)
        app = self._hub.put(config)
        if not config.enabled:
            self._end(app)
        elif before is not None and (before.limits, before.rates) != (config.limits, config.rates):
            for session in self._sessions_of(app):
                session.reconfigured()
        _warn(config)

    def remove(self, app_id: str) -> None:
        """Forget an app; who is in it is told that it is disabled."""
        for app in list(self._hub.apps()):
            if app.config.app_id == app_id:
                self._end(app)
                self._hub.remove(app_id)

    def _end(self, app: App) -> None:
        code = end("app_disabled")
        for session in self._sessions_of(app):
            session.refuse(code.name)
        for channel in list(app.channels.values()):  # those who linger have no session
            for member in list(channel.members.values()):
                member.outlet.leave(channel.number, code)

    def _sessions_of(self, app: App) -> list[Session]:
        receivers = [connection.receiver for connection in self._listener.connections]
        return [each for each in receivers if isinstance(each, Session) and each.app is app]

    # --- the listener's side ---

    def find(self, app_id: str) -> AppConfig | None:
        """Return the app that a connection may enter, or None."""
        app = self._hub.app(app_id)
        return app.config if app is not None else None

    def banned(self, app_id: str, address: str) -> bool:
        """Whether nobody from that address may join anything in the app."""
        return self.access.bans.shut_out(app_id, address)

    def full(self, app_id: str) -> bool:
        """Whether the app takes no more connections now, or the process is going down."""
        app = self._hub.app(app_id)
        return self._hub.draining or app is None or app.connections >= app.config.limits.connections

    def knock(self, app_id: str) -> Shortage | None:
        """Ask for one more connection of the app; None: it may come in."""
        app = self._hub.app(app_id)
        return None if app is None else app.quotas.connect(self._clock.monotonic())

    def welcome(self, app_id: str, transport: Transport, address: str, agent: str = "") -> Receiver:
        """Make the core of a new connection."""
        app = self._hub.app(app_id)
        assert app is not None, "judged a moment ago"
        self._sessions += 1
        clock = self._clock
        agent = printable_agent(agent)
        log = SessionLog(self._sessions, app_id, address, clock.monotonic(), agent, clock.wall())
        return Session(self._hub, app, transport, log, address)


def _warn(app: AppConfig) -> None:
    if app.policy.allow_app_id_only:
        logger.warning("this app admits members WITHOUT A TOKEN: for tests only", app=app.app_id)
    if app.policy.encryption == "optional":
        logger.warning("this app relays frames IN CLEAR if clients send them", app=app.app_id)


def main_loop() -> type[asyncio.AbstractEventLoop] | None:
    """Return the fastest event loop that is installed, or None for the standard one."""
    for name in ("uvloop", "winloop"):
        with contextlib.suppress(ImportError):
            module = __import__(name)
            loop: type[asyncio.AbstractEventLoop] = module.Loop
            return loop
    return None
