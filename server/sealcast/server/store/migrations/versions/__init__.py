"""Each module is one step; alembic reads their names from ``revision`` and ``down_revision``."""

from __future__ import annotations

__all__: list[str] = []
