"""The routes of the API, a module for each kind of thing; they stand below ``/api/v1``."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from . import (
    apps,
    bans,
    blocks,
    certificates,
    channels,
    keys,
    members,
    messages,
    nodes,
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
)
"""All of them."""
