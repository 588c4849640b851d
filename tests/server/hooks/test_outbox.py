"""The outbox in memory and that of each database keep the promises of outboxes, and their bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy import insert

from sealcast.server.hooks.event import Kind
from sealcast.server.hooks.kept import KeptOutbox
from sealcast.server.hooks.outbox import Endpoint, MemoryOutbox, Outbox
from sealcast.server.store.migrate import migrate
from sealcast.server.store.schema import Webhook
from sealcast.server.store.store import Store

from .outboxes import Make, OutboxContract, endpoint, event


class TestMemoryOutbox(OutboxContract):
    @pytest_asyncio.fixture
    async def make(self) -> AsyncIterator[Make]:
        async def made(*endpoints: Endpoint) -> Outbox:
            return MemoryOutbox(endpoints)

        yield made


class TestKeptOutbox(OutboxContract):
    @pytest_asyncio.fixture
    async def make(self, database_url: str) -> AsyncIterator[Make]:
        store = Store(database_url, lambda: 1000.0)
        await migrate(store.database)

        async def made(*endpoints: Endpoint) -> Outbox:
            async with store.database.transaction() as session:
                await session.execute(insert(Webhook), [_row(each) for each in endpoints])
            return KeptOutbox(store.deliveries, "node-1")

        yield made
        await store.close()


def _row(each: Endpoint) -> dict[str, object]:
    return {
        "webhook_id": each.id,
        "app_id": each.app_id,
        "url": each.url,
        "kinds": [] if each.kinds == frozenset(Kind) else [kind.value for kind in each.kinds],
        "secret": each.secrets[0],
        "old_secret": None,
        "old_until": None,
        "enabled": each.enabled,
        "created": 0.0,
        "updated": 0.0,
    }


async def test_over_its_bound_the_oldest_is_given_up_and_can_be_seen() -> None:
    outbox = MemoryOutbox([endpoint(1)], most=2)
    await outbox.add([event(1), event(2), event(3)])
    assert [one.event.sequence for one in await outbox.dead(10)] == [1]
    assert [one.event.sequence for one in await outbox.turn(2000.0, 10, {})] == [2]


async def test_what_was_given_up_can_be_revived_and_goes_first() -> None:
    outbox = MemoryOutbox([endpoint(1)])
    await outbox.add([event(1), event(2)])
    (first,) = await outbox.turn(2000.0, 10, {})
    await outbox.failed(first, "410", None, 2000.0)
    (dead,) = await outbox.dead(10)
    assert (dead.id, dead.answer, dead.dead) == (first.id, "410", True)
    assert await outbox.revive(dead.id, 2000.0)
    assert not await outbox.revive(dead.id, 2000.0)
    (again,) = await outbox.turn(2000.0, 10, {})
    assert (again.event.sequence, again.failures, again.dead) == (1, 0, False)


def test_an_endpoint_does_not_show_its_secret_nor_its_address() -> None:
    assert "whsec" not in repr(endpoint(1))
    assert "backend" not in repr(endpoint(1))
