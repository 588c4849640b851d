"""The routes of the API, a module for each kind of thing; they stand below ``/api/v1``."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from . import apps, audit, calls, certificates, keys, people

__all__ = ["ROUTERS"]

ROUTERS: Final[tuple[APIRouter, ...]] = (
    apps.router,
    certificates.router,
    keys.router,
    audit.router,
    calls.router,
    people.router,
)
"""All of them."""
