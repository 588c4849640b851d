"""What one process does for all that share a database: whose turn it is, when it was done, and the result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import or_, update
from sqlalchemy.exc import IntegrityError

from .database import Database
from .schema import Chore

__all__ = ["Chores", "Done"]

_LEASE: Final = 3600.0
"""Seconds after which somebody who has begun and not ended is taken to be gone."""


@dataclass(frozen=True, slots=True)
class Done:
    """What is known of a chore."""

    last: float | None
    """When it was done; None for never."""
    said: Mapping[str, Any]
    """What came of it."""


class Chores:
    """The chores of a database. All methods raise StoreDown when it does not answer.

    Args:
        database: where they are.
        now: Unix time.

    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def begin(self, name: str, holder: str, every: float = 0.0) -> bool:
        """Take a chore on, unless somebody is at it, or it was done less than *every* seconds ago."""
        now = self._now()
        held = {"holder": holder, "until": now + _LEASE}
        mine = (
            update(Chore)
            .where(
                Chore.name == name, Chore.until <= now, or_(Chore.last.is_(None), Chore.last <= now - every)
            )
            .values(held)
            .returning(Chore.name)
        )
        try:
            async with self._database.transaction() as session:
                if (await session.scalars(mine)).all():
                    return True
                if await session.get(Chore, name) is not None:
                    return False
                session.add(Chore(name=name, last=None, said={}, **held))
        except IntegrityError:  # somebody else was as quick
            return False
        return True

    async def note(self, name: str, holder: str, said: Mapping[str, Any]) -> None:
        """Note what has come of a chore so far."""
        async with self._database.transaction() as session:
            await session.execute(
                update(Chore).where(Chore.name == name, Chore.holder == holder).values(said=dict(said))
            )

    async def end(self, name: str, holder: str, said: Mapping[str, Any]) -> None:
        """Note that a chore is done."""
        now = self._now()
        async with self._database.transaction() as session:
            await session.execute(
                update(Chore)
                .where(Chore.name == name, Chore.holder == holder)
                .values(until=now, last=now, said=dict(said))
            )

    async def release(self, name: str, holder: str) -> None:
        """Let go of a chore that could not be done."""
        async with self._database.transaction() as session:
            await session.execute(
                update(Chore).where(Chore.name == name, Chore.holder == holder).values(until=self._now())
            )

    async def done(self, name: str) -> Done:
        """Return when a chore was done last, and what came of it."""
        async with self._database.transaction() as session:
            found = await session.get(Chore, name)
            return Done(None, {}) if found is None else Done(found.last, found.said)
