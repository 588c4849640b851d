"""Webhooks in the database, and the deliveries that were given up: what operators list and change."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from .database import Database
from .hook_records import DeliveryRecord, WebhookCounts, WebhookRecord
from .records import Missing, WrongState
from .schema import Webhook, WebhookDelivery

__all__ = ["Webhooks", "delivery_record", "webhook_record"]


class Webhooks:
    """The webhooks of a database. All methods raise StoreDown when it does not answer.

    Those that name a webhook, or a delivery of one, raise Missing when the app has none of that id.

    Args:
        database: where they are.
        now: Unix time.

    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def page(self, app_id: str, after: str = "", limit: int = 100) -> list[WebhookRecord]:
        """Return webhooks of an app in the order of their ids, behind *after*."""
        query = select(Webhook).where(Webhook.app_id == app_id, Webhook.webhook_id > after)
        async with self._database.transaction() as session:
            found = await session.scalars(query.order_by(Webhook.webhook_id).limit(limit))
            return [webhook_record(row) for row in found]

    async def enabled(self) -> list[WebhookRecord]:
        """Return the enabled webhooks of all apps."""
        async with self._database.transaction() as session:
            found = await session.scalars(select(Webhook).where(Webhook.enabled))
            return [webhook_record(row) for row in found]

    async def get(self, app_id: str, webhook_id: str) -> WebhookRecord:
        """Return one webhook."""
        async with self._database.transaction() as session:
            return webhook_record(await _webhook(session, app_id, webhook_id))

    async def counts(self, webhook_ids: Iterable[str]) -> dict[str, WebhookCounts]:
        """Return how many deliveries each of these has."""
        wanted = list(webhook_ids)
        query = (
            select(WebhookDelivery.webhook_id, WebhookDelivery.dead, func.count())
            .where(WebhookDelivery.webhook_id.in_(wanted))
            .group_by(WebhookDelivery.webhook_id, WebhookDelivery.dead)
        )
        numbers: dict[tuple[str, bool], int] = {}
        async with self._database.transaction() as session:
            for webhook_id, dead, number in await session.execute(query):
                numbers[webhook_id, dead] = number
        return {
            each: WebhookCounts(numbers.get((each, False), 0), numbers.get((each, True), 0))
            for each in wanted
        }

    async def create(
        self, app_id: str, url: str, secret: str, *, kinds: Sequence[str], enabled: bool, most: int
    ) -> WebhookRecord:
        """Make a webhook. Raises WrongState when the app has *most* of them."""
        now = self._now()
        row = Webhook(
            webhook_id=secrets.token_hex(8),
            app_id=app_id,
            url=url,
            kinds=list(kinds),
            secret=secret,
            old_secret=None,
            old_until=None,
            enabled=enabled,
            created=now,
            updated=now,
        )
        async with self._database.transaction() as session:
            count = select(func.count()).select_from(Webhook).where(Webhook.app_id == app_id)
            if (await session.scalar(count) or 0) >= most:
                raise WrongState("too_many_webhooks", f"the app has {most} webhooks; delete one first")
            session.add(row)
        return webhook_record(row)

    async def update(
        self,
        app_id: str,
        webhook_id: str,
        *,
        url: str | None = None,
        kinds: Sequence[str] | None = None,
        enabled: bool | None = None,
    ) -> WebhookRecord:
        """Change what is given."""
        async with self._database.transaction() as session:
            row = await _webhook(session, app_id, webhook_id, change=True)
            if url is not None:
                row.url = url
            if kinds is not None:
                row.kinds = list(kinds)
            if enabled is not None:
                row.enabled = enabled
            row.updated = self._now()
            return webhook_record(row)

    async def rotate(self, app_id: str, webhook_id: str, secret: str, overlap: float) -> WebhookRecord:
        """Sign with this secret from now on, and for so many seconds with the one before, too."""
        async with self._database.transaction() as session:
            row = await _webhook(session, app_id, webhook_id, change=True)
            now = self._now()
            row.old_secret, row.old_until = (row.secret, now + overlap) if overlap else (None, None)
            row.secret, row.updated = secret, now
            return webhook_record(row)

    async def delete(self, app_id: str, webhook_id: str) -> None:
        """Delete a webhook with all its deliveries."""
        async with self._database.transaction() as session:
            await session.delete(await _webhook(session, app_id, webhook_id, change=True))

    # --- deliveries that were given up ---

    async def dead(
        self, app_id: str, webhook_id: str, before: int | None = None, limit: int = 100
    ) -> list[DeliveryRecord]:
        """Return deliveries that were given up, the newest first, from the one before *before* on."""
        async with self._database.transaction() as session:
            row = await _webhook(session, app_id, webhook_id)
            query = select(WebhookDelivery).where(
                WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.dead
            )
            if before is not None:
                query = query.where(WebhookDelivery.delivery_id < before)
            found = await session.scalars(query.order_by(WebhookDelivery.delivery_id.desc()).limit(limit))
            return [delivery_record(each, webhook_record(row)) for each in found]

    async def revive(self, app_id: str, webhook_id: str, delivery_id: int | None = None) -> int:
        """Try a delivery again that was given up, or all of them; return how many that are."""
        now = self._now()
        change = update(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id, WebhookDelivery.dead)
        if delivery_id is not None:
            change = change.where(WebhookDelivery.delivery_id == delivery_id)
        async with self._database.transaction() as session:
            await _webhook(session, app_id, webhook_id)
            values = {"dead": False, "died": None, "failures": 0, "since": now, "due": now}
            revived = await session.execute(change.values(values).returning(WebhookDelivery.delivery_id))
            count = len(revived.all())
        if delivery_id is not None and not count:
            raise Missing("dead letter")
        return count

    async def forget(self, app_id: str, webhook_id: str, delivery_id: int) -> None:
        """Delete a delivery that was given up."""
        async with self._database.transaction() as session:
            await _webhook(session, app_id, webhook_id)
            gone = await session.execute(
                delete(WebhookDelivery)
                .where(
                    WebhookDelivery.webhook_id == webhook_id,
                    WebhookDelivery.delivery_id == delivery_id,
                    WebhookDelivery.dead,
                )
                .returning(WebhookDelivery.delivery_id)
            )
            if gone.first() is None:
                raise Missing("dead letter")


async def _webhook(session: AsyncSession, app_id: str, webhook_id: str, *, change: bool = False) -> Webhook:
    query = select(Webhook).where(Webhook.app_id == app_id, Webhook.webhook_id == webhook_id)
    row = await session.scalar(query.with_for_update() if change else query)
    if row is None:
        raise Missing("webhook")
    return row


def webhook_record(row: Webhook) -> WebhookRecord:
    """Return a row as the rest of the relay sees it."""
    return WebhookRecord(
        webhook_id=row.webhook_id,
        app_id=row.app_id,
        url=row.url,
        kinds=tuple(row.kinds),
        secret=row.secret,
        old_secret=row.old_secret,
        old_until=row.old_until,
        enabled=row.enabled,
        created=row.created,
        updated=row.updated,
    )


def delivery_record(row: WebhookDelivery, webhook: WebhookRecord) -> DeliveryRecord:
    """Return a row as the rest of the relay sees it."""
    return DeliveryRecord(
        delivery_id=row.delivery_id,
        webhook=webhook,
        event=row.event,
        failures=row.failures,
        since=row.since,
        due=row.due,
        dead=row.dead,
        died=row.died,
        answer=row.answer,
    )
