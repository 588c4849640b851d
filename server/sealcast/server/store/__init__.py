"""The database of what an operator sets: apps and their certificates, API keys, accounts.

Everything that knows SQL is below this package; the rest of the relay sees the records in ``records``.
``database`` and the repositories load SQLAlchemy, so they are imported where there is a database.
"""

from __future__ import annotations

__all__: list[str] = []
