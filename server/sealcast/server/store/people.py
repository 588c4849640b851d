"""Everything that is kept about one user of an app, to be handed out and to be deleted.

Each kind of record about users is one entry of ``KINDS``: how to read a part of them, and how to delete some.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from .database import Database
from .schema import Call, CallMember

__all__ = ["KINDS", "Item", "Kind", "Part", "People"]

_MOST: Final = 1_000


class Item(NamedTuple):
    """One record about a user."""

    key: str
    """Its place among the others of its kind."""
    fields: dict[str, Any]
    """What is kept, as JSON takes it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of records about users."""

    name: str
    read: Callable[[AsyncSession, str, str, str, int], Awaitable[list[Item]]]
    """Given app, user, the last key before and a bound: the next items, in order of their keys."""
    delete: Callable[[AsyncSession, str, str, int], Awaitable[int]]
    """Given app, user and a bound: deletes so many at most, and says how many."""


async def _sessions(session: AsyncSession, app_id: str, user: str, after: str, most: int) -> list[Item]:
    query = (
        select(CallMember, Call.channel, Call.node)
        .join(Call, Call.call_id == CallMember.call_id)
        .where(CallMember.app_id == app_id, CallMember.user_id == user, CallMember.record_id > after)
        .order_by(CallMember.record_id)
        .limit(most)
    )
    names = ("call_id", "member", "address", "agent", "system", "joined", "ended", "reason")
    return [
        Item(
            row.record_id,
            {
                "channel": channel,
                "node": node,
                **{name: getattr(row, name) for name in (*names, "frames_in", "bytes_in")},
            },
        )
        for row, channel, node in await session.execute(query)
    ]


async def _delete_sessions(session: AsyncSession, app_id: str, user: str, most: int) -> int:
    some = (
        select(CallMember.record_id)
        .where(CallMember.app_id == app_id, CallMember.user_id == user)
        .limit(most)
    )
    gone = await session.scalars(
        delete(CallMember).where(CallMember.record_id.in_(some)).returning(CallMember.record_id)
    )
    return len(gone.all())


KINDS: Final[tuple[Kind, ...]] = (Kind("session", _sessions, _delete_sessions),)
"""All kinds, in the order in which they are handed out."""


class Part(NamedTuple):
    """A record, with its kind."""

    kind: str
    key: str
    fields: dict[str, Any]


class People:
    """What is kept about users. All methods raise StoreDown when the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, app_id: str, user: str, after: tuple[str, str] | None, limit: int) -> list[Part]:
        """Return records about a user, behind one that is named by kind and key."""
        kind_after, key_after = after or ("", "")
        names = [kind.name for kind in KINDS]
        begin = names.index(kind_after) if kind_after in names else 0
        found: list[Part] = []
        async with self._database.transaction() as session:
            for kind in KINDS[begin:]:
                behind = key_after if kind.name == kind_after else ""
                items = await kind.read(session, app_id, user, behind, limit - len(found))
                found += [Part(kind.name, *item) for item in items]
                if len(found) >= limit:
                    break
        return found

    async def delete(self, app_id: str, user: str) -> tuple[dict[str, int], bool]:
        """Delete records about a user; return how many of each kind, and whether there may be more.

        It stops at a bound, so that nobody waits for the database for long.
        """
        counts: dict[str, int] = {}
        more = False
        async with self._database.transaction() as session:
            for kind in KINDS:
                counts[kind.name] = await kind.delete(session, app_id, user, _MOST)
                more = more or counts[kind.name] >= _MOST
        return counts, more
