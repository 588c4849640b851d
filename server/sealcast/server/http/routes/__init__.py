"""The routes of the API, a module for each kind of thing; they stand below ``/api/v1``."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from . import (
    apps,
    audit,
    bans,
    blocks,
    calls,
    certificates,
    channels,
    keys,
    members,
    messages,
    nodes,
    people,
    revocations,
    usage,
    webhooks,
)

__all__ = ["ROUTERS"]

ROUTERS: Final[tuple[APIRouter, ...]] = (
    apps.router,
    certificates.router,
    bans.router,
    revocations.router,
    keys.router,
    channels.router,
    members.router,
    messages.router,
    nodes.router,
    usage.router,
    webhooks.router,
    blocks.router,
    audit.router,
    calls.router,
    people.router,
)
"""All of them."""
