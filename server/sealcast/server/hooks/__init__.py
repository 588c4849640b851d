"""Webhooks: what happens in channels is told to the app's backend, signed, at least once, in order."""

from __future__ import annotations

__all__: list[str] = []
