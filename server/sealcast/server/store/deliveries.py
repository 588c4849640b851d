"""Deliveries of webhooks in the database: written down with what they open, claimed, made, given up.

Several processes work on one database: whoever claims a delivery has it alone until the claim ends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import CursorResult, Delete, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from sqlalchemy.sql import ColumnElement, Select

from .database import Database
from .hook_records import DeliveryRecord, EventRecord, NodeRecord, OpenRecord
from .schema import Webhook, WebhookDelivery, WebhookNode, WebhookOpen
from .webhooks import delivery_record, webhook_record

__all__ = ["OVERFULL", "Deliveries", "Ends"]

OVERFULL: Final = "too many deliveries wait"
"""What is said of a delivery that was given up for newer ones."""
_AT_ONCE: Final = 1_000
"""Things whose end is told in one transaction."""

Ends = Callable[[Sequence[OpenRecord], Mapping[str, float]], Sequence[EventRecord]]
"""Makes the events that end what is open; the second argument says when each node was alive last."""


class Deliveries:
    """The deliveries of a database. All methods raise StoreDown when it does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, node: str, events: Sequence[EventRecord]) -> int:
        """Write events down for every webhook that wants them; return how many deliveries that makes.

        What they open and close is noted in the same transaction. An event that opens what is open, or
        closes what is not, was written down before, and is passed over.
        """
        ids = {event.event_id for event in events if event.opens}
        ids |= {event.closes for event in events if event.closes}
        async with self._database.transaction() as session:
            query = select(WebhookOpen.event_id).where(WebhookOpen.event_id.in_(ids))
            there = set(await session.scalars(query)) if ids else set()
            opened: dict[str, EventRecord] = {}
            closed: set[str] = set()
            fresh: list[EventRecord] = []
            for event in events:
                if event.opens:
                    if event.event_id in there:
                        continue
                    opened[event.event_id] = event
                elif event.closes and opened.pop(event.closes, None) is None:
                    if event.closes not in there or event.closes in closed:
                        continue
                    closed.add(event.closes)
                fresh.append(event)
            if closed:
                await session.execute(delete(WebhookOpen).where(WebhookOpen.event_id.in_(closed)))
            if opened:
                await session.execute(insert(WebhookOpen), [_open(node, each) for each in opened.values()])
            return await self._deliver(session, fresh)

    async def turn(
        self,
        owner: str,
        now: float,
        until: float,
        room: int,
        each: int,
        running: Mapping[str, int],
        made: Sequence[int] = (),
    ) -> list[DeliveryRecord]:
        """Cross out what was *made*, and take up to *room* deliveries that may be tried, until that time.

        It is one transaction, for each costs. Of each webhook and lane it is the first one, when none of that
        lane is being tried; of each webhook not more than *each*, with those that are *running*.
        """
        found: list[DeliveryRecord] = []
        some = exists().where(WebhookDelivery.webhook_id == Webhook.webhook_id, *_claimable(now))
        async with self._database.transaction() as session:
            if made:
                await session.execute(_crossed_out(made))
            webhooks = list(await session.scalars(select(Webhook).where(Webhook.enabled, some)))
            random.shuffle(webhooks)  # so that none is always the last
            for webhook in webhooks:
                most = min(each - running.get(webhook.webhook_id, 0), room - len(found))
                if most <= 0:
                    continue
                record = webhook_record(webhook)
                rows = (await session.scalars(_firsts(webhook.webhook_id, now, most))).all()
                found += [delivery_record(row, record) for row in rows]
            if found:
                await session.execute(
                    update(WebhookDelivery)
                    .where(WebhookDelivery.delivery_id.in_([record.delivery_id for record in found]))
                    .values(claimed_by=owner, claimed_until=until)
                    .execution_options(synchronize_session=False)
                )
        return found

    async def next_due(self, now: float) -> float | None:
        """Return when after now the next one may be tried, or None when nothing waits for its time."""
        query = select(func.min(WebhookDelivery.due)).where(
            WebhookDelivery.dead.is_(False), WebhookDelivery.due > now
        )
        async with self._database.transaction() as session:
            return await session.scalar(query)

    async def waiting(self) -> int:
        """Return how many have not been made yet."""
        query = select(func.count()).select_from(WebhookDelivery).where(WebhookDelivery.dead.is_(False))
        async with self._database.transaction() as session:
            return await session.scalar(query) or 0

    async def delivered(self, delivery_ids: Sequence[int]) -> None:
        """Cross these out."""
        async with self._database.transaction() as session:
            await session.execute(_crossed_out(delivery_ids))

    async def failed(self, owner: str, delivery_id: int, answer: str, due: float | None, now: float) -> None:
        """Note a failure of the claim's owner, to be tried again when it is *due*, or given up for None."""
        async with self._database.transaction() as session:
            row = await session.get(WebhookDelivery, delivery_id, with_for_update=True)
            if row is None or row.claimed_by != owner:
                return
            row.failures += 1
            row.answer = answer[:255]
            row.claimed_by, row.claimed_until = "", 0.0
            if due is None:
                row.dead, row.died = True, now
                return
            row.due = due
            # What comes behind it waits with it, so that nobody looks at it before.
            behind = (
                WebhookDelivery.webhook_id == row.webhook_id,
                WebhookDelivery.lane == row.lane,
                WebhookDelivery.dead.is_(False),
                WebhookDelivery.due < due,
            )
            await session.execute(
                update(WebhookDelivery)
                .where(*behind, WebhookDelivery.delivery_id != delivery_id)
                .values(due=due)
                .execution_options(synchronize_session=False)
            )

    async def release(self, owner: str | None) -> None:
        """Let go of what this owner has claimed, or everybody for None."""
        change = update(WebhookDelivery).where(WebhookDelivery.claimed_until > 0)
        if owner is not None:
            change = change.where(WebhookDelivery.claimed_by == owner)
        async with self._database.transaction() as session:
            await session.execute(change.values(claimed_by="", claimed_until=0.0))

    async def tidy(self, now: float, keep: float, most: int) -> int:
        """Purge what was given up so many seconds ago, and bound what waits and what is dead of a webhook.

        Of what waits the oldest are given up, of what was given up the oldest are deleted. Returns how many
        were given up.
        """
        given_up = 0
        async with self._database.transaction() as session:
            old = and_(WebhookDelivery.dead, WebhookDelivery.died < now - keep)
            await session.execute(delete(WebhookDelivery).where(old))
            counted = (
                select(WebhookDelivery.webhook_id, WebhookDelivery.dead)
                .group_by(WebhookDelivery.webhook_id, WebhookDelivery.dead)
                .having(func.count() > most)
            )
            for webhook_id, dead in (await session.execute(counted)).all():
                last = await session.scalar(_newest(webhook_id, dead, most))
                beyond = (
                    WebhookDelivery.webhook_id == webhook_id,
                    WebhookDelivery.dead.is_(dead),
                    WebhookDelivery.delivery_id <= (last or 0),
                )
                if dead:
                    await session.execute(delete(WebhookDelivery).where(*beyond))
                    continue
                changed = await session.execute(
                    update(WebhookDelivery)
                    .where(*beyond, WebhookDelivery.claimed_until <= now)
                    .values(dead=True, died=now, answer=OVERFULL)
                )
                given_up += changed.rowcount if isinstance(changed, CursorResult) else 0
        return given_up

    # --- nodes, and what is open on them ---

    async def nodes(self) -> list[NodeRecord]:
        """Return the processes that tell."""
        async with self._database.transaction() as session:
            rows = await session.scalars(select(WebhookNode))
            return [NodeRecord(row.node, row.seen, row.sequence) for row in rows]

    async def beat(self, node: str, now: float, sequence: int) -> None:
        """Note that this process is alive, and the highest sequence that it has used."""
        async with self._database.transaction() as session:
            row = await session.get(WebhookNode, node)
            if row is None:
                session.add(WebhookNode(node=node, seen=now, sequence=sequence))
            else:
                row.seen, row.sequence = now, max(row.sequence, sequence)

    async def end(self, nodes: Iterable[str] | None, ends: Ends) -> int:
        """End what is open on these nodes, or on all for None: with the events that *ends* makes of it.

        Each thing ends once, whoever does this at the same time. Returns how many there were.
        """
        names = None if nodes is None else list(nodes)
        total = 0
        while True:
            async with self._database.transaction() as session:
                query = select(WebhookOpen).order_by(WebhookOpen.kind.desc(), WebhookOpen.event_id)
                if names is not None:
                    query = query.where(WebhookOpen.node.in_(names))
                locked = query.limit(_AT_ONCE).with_for_update(skip_locked=True)
                rows = list(await session.scalars(locked))
                seen = {row.node: row.seen for row in await session.scalars(select(WebhookNode))}
                if not rows:
                    return total
                records = [OpenRecord(row.event_id, row.node, row.event) for row in rows]
                await self._deliver(session, ends(records, seen))
                done = [row.event_id for row in rows]
                await session.execute(delete(WebhookOpen).where(WebhookOpen.event_id.in_(done)))
                total += len(rows)

    async def forget(self, nodes: Iterable[str]) -> None:
        """Forget these processes, on which nothing is open any more."""
        gone = WebhookNode.node.in_(list(nodes))
        open_ = exists().where(WebhookOpen.node == WebhookNode.node)
        async with self._database.transaction() as session:
            await session.execute(
                delete(WebhookNode).where(gone, ~open_).execution_options(synchronize_session=False)
            )

    async def _deliver(self, session: AsyncSession, events: Sequence[EventRecord]) -> int:
        apps = {event.app_id for event in events}
        if not apps:
            return 0
        query = select(Webhook).where(Webhook.enabled, Webhook.app_id.in_(apps))
        webhooks = [webhook_record(row) for row in await session.scalars(query)]
        rows = [
            _delivery(webhook.webhook_id, event)
            for event in events
            for webhook in webhooks
            if webhook.app_id == event.app_id and (not webhook.kinds or event.kind in webhook.kinds)
        ]
        if rows:
            await session.execute(insert(WebhookDelivery), rows)
        return len(rows)


def _crossed_out(delivery_ids: Sequence[int]) -> Delete:
    return (
        delete(WebhookDelivery)
        .where(WebhookDelivery.delivery_id.in_(delivery_ids))
        .execution_options(synchronize_session=False)
    )


def _claimable(now: float) -> tuple[ColumnElement[bool], ...]:
    return (
        WebhookDelivery.dead.is_(False),
        WebhookDelivery.due <= now,
        WebhookDelivery.claimed_until <= now,
    )


def _firsts(webhook_id: str, now: float, most: int) -> Select[WebhookDelivery]:
    other = aliased(WebhookDelivery)
    before = or_(
        other.sequence < WebhookDelivery.sequence,
        and_(
            other.sequence == WebhookDelivery.sequence,
            other.delivery_id < WebhookDelivery.delivery_id,
        ),
        other.claimed_until > now,
    )
    behind = exists().where(
        other.webhook_id == webhook_id,
        other.lane == WebhookDelivery.lane,
        other.dead.is_(False),
        other.delivery_id != WebhookDelivery.delivery_id,
        before,
    )
    return (
        select(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == webhook_id, *_claimable(now), ~behind)
        .order_by(WebhookDelivery.due, WebhookDelivery.sequence, WebhookDelivery.delivery_id)
        .limit(most)
        .with_for_update(skip_locked=True)
    )


def _newest(webhook_id: str, dead: bool, most: int) -> Select[int]:
    """Select the newest delivery of those that are beyond so many newer ones."""
    return (
        select(WebhookDelivery.delivery_id)
        .where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.dead.is_(dead))
        .order_by(WebhookDelivery.delivery_id.desc())
        .offset(most)
        .limit(1)
    )


def _open(node: str, event: EventRecord) -> dict[str, Any]:
    return {"event_id": event.event_id, "node": node, "kind": event.kind, "event": dict(event.event)}


def _delivery(webhook_id: str, event: EventRecord) -> dict[str, Any]:
    return {
        "webhook_id": webhook_id,
        "lane": event.lane,
        "sequence": event.sequence,
        "event": dict(event.event),
        "failures": 0,
        "since": event.at,
        "due": event.at,
        "claimed_by": "",
        "claimed_until": 0.0,
        "dead": False,
        "died": None,
        "answer": "",
    }
