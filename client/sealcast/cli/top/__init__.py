"""``sealcast top``: what a relay is doing, live in a terminal, from the numbers of its internal port."""

from __future__ import annotations

__all__: list[str] = []
