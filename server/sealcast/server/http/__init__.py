"""The internal port: the API for operators, health, and what others add to it.

Loaded only where that port is served: FastAPI costs 20 MiB that a bare relay does not spend.
"""

from __future__ import annotations

__all__: list[str] = []
