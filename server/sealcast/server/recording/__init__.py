"""What is kept of past sessions: a witness takes notes, a writer brings them to the database, old ones go."""

from __future__ import annotations

__all__: list[str] = []
