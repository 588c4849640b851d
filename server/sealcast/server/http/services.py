"""What the routes work with, as one object: ``request.app.state.services``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Request

from ..channel import Channel
from ..clock import Clock
from ..config import Config
from ..directory import Directory
from ..figures.parts import Requests
from ..figures.readiness import Readiness
from ..hub import App, Hub
from ..logs import logger
from ..spans import Tracer
from ..store.records import StoreDown
from ..usage import Usage
from .errors import ApiError

if TYPE_CHECKING:
    from ..figures.exposition import Exposition
    from ..hooks.service import Hooks
    from ..store.audit import AuditLog
    from ..store.store import Store

__all__ = ["Audit", "KeptAudit", "Services", "ServicesOf", "Settling", "log_change"]


T = TypeVar("T")


class Audit(Protocol):
    """Where changes by operators are written down."""

    async def __call__(
        self, actor: str, action: str, target: str, detail: Mapping[str, Any], *, address: str = ""
    ) -> None:
        """Write down that *actor*, from *address*, has done *action* to *target*."""
        ...


async def log_change(
    actor: str, action: str, target: str, detail: Mapping[str, Any], *, address: str = ""
) -> None:
    """Write a change by an operator to the log."""
    logger.info("changed", actor=actor, action=action, target=target, address=address, **detail)


class KeptAudit:
    """Writes changes by operators to the audit log, and to the log. Raises StoreDown."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self.failures = 0
        """Entries that could not be written, so that their changes were refused."""

    async def __call__(
        self, actor: str, action: str, target: str, detail: Mapping[str, Any], *, address: str = ""
    ) -> None:
        """Write down a change; in ``Services.unit`` it is kept with the change."""
        try:
            await self._log.add(actor, action, target, detail, address=address)
        except StoreDown:
            self.failures += 1
            said = {"actor": actor, "action": action, "target": target, "address": address}
            logger.error("a change cannot be written to the audit log, so it is refused", **said)
            raise
        await log_change(actor, action, target, detail, address=address)


class Settling(Protocol):
    """What writes in the background."""

    async def flush(self) -> None:
        """Write what waits."""
        ...


@dataclass(slots=True)
class Services:
    """The relay, as operators see it."""

    config: Config
    hub: Hub
    directory: Directory
    clock: Clock
    store: Store | None = None
    """None where there is no database."""
    audit: Audit = log_change
    hooks: Hooks | None = None
    """Webhooks, where there is a database: their counts, and changes that hold at once."""
    recorder: Settling | None = None
    """Writes the records of sessions; None where none are kept."""
    figures: Exposition | None = None
    """What `/metrics` shows; None where nobody counts."""
    readiness: Readiness | None = None
    requests: Requests | None = None
    """Where requests are counted."""
    tracer: Tracer | None = None
    usage: Usage = field(init=False)
    """What apps have used."""

    def __post_init__(self) -> None:
        """Begin to count."""
        self.usage = Usage(self.hub)

    def live(self, app_id: str) -> App:
        """Return an app as it is on this node, a disabled one too. Raises ApiError."""
        found = self.hub.any_app(app_id)
        if found is None:
            raise ApiError("not_found", "no such app")
        return found

    def channel(self, app_id: str, name: str) -> Channel:
        """Return a channel that somebody is in. Raises ApiError."""
        found = self.live(app_id).channels.get(name)
        if found is None:
            raise ApiError("not_found", "nobody is in a channel of that name")
        return found

    @property
    def kept(self) -> Store:
        """The database. Raises ApiError where there is none."""
        if self.store is None:
            raise ApiError("file_configured", "there is no database, so nothing can be changed here")
        return self.store

    @contextlib.asynccontextmanager
    async def unit(self) -> AsyncIterator[None]:
        """Keep all that a request changes in the database, and its audit entry, or nothing of it.

        Every route that changes something runs in one; see ``Database.unit``. What is not in the database
        is not taken back: a route that does something to the relay itself calls ``announce`` before, and what
        the relay has taken over from a change that was not kept is read anew.
        """
        if self.store is None:
            yield
            return
        apps, rules = self.directory.changes, self.hub.access.changes
        try:
            async with self.store.database.unit():
                yield
        except (Exception, asyncio.CancelledError):
            if self.directory.changes != apps:
                self.directory.doubt()
            if self.hub.access.changes != rules:
                self.hub.access.doubt()
            raise

    async def apart(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something with the database that is kept, and over, before the request's own ``unit`` is.

        Nothing of that unit may have asked the database before: an embedded one has one connection.
        """
        return await asyncio.create_task(work)

    async def announce(
        self, actor: str, action: str, target: str, detail: Mapping[str, Any], *, address: str = ""
    ) -> None:
        """Write down what is going to be done to the relay itself, which nothing takes back.

        The entry is kept when this returns, so that whatever is done then holds up nobody else's; but where
        the request has asked the database before, it is kept with all of that. Raises StoreDown, when nothing
        may be done.
        """
        entry = self.audit(actor, action, target, detail, address=address)
        if self.store is not None and self.store.database.held:
            await entry
        else:
            await self.apart(entry)

    async def settled(self) -> Store:
        """Return the database, once what this node has noted of sessions, and for webhooks, is in it."""
        store = self.kept
        if self.recorder is not None:
            await self.recorder.flush()
        if self.hooks is not None:
            await self.hooks.settled()
        return store

    def changeable(self, app_id: str) -> Store:
        """Return the database that an app is in. Raises ApiError for an app of the configuration."""
        if self.directory.fixed(app_id):
            raise ApiError("file_configured")
        return self.kept


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesOf = Annotated[Services, Depends(_services)]
"""For a route's arguments."""
