"""A relay with all that operators need: apps in a database, and the internal port.

What it adds is loaded when it is asked for: without database and internal port a relay stays small.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Final

from sealcast.protocol.errors import SealcastError

from .clock import Clock
from .config import Config
from .directory import Directory
from .logs import logger
from .relay import Relay
from .store.records import StoreDown
from .transport.tls import Certificate, CertificateUnusable

if TYPE_CHECKING:
    from .http.console.application import Console
    from .http.server import InternalPort
    from .store.records import Role
    from .store.store import Store

__all__ = ["InternalPortUnavailable", "Station"]

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

    """

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        super().__init__(config, clock)
        self.internal_address: tuple[str, int] | None = None
        """Where the internal port is, once started and if there is one."""
        self.directory = Directory(self.config.apps)
        self.store: Store | None = None
        """The database, once started and if there is one."""
        self._port: InternalPort | None = None
        self._console: Console | None = None
        self._certificate: Certificate | None = None
        self._refreshing: asyncio.Task[None] | None = None

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

        """
        try:
            await self._open_store()
            address = await super().start()
        except BaseException:
            await self._close_store()
            raise
        self.directory.serve(self)
        try:
            await self._serve_operators()
        except BaseException:
            await self.stop()
            raise
        if self.store is not None:
            self._refreshing = asyncio.create_task(self._refresh())
        return address

    async def stop(self) -> None:
        """Go down in order: the relay, the internal port, the database."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.gather(self._refreshing, return_exceptions=True)
        await super().stop()
        if self._console is not None:
            self._console.stop()
        if self._port is not None:
            await self._port.stop()
        await self._close_store()

    def reload(self) -> None:
        """Read the TLS certificates again; one that cannot be used is logged, and the old one stays."""
        super().reload()
        if self._certificate is None:
            return
        try:
            self._certificate.reload()
        except CertificateUnusable as error:
            logger.error("the internal port's certificate was not reloaded", reason=str(error))

    async def _open_store(self) -> None:
        place = self.config.database.place
        if not place:
            return
        from .store.store import Store

        self.store = Store(place, self.clock.wall)
        await self.store.open()
        self.directory = Directory(self.config.apps, self.store.apps)
        self.config = self.config.model_copy(update={"apps": await self.directory.load()})
        logger.info("database", place=self.store.database.place)

    async def _close_store(self) -> None:
        if self.store is not None:
            await self.store.close()

    async def _serve_operators(self) -> None:
        server = self.config.server
        if not server.internal:
            return
        from .http.application import application
        from .http.console.application import Console
        from .http.server import InternalPort
        from .http.services import Services

        if server.internal_tls_key:
            self._certificate = Certificate(
                server.internal_tls_certificate, server.internal_tls_key, logger.warning
            )
            if server.internal_tls_clients:
                self._certificate.demand_of_clients(server.internal_tls_clients)
        tls = None if self._certificate is None else self._certificate.context
        services = Services(self.config, self.hub, self.directory, self.clock, self.store)
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
                await self.directory.refresh()
            except Exception as error:  # whatever it is, it may be over the next time
                if not down:
                    reason = str(error) if isinstance(error, StoreDown) else type(error).__name__
                    logger.error("changes of apps by others are not seen", reason=reason)
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
