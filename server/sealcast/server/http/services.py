"""What the routes work with, as one object: ``request.app.state.services``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Protocol

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
from ..usage import Usage
from .errors import ApiError

if TYPE_CHECKING:
    from ..figures.exposition import Exposition
    from ..hooks.service import Hooks
    from ..store.store import Store

__all__ = ["Audit", "Services", "ServicesOf", "log_change"]


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
