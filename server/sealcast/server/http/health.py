"""``/healthz``: the process lives. ``/readyz``: it can be given work. Neither needs a key."""

from __future__ import annotations

from typing import Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from sealcast.protocol.version import __version__

from .errors import ApiError, ErrorBody
from .services import ServicesOf

__all__ = ["Health", "router"]

_DATABASE_TIME: Final = 2.0
"""Seconds: who asks has other things to do."""

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
    """Say whether the relay takes members: not while it goes down, nor without its database or storage."""
    readiness, problems = services.readiness, []
    if readiness is not None:
        problems = [found for found in readiness.problems() if not found.startswith("database")]
    elif services.hub.draining:
        problems.append("drain: this relay is going down")
    if services.store is not None and not await services.store.database.answers(_DATABASE_TIME):
        problems.append("database: it does not answer")
    if problems:
        raise ApiError("not_ready", "; ".join(problems), problems=problems, retry_after=5.0)
    return Health(status="ready", version=__version__, node=services.config.server.node)
