"""Everything that is kept about one user of an app, to be handed out and to be deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from .database import Database
from .kinds import KINDS, Asked

__all__ = ["Deleted", "Part", "People"]

_MOST: Final = 1_000


class Part(NamedTuple):
    """A record, with its kind."""

    kind: str
    key: str
    fields: dict[str, Any]


class Deleted(NamedTuple):
    """What has become of a user's records."""

    counts: dict[str, int]
    """How many of each kind are gone."""
    kept: dict[str, int]
    """How many stay, of the kinds that have such: rules that are in force."""
    more: bool
    """Whether there may be more, that a bound has left."""


class People:
    """What is kept about users. All methods raise StoreDown when the database does not answer.

    Args:
        database: where it is.
        now: Unix time.

    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def page(self, app_id: str, user: str, after: tuple[str, str] | None, limit: int) -> list[Part]:
        """Return records about a user, behind one that is named by kind and key."""
        kind_after, key_after = after or ("", "")
        asked = Asked(app_id, user, self._now())
        names = [kind.name for kind in KINDS]
        begin = names.index(kind_after) if kind_after in names else 0
        found: list[Part] = []
        async with self._database.transaction() as session:
            for kind in KINDS[begin:]:
                behind = key_after if kind.name == kind_after else ""
                items = await kind.read(session, asked, behind, limit - len(found))
                found += [Part(kind.name, *item) for item in items]
                if len(found) >= limit:
                    break
        return found

    async def delete(self, app_id: str, user: str) -> Deleted:
        """Delete records about a user, but for rules that are in force.

        It stops at a bound, so that nobody waits for the database for long.
        """
        asked = Asked(app_id, user, self._now())
        counts: dict[str, int] = {}
        kept: dict[str, int] = {}
        async with self._database.transaction() as session:
            for kind in KINDS:
                counts[kind.name] = await kind.delete(session, asked, _MOST)
                if staying := await kind.staying(session, asked):
                    kept[kind.name] = staying
        return Deleted(counts, kept, any(count >= _MOST for count in counts.values()))
