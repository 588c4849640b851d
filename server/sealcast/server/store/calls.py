"""Records of sessions in the database: calls, which are the lives of channels, and memberships in them.

A record is written when it begins and again when it has changed. What was written and is not there any more
was deleted, and does not come back with the next writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Table as SqlTable
from sqlalchemy import and_, bindparam, case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from .database import Database
from .records import CallRecord, MembershipRecord, Missing
from .schema import Call, CallMember, Run

__all__ = ["NODE_LOST", "Calls", "CallsAsked", "Place", "delete_calls", "delete_memberships", "delete_runs"]

NODE_LOST: Final = "node_lost"
"""The reason of what ended unseen: its process was gone."""

_CALL: Final = tuple(column.name for column in Call.__table__.columns)
_MEMBERSHIP: Final = tuple(column.name for column in CallMember.__table__.columns)


class Place(NamedTuple):
    """Where a list goes on."""

    moment: float
    key: str


@dataclass(frozen=True, slots=True)
class CallsAsked:
    """Which calls to look for; None is any."""

    channel: str | None = None
    user: str | None = None
    addresses: tuple[str, ...] = ()
    """The ways in which an address may have been kept; empty for any address."""
    since: float | None = None
    """Not over before."""
    until: float | None = None
    """Begun before."""


class Calls:
    """The records of sessions of a database. All methods raise StoreDown when it does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- writing ---

    async def write(self, calls: Iterable[CallRecord], members: Sequence[MembershipRecord]) -> None:
        """Write these records as they are now, and the calls that the memberships need."""
        above = {call.call_id: call for call in calls}
        for each in members:
            if each.call is not None and not each.call.kept:
                above[each.call.call_id] = each.call
        batches: tuple[tuple[SqlTable, str, list[Any]], ...] = (
            (_table(Call), "call_id", _rows(above.values(), _CALL)),
            (_table(CallMember), "record_id", _rows(members, _MEMBERSHIP)),
        )
        async with self._database.transaction() as session:
            for table, key, rows in batches:
                await self._insert(session, table, key, [row for kept, row in rows if not kept])
                await _update(session, table, key, [row for kept, row in rows if kept])
        written: list[CallRecord | MembershipRecord] = [*above.values(), *members]
        for record in written:
            record.kept = True

    async def _insert(self, session: AsyncSession, table: SqlTable, key: str, rows: list[Any]) -> None:
        if not rows:
            return
        # Whether an earlier attempt was kept can be unknown, so it may be there.
        make = sqlite.insert if self._database.embedded else postgresql.insert
        statement = make(table).values(rows)
        changed = {name: statement.excluded[name] for name in table.columns.keys() if name != key}  # noqa: SIM118
        await session.execute(statement.on_conflict_do_update(index_elements=[key], set_=changed))

    async def beat(self, run_id: str, node: str, now: float, *, ended: bool = False) -> None:
        """Note that a process is there, or that it has ended."""
        values = {"alive": now, "ended": now if ended else None}
        async with self._database.transaction() as session:
            found = await session.scalars(
                update(Run).where(Run.run_id == run_id).values(values).returning(Run.run_id)
            )
            if not found.all():
                session.add(Run(run_id=run_id, node=node, started=now, **values))

    async def reconcile(self, run_id: str, node: str, silent_since: float) -> int:
        """End what processes have left open that are gone; return how many processes that were.

        Gone are those that were not heard of since, and earlier ones of this node's name.
        """
        gone = select(Run).where(
            Run.ended.is_(None), Run.run_id != run_id, or_(Run.alive < silent_since, Run.node == node)
        )
        async with self._database.transaction() as session:
            runs = (await session.scalars(gone.with_for_update())).all()
            for run in runs:
                await _end_all(session, run.run_id, run.alive)
                run.ended = run.alive
            return len(runs)

    async def end_run(self, run_id: str, node: str, now: float) -> None:
        """Note that a process ends, and end what it leaves open."""
        await self.beat(run_id, node, now, ended=True)
        async with self._database.transaction() as session:
            await _end_all(session, run_id, now)

    # --- reading ---

    async def page(
        self, app_id: str, asked: CallsAsked, after: Place | None = None, limit: int = 100
    ) -> list[CallRecord]:
        """Return calls of an app, those that were opened last first."""
        query = select(Call).where(Call.app_id == app_id)
        if asked.channel is not None:
            query = query.where(Call.channel == asked.channel)
        if asked.until is not None:
            query = query.where(Call.opened < asked.until)
        if asked.since is not None:
            query = query.where(or_(Call.closed.is_(None), Call.closed >= asked.since))
        within = select(CallMember.call_id).where(CallMember.app_id == app_id)
        if asked.user is not None:
            query = query.where(Call.call_id.in_(within.where(CallMember.user_id == asked.user)))
        if asked.addresses:
            query = query.where(Call.call_id.in_(within.where(CallMember.address.in_(asked.addresses))))
        if after is not None:
            query = query.where(
                or_(
                    Call.opened < after.moment,
                    and_(Call.opened == after.moment, Call.call_id < after.key),
                )
            )
        query = query.order_by(Call.opened.desc(), Call.call_id.desc()).limit(limit)
        async with self._database.transaction() as session:
            return [_call(row) for row in await session.scalars(query)]

    async def get(self, app_id: str, call_id: str) -> CallRecord:
        """Return one call of an app. Raises Missing."""
        async with self._database.transaction() as session:
            found = await session.get(Call, call_id)
            if found is None or found.app_id != app_id:
                raise Missing("call")
            return _call(found)

    async def members(
        self, call_id: str, after: Place | None = None, limit: int = 100
    ) -> list[MembershipRecord]:
        """Return the memberships of a call in the order in which they began."""
        query = select(CallMember).where(CallMember.call_id == call_id)
        if after is not None:
            query = query.where(
                or_(
                    CallMember.joined > after.moment,
                    and_(CallMember.joined == after.moment, CallMember.record_id > after.key),
                )
            )
        query = query.order_by(CallMember.joined, CallMember.record_id).limit(limit)
        async with self._database.transaction() as session:
            return [_membership(row) for row in await session.scalars(query)]


# --- what is too old ---


async def delete_memberships(session: AsyncSession, before: float, most: int) -> int:
    """Delete memberships that ended before, so many at most; return how many."""
    old = select(CallMember.record_id).where(CallMember.ended < before).limit(most)
    gone = await session.scalars(
        delete(CallMember).where(CallMember.record_id.in_(old)).returning(CallMember.record_id)
    )
    return len(gone.all())


async def delete_calls(session: AsyncSession, before: float, most: int) -> int:
    """Delete calls that were over before, so many at most; return how many."""
    old = select(Call.call_id).where(Call.closed < before).limit(most)
    gone = await session.scalars(delete(Call).where(Call.call_id.in_(old)).returning(Call.call_id))
    return len(gone.all())


async def delete_runs(session: AsyncSession, before: float, most: int) -> int:
    """Delete what is known of processes that ended before; return how many."""
    old = select(Run.run_id).where(Run.ended < before).limit(most)
    gone = await session.scalars(delete(Run).where(Run.run_id.in_(old)).returning(Run.run_id))
    return len(gone.all())


# --- rows ---


def _table(model: type[Call] | type[CallMember]) -> SqlTable:
    table = model.__table__
    assert isinstance(table, SqlTable), "it is declared as one"
    return table


def _rows(records: Iterable[Any], names: Sequence[str]) -> list[tuple[bool, dict[str, Any]]]:
    return [(record.kept, {name: getattr(record, name) for name in names}) for record in records]


async def _update(session: AsyncSession, table: SqlTable, key: str, rows: list[Any]) -> None:
    if not rows:
        return
    names = [name for name in table.columns.keys() if name != key]  # noqa: SIM118
    statement = (
        table.update()
        .where(table.columns[key] == bindparam("of"))
        .values({name: bindparam(f"new_{name}") for name in names})
    )
    connection = await session.connection()
    await connection.execute(
        statement, [{"of": row[key], **{f"new_{name}": row[name] for name in names}} for row in rows]
    )


async def _end_all(session: AsyncSession, run_id: str, moment: float) -> None:
    await session.execute(
        update(CallMember)
        .where(CallMember.run_id == run_id, CallMember.ended.is_(None))
        .values(ended=case((CallMember.joined > moment, CallMember.joined), else_=moment), reason=NODE_LOST)
        .execution_options(synchronize_session=False)
    )
    await session.execute(
        update(Call)
        .where(Call.run_id == run_id, Call.closed.is_(None))
        .values(closed=case((Call.opened > moment, Call.opened), else_=moment), reason=NODE_LOST)
        .execution_options(synchronize_session=False)
    )


def _call(row: Call) -> CallRecord:
    return CallRecord(**{name: getattr(row, name) for name in _CALL}, kept=True)


def _membership(row: CallMember) -> MembershipRecord:
    return MembershipRecord(call=None, **{name: getattr(row, name) for name in _MEMBERSHIP}, kept=True)
