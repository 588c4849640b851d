"""A relay with all that operators need: apps in a database, and the internal port.

What it adds is loaded when it is asked for: without database and internal port a relay stays small.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from sealcast.protocol.errors import SealcastError

from .access import Access
from .clock import Clock
from .config import AppConfig, Config, unsafe_app
from .directory import Directory
from .figures.instruments import Instruments
from .figures.parts import audit_log, kept_out, records, rules, webhooks
from .logs import logger
from .relay import Relay
from .store.records import StoreDown
from .transport.tls import Certificate, CertificateUnusable
from .witness import Several

if TYPE_CHECKING:
    from .hooks.service import Hooks
    from .http.console.application import Console
    from .http.server import InternalPort
    from .recording.recorder import Recorder
    from .recording.retention import Retention
    from .store.records import Role
    from .store.store import Store
    from .traces import Traces

__all__ = ["InternalPortUnavailable", "Station"]

_PATIENCE: Final = 4.0
"""Seconds that the database may take for the last writing when the relay goes down."""
_REFRESH_EVERY: Final = 5.0
"""Seconds between two looks at what other processes have changed in the database."""


class InternalPortUnavailable(SealcastError):
    """The internal port cannot be served; ``in_use`` says whether somebody else has it."""

    def __init__(self, address: str, error: OSError) -> None:
        self.in_use = error.errno == errno.EADDRINUSE
        reason = "is in use" if self.in_use else f"cannot be served: {error.strerror or 'no such address'}"
        super().__init__(f"the internal port {address} {reason}")


class Station(Relay):
    """A relay, its database and its internal port.

    Args:
        config: everything it is started with.
        clock: the present; tests bring their own.
        reread: reads the configuration again, or raises SealcastError.

    """

    def __init__(
        self, config: Config, clock: Clock | None = None, reread: Callable[[], Config] | None = None
    ) -> None:
        super().__init__(config, clock, reread)
        self.internal_address: tuple[str, int] | None = None
        """Where the internal port is, once started and if there is one."""
        self.directory = Directory(self.config.apps)
        self.store: Store | None = None
        """The database, once started and if there is one."""
        self.instruments = Instruments(self.clock)
        """What it is watched with: ``instruments.board.add(source)`` shows more numbers."""
        self._traces: Traces | None = None
        self.hooks: Hooks | None = None
        """Webhooks, once started and if there is a database."""
        self._named = bool(config.server.node)
        self._port: InternalPort | None = None
        self._console: Console | None = None
        self._certificate: Certificate | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._recorder: Recorder | None = None
        self._retention: Retention | None = None

    async def start(self) -> tuple[str, int]:
        """Open the database, listen on both ports; return address and port of the public one.

        Raises:
            StoreUnusable: the database cannot be used, or has to be migrated (MigrationNeeded).
            StoreDown: the database does not answer.
            AppsClash: an app stands in the configuration and in the database.
            InternalPortUnavailable: the internal port is not to be had.
            OSError: the public one is not to be had.
            CertificateUnusable: there is to be TLS, and its files cannot be used.
            JournalUnusable: messages are to be stored, and the file cannot be used.
            TracesUnavailable: there are to be traces, and their packages are not installed.

        """
        self._open_traces()
        self.witness = Several([self.witness, self.instruments.tally])
        try:
            self._load()
            await self._open_store()
            blocks = [] if self.store is None else await self.store.blocks.all()
            address = await super().start()
            self.hub.warden.take(blocks, self.hub.warden.changes)
        except BaseException:
            await self._close_store()
            await self._close_traces()
            raise
        self.directory.serve(self)
        try:
            await self._serve_operators()
        except BaseException:
            await self.stop()
            raise
        if self.store is not None:
            if self._retention is not None:
                self._retention.start()
            self._refreshing = asyncio.create_task(self._refresh())
        return address

    def _load(self) -> None:
        """Load what the internal port needs, which can take seconds, before anybody is let in."""
        if self.config.server.internal:
            from .figures import exposition
            from .http import application, server
            from .http.console import application as console

            del application, console, exposition, server

    async def stop(self) -> None:
        """Go down in order: the relay, the internal port, the database, which is not waited for for long."""
        # These end while the members are told; what they have begun must not meet the last writing.
        ending: list[asyncio.Future[None]] = []
        if self._refreshing is not None:
            self._refreshing.cancel()
            ending.append(self._refreshing)
        if self._retention is not None:
            ending.append(asyncio.ensure_future(self._retention.stop()))
        await super().stop()
        self.instruments.stop()
        if self._console is not None:
            self._console.stop()
        with self._patience():
            if self._port is not None:
                await self._port.stop()
            await asyncio.gather(*ending, return_exceptions=True)
            await self._close_store()
        await self._close_traces()

    @contextlib.contextmanager
    def _patience(self) -> Iterator[None]:
        """Bound the time that the database may take for all of the block."""
        if self.store is None:
            yield
            return
        cut = asyncio.get_running_loop().call_later(_PATIENCE, self.store.database.cut)
        try:
            yield
        finally:
            cut.cancel()

    def reload(self) -> None:
        """Read certificates and configuration again; what cannot be used is logged, and the old stays."""
        super().reload()
        if self._certificate is None:
            return
        try:
            self._certificate.reload()
        except CertificateUnusable as error:
            logger.error("the internal port's certificate was not reloaded", reason=str(error))

    def directed(self, apps: Sequence[AppConfig]) -> None:
        """Hear which apps the configuration has now; raises AppsClash when they cannot be these."""
        self.directory.configure(apps)

    async def load_blocks(self) -> None:
        """Keep out whom operators keep out, in this process and in others."""
        if self.store is not None:
            warden = self.hub.warden
            known = warden.changes
            warden.take(await self.store.blocks.all(), known)

    async def _open_store(self) -> None:
        place = self.config.database.place
        if not place:
            return
        from .store.store import Store

        self.store = Store(place, self.clock.wall)
        await self.store.open()
        server = self.config.server
        self.directory = Directory(self.config.apps, self.store.apps, lambda app: unsafe_app(server, app))
        self.config = self.config.model_copy(update={"apps": await self.directory.load()})
        self.access = Access(self.clock.wall, self.store.bans, self.store.revocations)
        await self.access.refresh()
        logger.info("database", place=self.store.database.place)
        await self._keep_records(self.store)
        await self._open_hooks(self.store)

    async def _keep_records(self, store: Store) -> None:
        from .recording.recorder import Recorder
        from .recording.retention import Retention

        records = self.config.records
        self._retention = Retention(store, records, self.clock, secrets.token_hex(8))
        if records.sessions:
            self._recorder = Recorder(store.calls, records, self.clock, self.config.server.node)
            await self._recorder.start()
            self.witness = Several([self.witness, self._recorder.ledger])

    async def _open_hooks(self, store: Store) -> None:
        """Begin to tell the webhooks, first of all what ended when this node was gone without a word."""
        from .hooks.service import Hooks
        from .tidings import Tidings

        hooks = Hooks(
            store.webhooks,
            store.deliveries,
            self.config.hooks,
            self.config.server.node,
            alone=store.database.embedded and not self._named,
            wall=self.clock.wall,
        )
        await hooks.start()
        self.hooks = hooks
        self.witness = Several([self.witness, Tidings(hooks, self.clock)])

    async def _close_store(self) -> None:
        if self.hooks is not None:
            await self.hooks.close()
        if self._recorder is not None:
            await self._recorder.stop()
        if self.store is not None:
            await self.store.close()

    def _open_traces(self) -> None:
        if self.config.traces.endpoint:
            from .traces import Traces

            self.tracer = self._traces = Traces(self.config.traces, self.config.server.node)

    async def _close_traces(self) -> None:
        traces, self._traces = self._traces, None
        if traces is not None:
            await asyncio.to_thread(traces.close)

    async def _serve_operators(self) -> None:
        server = self.config.server
        if not server.internal:
            return
        from .http.application import application
        from .http.console.application import Console
        from .http.server import InternalPort
        from .http.services import KeptAudit, Services

        if server.internal_tls_key:
            self._certificate = Certificate(
                server.internal_tls_certificate, server.internal_tls_key, logger.warning
            )
            if server.internal_tls_clients:
                self._certificate.demand_of_clients(server.internal_tls_clients)
        tls = None if self._certificate is None else self._certificate.context
        figures, readiness = self.instruments.connect(
            self.config,
            self.hub,
            self.broker,
            {"public": lambda: self.certificate_ends, "internal": self._internal_certificate_ends},
        )
        services = Services(self.config, self.hub, self.directory, self.clock, self.store, hooks=self.hooks)
        services.figures, services.readiness = figures, readiness
        services.requests, services.tracer = self.instruments.requests, self.tracer
        if self.store is not None:
            services.audit = audit = KeptAudit(self.store.audit)
            services.recorder = self._recorder
            self.instruments.board.add(audit_log(audit))
        self._show_parts()
        console = Console(services)
        app = application(services, console)
        port = InternalPort(app, server.internal_host, server.internal_port, tls)
        try:
            self.internal_address = await port.start()
        except OSError as error:
            address = f"{server.internal_host}:{server.internal_port}"
            raise InternalPortUnavailable(address, error) from None
        self._port, self._console = port, console
        console.start()
        host, number = self.internal_address
        logger.info("listening for operators", host=host, port=number, tls=tls is not None)

    def _show_parts(self) -> None:
        """Show the numbers of what stands around the core."""
        add = self.instruments.board.add
        add(kept_out(self.hub.warden.counts))
        add(rules(ban=self.access.bans, revocation=self.access.revocations))
        if self.hooks is not None:
            add(webhooks(self.hooks))
        if self._recorder is not None:
            add(records(self._recorder.ledger))

    def _internal_certificate_ends(self) -> float | None:
        return None if self._certificate is None else self._certificate.ends

    def sign_in_link(self, role: Role) -> str | None:
        """Make a link that signs in to the console once, within minutes; None without an internal port."""
        if self._console is None or self.internal_url is None:
            return None
        return self.internal_url + self._console.sign_in_path(role)

    async def _refresh(self) -> None:
        down = False
        while True:
            await asyncio.sleep(_REFRESH_EVERY)
            try:
                with self.instruments.pulse.look():
                    await self.directory.refresh()
                    await self.access.refresh()
                    await self.load_blocks()
            except Exception as error:  # whatever it is, it may be over the next time
                if not down:
                    reason = str(error) if isinstance(error, StoreDown) else type(error).__name__
                    logger.error("changes by other processes are not seen", reason=reason)
                down = True
            else:
                down = False

    @property
    def internal_url(self) -> str | None:
        """Where operators find it, once started; None without an internal port."""
        if self.internal_address is None:
            return None
        host, port = self.internal_address
        scheme = "https" if self._certificate is not None else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
