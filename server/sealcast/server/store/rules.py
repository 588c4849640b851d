"""Ban rules and revocations in the database, and what has changed among them since somebody looked last.

Every change of rules of a kind has a number, and each rule has that of its last change. One that is lifted
stays for an hour with a note of it, so that all processes hear of it, however seldom they look.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic

from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from ..bans import Ban
from ..revocations import Revocation
from ..rules import Changes, R
from .database import Database
from .records import Missing, too_many
from .schema import BanRow, RevocationRow, RuleVersion

__all__ = ["BanTable", "RevocationTable", "delete_ended", "forget_rules", "in_force"]

_KEPT: Final = 3600.0
"""Seconds for which a rule is kept after its end."""


class _RuleTable(Generic[R]):
    """The rules of one kind. All methods raise StoreDown when the database does not answer.

    Args:
        database: where they are.
        now: Unix time.

    """

    what: str
    row: Any

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def _made(self, rule: R) -> dict[str, Any]:
        raise AssertionError

    def _read(self, row: Any) -> R:
        raise AssertionError

    async def changes(self, version: int) -> Changes[R]:
        """Return what has changed since the state of that version; 0: everything."""
        row, now = self.row, self._now()
        async with self._database.transaction() as session:
            state = await session.get(RuleVersion, self.what)
            newest, purged = (0, 0) if state is None else (state.version, state.purged)
            if newest == version:
                return Changes(version, [], [], whole=False)
            whole = version == 0 or version < purged or newest < version
            query = select(row)
            if whole:
                query = query.where(row.lifted.is_(None), _lasting(row, now))
            else:
                query = query.where(row.version > version)
            found = list(await session.scalars(query))
        gone = [(each.app_id, each.rule_id) for each in found if each.lifted is not None]
        return Changes(newest, [self._read(each) for each in found if each.lifted is None], gone, whole)

    async def add(self, rule: R, most: int) -> None:
        """Keep a rule. Raises WrongState when the app has *most* already."""
        row = self.row
        async with self._database.transaction() as session:
            version = await _next_version(session, self.what)  # holds others off until this is done
            count = (
                select(func.count())
                .select_from(row)
                .where(row.app_id == rule.app_id, row.lifted.is_(None), _lasting(row, self._now()))
            )
            if (await session.scalar(count) or 0) >= most:
                raise too_many(self.what, most)
            session.add(row(**self._made(rule), version=version, lifted=None))

    async def change(self, app_id: str, rule_id: str, until: float | None) -> R:
        """Let a rule end at another time; return it. Raises Missing."""
        return await self._update(app_id, rule_id, {"until": until})

    async def lift(self, app_id: str, rule_id: str) -> R:
        """Take a rule back; return it. Raises Missing."""
        return await self._update(app_id, rule_id, {"lifted": self._now()})

    async def purge(self) -> None:
        """Delete what has ended, or was lifted, an hour ago."""
        row, then = self.row, self._now() - _KEPT
        async with self._database.transaction() as session:
            await delete_ended(session, type(self), or_(row.lifted < then, row.until < then))

    async def _update(self, app_id: str, rule_id: str, values: dict[str, Any]) -> R:
        row = self.row
        async with self._database.transaction() as session:
            version = await _next_version(session, self.what)
            found = await session.scalar(
                select(row).where(
                    row.rule_id == rule_id,
                    row.app_id == app_id,
                    row.lifted.is_(None),
                    _lasting(row, self._now()),
                )
            )
            if found is None:
                raise Missing(self.what)
            found.version = version
            for name, value in values.items():
                setattr(found, name, value)
            return self._read(found)


def _lasting(row: Any, now: float) -> Any:
    return or_(row.until.is_(None), row.until > now)


async def _next_version(session: AsyncSession, kind: str) -> int:
    changed: int | None = await session.scalar(
        update(RuleVersion)
        .where(RuleVersion.kind == kind)
        .values(version=RuleVersion.version + 1)
        .returning(RuleVersion.version)
    )
    if changed is None:
        raise LookupError(f"the number of changes of {kind}s is gone")
    return changed


def in_force(row: Any, now: float) -> ColumnElement[bool]:
    """Return the condition that a rule of this table holds."""
    return and_(row.lifted.is_(None), _lasting(row, now))


async def delete_ended(
    session: AsyncSession, table: type[_RuleTable[Any]], which: ColumnElement[bool]
) -> int:
    """Delete rules that hold no more; return how many. Who has not heard of their end reads everything."""
    row = table.row
    gone = (await session.scalars(delete(row).where(which).returning(row.version))).all()
    if gone:
        newest = max(gone)
        await session.execute(
            update(RuleVersion)
            .where(RuleVersion.kind == table.what, RuleVersion.purged < newest)
            .values(purged=newest)
        )
    return len(gone)


class BanTable(_RuleTable[Ban]):
    """The ban rules of a database."""

    what, row = "ban", BanRow

    def _made(self, rule: Ban) -> dict[str, Any]:
        return {
            "rule_id": rule.ban_id,
            "app_id": rule.app_id,
            "address": rule.address,
            "channel": rule.channel,
            "user": rule.user,
            "privileges": list(rule.privileges),
            "until": rule.until,
            "reason": rule.reason,
            "creator": rule.creator,
            "created": rule.created,
        }

    def _read(self, row: BanRow) -> Ban:
        return Ban(
            ban_id=row.rule_id,
            app_id=row.app_id,
            address=row.address,
            channel=row.channel,
            user=row.user,
            privileges=tuple(row.privileges),
            until=row.until,
            reason=row.reason,
            creator=row.creator,
            created=row.created,
        )


class RevocationTable(_RuleTable[Revocation]):
    """The revocations of a database."""

    what, row = "revocation", RevocationRow

    def _made(self, rule: Revocation) -> dict[str, Any]:
        return {
            "rule_id": rule.revocation_id,
            "app_id": rule.app_id,
            "token_id": rule.token_id,
            "channel": rule.channel,
            "user": rule.user,
            "issued_before": rule.issued_before,
            "until": rule.until,
            "reason": rule.reason,
            "creator": rule.creator,
            "created": rule.created,
        }

    def _read(self, row: RevocationRow) -> Revocation:
        return Revocation(
            revocation_id=row.rule_id,
            app_id=row.app_id,
            token_id=row.token_id,
            channel=row.channel,
            user=row.user,
            issued_before=row.issued_before,
            until=row.until or 0.0,
            reason=row.reason,
            creator=row.creator,
            created=row.created,
        )


async def forget_rules(session: AsyncSession, app_id: str, now: float) -> None:
    """Lift all rules of an app that is deleted, in the same transaction."""
    for table in (BanTable, RevocationTable):
        row = table.row
        version = await _next_version(session, table.what)
        await session.execute(
            update(row)
            .where(and_(row.app_id == app_id, row.lifted.is_(None)))
            .values(lifted=now, version=version)
        )
