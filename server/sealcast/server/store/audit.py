"""The audit log in the database: entries are added and read; nothing changes them, and triggers see to that.

One row, the head, says which entry is the last one. Whoever adds an entry holds it until the entry is kept,
so that two processes on one database cannot both follow the same entry. The row also says up to where old
entries were purged: the chain begins there.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ..audit import GENESIS, Broken, Entry, Head, Verdict, follow, verify
from .database import Database
from .records import StoreUnusable
from .schema import AuditEntry, AuditHead

__all__ = ["PURGED", "Asked", "AuditLog", "Ends"]

PURGED: Final = "audit.purged"
"""The action of an entry that says that older ones were deleted."""

_PAGE: Final = 500
_NAME_MAX: Final = 255
_ADDRESS_MAX: Final = 64
_TARGET_MAX: Final = 1_000
_DETAIL_MAX: Final = 16 * 1024
_RETRIES: Final = 3


class Ends(NamedTuple):
    """Both ends of the chain."""

    begin: Head
    """The last entry that was purged; ``Head(0, GENESIS)`` when none was."""
    head: Head
    """The last entry."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which entries to look for; None is any."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    """What the target begins with."""
    since: float | None = None
    """Unix seconds, inclusive."""
    until: float | None = None
    """Unix seconds, exclusive."""


class AuditLog:
    """The audit log of a database. All methods raise StoreDown when it does not answer.

    Args:
        database: where it is.
        now: Unix time.

    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def add(
        self, actor: str, action: str, target: str, detail: Mapping[str, Any], *, address: str = ""
    ) -> Entry:
        """Add an entry; in a ``unit`` of the database it is kept with the change that it is about."""
        async with self._database.transaction() as session:
            return await self._add(session, actor, action, target, detail, address)

    async def _add(
        self,
        session: AsyncSession,
        actor: str,
        action: str,
        target: str,
        detail: Mapping[str, Any],
        address: str = "",
    ) -> Entry:
        head = (await _ends(session, hold=True)).head
        entry = follow(
            head if head.seq else None,
            int(self._now() * 1000),
            _fit(actor, _NAME_MAX),
            _fit(address, _ADDRESS_MAX),
            _fit(action, _NAME_MAX),
            _fit(target, _TARGET_MAX),
            _bounded(detail),
        )
        await session.execute(
            insert(AuditEntry).values({name: getattr(entry, name) for name in Entry.__slots__})
        )
        await session.execute(update(AuditHead).values(seq=entry.seq, hash=entry.hash))
        return entry

    async def ends(self) -> Ends:
        """Return both ends of the chain."""
        async with self._database.transaction() as session:
            return await _ends(session)

    async def page(self, asked: Asked, before: int | None = None, limit: int = 100) -> list[Entry]:
        """Return entries, the newest first, from the first one before *before* on."""
        query = select(AuditEntry).where(*_conditions(asked)).order_by(AuditEntry.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditEntry.seq < before)
        async with self._database.transaction() as session:
            # What is purged and not yet deleted is not shown.
            query = query.where(AuditEntry.seq > (await _ends(session)).begin.seq)
            return [_entry(row) for row in await session.scalars(query)]

    async def verify(self, until: Head | None = None) -> Verdict:
        """Check the whole chain, a page at a time: against itself, its head, and a head that was kept.

        Args:
            until: a head that was kept elsewhere.

        """
        for _ in range(_RETRIES):
            check = _Walk(self._database)
            verdict = await check.verdict(until)
            if not check.moved:
                break
        return verdict

    async def purge(self, before: float, actor: str = "relay") -> int:
        """Take entries older than *before* out of the chain; return how many, and delete them.

        That it was done is an entry, which names the last one that is gone and its hash. Entries are deleted
        in slices afterwards: when that is interrupted, the next time does the rest.
        """
        async with self._database.transaction() as session:
            begin, head = await _ends(session, hold=True)
            young = await session.scalar(
                select(func.min(AuditEntry.seq)).where(
                    AuditEntry.at_ms >= int(before * 1000), AuditEntry.seq > begin.seq
                )
            )
            through = head.seq if young is None else young - 1
            count = through - begin.seq
            if count > 0:
                link = await session.scalar(select(AuditEntry.hash).where(AuditEntry.seq == through))
                assert link is not None, "the head is held, and it is not before the begin"
                said = {"entries": count, "through": through, "link": link.hex()}
                await self._add(session, actor, PURGED, "audit log", said)
                await session.execute(update(AuditHead).values(begin_seq=through, begin_hash=link))
                begin = Head(through, link)
        while await self._delete(begin.seq):
            pass
        return max(count, 0)

    async def _delete(self, through: int) -> bool:
        slice_ = select(AuditEntry.seq).where(AuditEntry.seq <= through).order_by(AuditEntry.seq).limit(_PAGE)
        async with self._database.transaction() as session:
            gone = await session.scalars(
                delete(AuditEntry).where(AuditEntry.seq.in_(slice_)).returning(AuditEntry.seq)
            )
            return bool(gone.all())


class _Walk:
    """Goes through the chain once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ends: Ends | None = None
        self._witnessed = False
        self.moved = False
        """Whether something was purged meanwhile, so that a gap means nothing."""

    async def verdict(self, until: Head | None) -> Verdict:
        async with self._database.transaction() as session:
            begin = (await _ends(session)).begin
        # What is before the begin is gone: a head that was kept from there cannot be looked for.
        late = until is not None and until.seq <= begin.seq
        verdict = await verify(self._entries(begin), begin=begin, until=None if late else until)
        async with self._database.transaction() as session:
            self.moved = (await _ends(session)).begin != begin
        if verdict.broken is None:
            broken = self._against_head(verdict.head, begin) or _purged_head(until if late else None, begin)
            verdict = Verdict(verdict.entries, verdict.head, broken)
        return verdict

    def _against_head(self, last: Head, begin: Head) -> Broken | None:
        assert self._ends is not None, "the last page has read it"
        if self._ends.head != last:
            return Broken(self._ends.head.seq, "the log's head names it as the last entry, and it is not")
        if begin.seq and not self._witnessed:
            return Broken(begin.seq, "the log begins behind it, and no entry says that it was purged")
        return None

    async def _entries(self, begin: Head) -> AsyncIterator[Entry]:
        last = begin.seq
        while True:
            query = select(AuditEntry).where(AuditEntry.seq > last).order_by(AuditEntry.seq).limit(_PAGE)
            async with self._database.transaction() as session:
                page = [_entry(row) for row in await session.scalars(query)]
                if len(page) < _PAGE:
                    self._ends = await _ends(session)
            for entry in page:
                last = entry.seq
                self._witnessed = self._witnessed or _names(entry, begin)
                yield entry
            if len(page) < _PAGE:
                return


def _purged_head(until: Head | None, begin: Head) -> Broken | None:
    if until is None or (until.seq < begin.seq or until.hash == begin.hash):
        return None
    return Broken(until.seq, "it is another one than the head that was kept")


def _names(entry: Entry, begin: Head) -> bool:
    if entry.action != PURGED or not begin.seq:
        return False
    try:
        said = json.loads(entry.detail)
        return bool(said["through"] == begin.seq and said["link"] == begin.hash.hex())
    except (ValueError, KeyError, TypeError):
        return False


async def _ends(session: AsyncSession, *, hold: bool = False) -> Ends:
    query = select(AuditHead.begin_seq, AuditHead.begin_hash, AuditHead.seq, AuditHead.hash)
    row = (await session.execute(query.with_for_update() if hold else query)).one_or_none()
    if row is None:
        if hold:
            raise StoreUnusable("the head of the audit log is missing, so nothing can be written to it")
        return Ends(Head(0, GENESIS), Head(0, GENESIS))
    return Ends(Head(row[0], row[1]), Head(row[2], row[3]))


def _conditions(asked: Asked) -> list[ColumnElement[bool]]:
    found = []
    if asked.actor is not None:
        found.append(AuditEntry.actor == asked.actor)
    if asked.action is not None:
        found.append(AuditEntry.action == asked.action)
    if asked.target is not None:
        found.append(AuditEntry.target.startswith(asked.target, autoescape=True))
    if asked.since is not None:
        found.append(AuditEntry.at_ms >= int(asked.since * 1000))
    if asked.until is not None:
        found.append(AuditEntry.at_ms < int(asked.until * 1000))
    return found


def _entry(row: AuditEntry) -> Entry:
    return Entry(
        row.seq, row.at_ms, row.actor, row.address, row.action, row.target, row.detail, row.previous, row.hash
    )


def _fit(text: str, most: int) -> str:
    """Return text as every database keeps it: valid, without NUL, and not endless."""
    kept = text.encode("utf-8", "replace").decode().replace("\0", "?")
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"


def _bounded(detail: Mapping[str, Any]) -> Mapping[str, Any]:
    size = len(json.dumps(detail, default=str))
    return detail if size <= _DETAIL_MAX else {"left_out": sorted(map(str, detail))[:32], "bytes": size}
