"""The routes of the API, a module for each kind of thing; they stand below ``/api/v1``."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from . import apps, blocks, certificates, keys

__all__ = ["ROUTERS"]

ROUTERS: Final[tuple[APIRouter, ...]] = (
    apps.router,
    certificates.router,
    keys.router,
    blocks.router,
)
"""All of them."""
