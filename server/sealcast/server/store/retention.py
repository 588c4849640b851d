"""How long records are kept, and how those that are too old are deleted: in slices, by one process at a time.

Each class of records that gets too old is one entry of ``CLASSES``; the audit log purges itself, because its
chain has to hold afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from ..config import RecordsConfig
from .blocks import delete_blocks
from .calls import delete_calls, delete_memberships, delete_runs
from .records import DAY, StoreDown
from .schema import AnsweredRequest

if TYPE_CHECKING:
    from .store import Store

__all__ = ["AUDIT", "CHORE", "CLASSES", "Class", "purge"]

CHORE: Final = "retention"
"""What it is called among the chores."""
AUDIT: Final = "audit"
_UNREPORTED: Final = "unreported"
_SLICE: Final = 500
_PAUSE: Final = 0.01
"""Seconds between two slices, so that others get their turn at the database."""


@dataclass(frozen=True, slots=True)
class Class:
    """A class of records that get too old."""

    name: str
    option: str
    """The option that says how long they are kept; empty when that is fixed."""
    keep: Callable[[RecordsConfig], float]
    """Seconds that they are kept."""
    delete: Callable[[AsyncSession, float, int], Awaitable[int]]
    """Given a moment and a bound: deletes so many at most that ended before, and says how many."""


async def _delete_answers(session: AsyncSession, before: float, most: int) -> int:
    key = tuple_(AnsweredRequest.caller, AnsweredRequest.request_key)
    old = (
        select(AnsweredRequest.caller, AnsweredRequest.request_key)
        .where(AnsweredRequest.created < before)
        .limit(most)
    )
    gone = await session.execute(
        delete(AnsweredRequest).where(key.in_(old)).returning(AnsweredRequest.request_key)
    )
    return len(gone.all())


CLASSES: Final[tuple[Class, ...]] = (
    Class("sessions", "records.keep_sessions", lambda keep: keep.keep_sessions, delete_memberships),
    Class("calls", "records.keep_sessions", lambda keep: keep.keep_sessions, delete_calls),
    Class("runs", "records.keep_sessions", lambda keep: keep.keep_sessions, delete_runs),
    Class("answers", "", lambda _: DAY, _delete_answers),
    Class("blocks", "", lambda _: DAY, delete_blocks),
)
"""All classes but the audit log, in the order in which they are purged.

Rules that have ended and dead letters are purged by those who work on them, every few minutes: see
``access`` and ``hooks``.
"""


async def purge(
    store: Store, keep: RecordsConfig, now: float, actor: str, holder: str, every: float = 0.0
) -> dict[str, int] | None:
    """Delete what is too old; return how many of each class, or None when it is not this process's turn.

    If anything was deleted, that is an entry of the audit log.

    Raises:
        StoreDown: the database does not answer; what was deleted until then is.

    """
    if not await store.chores.begin(CHORE, holder, every):
        return None
    # What an earlier process has deleted and could not report any more.
    found = (await store.chores.done(CHORE)).said.get(_UNREPORTED, {})
    counts = {each.name: int(found.get(each.name, 0)) for each in CLASSES}
    try:
        for each in CLASSES:
            await _purge(store, each, now - each.keep(keep), counts, holder)
        counts[AUDIT] = await store.audit.purge(now - keep.keep_audit, actor)
        async with store.database.unit():
            if any(counts.values()):
                await store.audit.add(actor, "retention.purged", "records", counts)
            await store.chores.end(CHORE, holder, counts)
    except BaseException:
        with contextlib.suppress(StoreDown):
            await store.chores.release(CHORE, holder)
        raise
    return counts


async def _purge(store: Store, each: Class, before: float, counts: dict[str, int], holder: str) -> None:
    while True:
        async with store.database.unit():
            async with store.database.transaction() as session:
                count = await each.delete(session, before, _SLICE)
            counts[each.name] += count
            if count:
                await store.chores.note(CHORE, holder, {_UNREPORTED: counts})
        if count < _SLICE:
            return
        await asyncio.sleep(_PAUSE)
