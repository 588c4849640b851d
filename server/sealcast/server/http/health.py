"""``/healthz``: the process lives. ``/readyz``: it can be given work. Neither needs a key."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from sealcast.protocol.version import __version__

from ..store.records import StoreDown
from .errors import ApiError, ErrorBody
from .services import ServicesOf

__all__ = ["Health", "router"]

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """How the relay is."""

    status: Literal["ok", "ready"]
    version: str
    node: str


@router.get("/healthz")
async def healthz(services: ServicesOf) -> Health:
    """Say that the process lives and its loop turns."""
    return Health(status="ok", version=__version__, node=services.config.server.node)


@router.get("/readyz", responses={503: {"model": ErrorBody}})
async def readyz(services: ServicesOf) -> Health:
    """Say whether the relay takes members: not while it goes down, and not without its database."""
    if services.hub.draining:
        raise ApiError("not_ready", "this relay is going down", retry_after=5.0)
    if services.store is not None:
        try:
            await services.store.database.ping()
        except StoreDown:
            raise ApiError("not_ready", "the database does not answer", retry_after=5.0) from None
    return Health(status="ready", version=__version__, node=services.config.server.node)
