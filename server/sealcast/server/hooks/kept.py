"""The outbox in the database, and how events and endpoints stand there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..store.hook_records import DeliveryRecord, EventRecord, WebhookRecord
from .event import ENDS_OF, Event, Kind, of_mapping
from .outbox import EACH, LEASE, Delivery, Endpoint, Outbox

if TYPE_CHECKING:
    from ..store.deliveries import Deliveries

__all__ = ["KeptOutbox", "delivery_of", "endpoint_of", "event_record"]


class KeptOutbox:
    """An outbox that several processes may share.

    Args:
        deliveries: those of the database.
        node: this process's name: what it claims is its own.

    """

    shared = True

    def __init__(self, deliveries: Deliveries, node: str) -> None:
        self._deliveries = deliveries
        self._node = node

    async def add(self, events: Sequence[Event]) -> int:
        """Write these down for every endpoint that wants them; return how many deliveries that makes."""
        return await self._deliveries.add(self._node, [event_record(event) for event in events])

    async def turn(
        self, now: float, room: int, running: Mapping[str, int], made: Sequence[Delivery] = ()
    ) -> Sequence[Delivery]:
        """Cross out what was made, and take up to *room* deliveries that may be tried, for ``LEASE`` s."""
        done = [delivery.id for delivery in made]
        found = await self._deliveries.turn(self._node, now, now + LEASE, room, EACH, running, done)
        return [delivery_of(record, now) for record in found]

    async def next_due(self, now: float) -> float | None:
        """Return when after now the next one may be tried, or None when none waits for its time."""
        return await self._deliveries.next_due(now)

    async def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """Cross these out."""
        await self._deliveries.delivered([delivery.id for delivery in deliveries])

    async def failed(self, delivery: Delivery, answer: str, due: float | None, now: float) -> None:
        """Note a failure, to be tried again when it is *due*, or given up when that is None."""
        await self._deliveries.failed(self._node, delivery.id, answer, due, now)

    async def release(self) -> None:
        """Let go of everything that was claimed here and has no end yet."""
        await self._deliveries.release(self._node)

    async def waiting(self) -> int:
        """Return how many deliveries wait."""
        return await self._deliveries.waiting()


def event_record(event: Event) -> EventRecord:
    """Return an event as it is written down."""
    return EventRecord(
        event_id=event.id,
        app_id=event.app_id,
        kind=event.kind.value,
        lane=hashlib.sha256(event.subject.encode()).hexdigest()[:32],
        sequence=event.sequence,
        at=event.at,
        event=event.mapping(),
        opens=event.kind in ENDS_OF,
        closes=event.closes,
    )


def endpoint_of(record: WebhookRecord, now: float) -> Endpoint:
    """Return a webhook as deliveries go there now: a secret that was changed may sign for a while."""
    old = record.old_secret if (record.old_until or 0.0) > now else None
    return Endpoint(
        id=record.webhook_id,
        app_id=record.app_id,
        url=record.url,
        secrets=(record.secret,) if old is None else (record.secret, old),
        kinds=frozenset(kind for kind in Kind if not record.kinds or kind in record.kinds),
        enabled=record.enabled,
    )


def delivery_of(record: DeliveryRecord, now: float) -> Delivery:
    """Return a delivery of the database."""
    return Delivery(
        id=record.delivery_id,
        endpoint=endpoint_of(record.webhook, now),
        event=of_mapping(record.event),
        failures=record.failures,
        since=record.since,
        due=record.due,
        answer=record.answer,
        dead=record.dead,
    )


_: type[Outbox] = KeptOutbox
