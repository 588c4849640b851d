"""Transactions of one task that are kept together or not at all."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from sealcast.server.store.records import StoreDown, Taken
from sealcast.server.store.store import Store

APP, OTHER = "a" * 32, "b" * 32


async def make(store: Store, app_id: str) -> None:
    await store.apps.create(app_id, "c" * 32, name="", enabled=True, settings={})


async def ids(store: Store) -> list[str]:
    return [app.app_id for app in await store.apps.page()]


async def test_all_of_it_is_kept_at_its_end(store: Store) -> None:
    async with store.database.unit():
        await make(store, APP)
        await store.apps.set_enabled(APP, False)
        await store.audit.add("ann", "app.created", APP, {})
        assert not (await store.apps.get(APP)).enabled
    assert await ids(store) == [APP]
    assert (await store.audit.ends()).head.seq == 1


async def test_none_of_it_is_kept_when_it_fails(store: Store) -> None:
    class Failed(Exception):
        pass

    async def fail() -> None:
        async with store.database.unit():
            await make(store, APP)
            await store.audit.add("ann", "app.created", APP, {})
            raise Failed

    with pytest.raises(Failed):
        await fail()
    assert await ids(store) == []
    assert (await store.audit.ends()).head.seq == 0


async def test_what_fails_inside_and_is_caught_takes_only_itself_back(store: Store) -> None:
    await make(store, OTHER)
    async with store.database.unit():
        await make(store, APP)
        with pytest.raises(Taken):
            await make(store, OTHER)
        await store.audit.add("ann", "app.created", APP, {})
    assert await ids(store) == [APP, OTHER]
    assert (await store.audit.ends()).head.seq == 1


async def test_a_unit_in_a_unit_is_part_of_it(store: Store) -> None:
    async def fail() -> None:
        async with store.database.unit():
            async with store.database.unit():
                await make(store, APP)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await ids(store) == []


async def test_a_task_that_was_begun_in_it_is_no_part_of_it(store: Store) -> None:
    async def fail() -> None:
        async with store.database.unit():
            await asyncio.create_task(make(store, APP))
            await make(store, OTHER)
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await ids(store) == [APP]


async def test_one_that_asks_nothing_holds_nothing(store: Store) -> None:
    async with store.database.unit():
        await asyncio.create_task(make(store, APP))
    assert await ids(store) == [APP]


async def test_a_database_that_goes_away_in_the_middle_has_kept_nothing(store: Store) -> None:
    async def cancelled() -> None:
        async with asyncio.timeout(0.01), store.database.unit():
            await make(store, APP)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await cancelled()
    assert await ids(store) == []


async def test_a_connection_that_is_cut_in_the_middle_has_kept_nothing(store: Store) -> None:
    if store.database.embedded:
        pytest.skip("SQLite has no connection that somebody could cut")

    async def cut() -> None:
        async with store.database.unit():
            await make(store, APP)
            async with store.database.transaction() as session:
                own = await session.scalar(text("SELECT pg_backend_pid()"))
            async with store.database.connection() as other:
                await other.execute(text("SELECT pg_terminate_backend(:own)"), {"own": own})
            await store.audit.add("ann", "app.created", APP, {})

    with pytest.raises(StoreDown):
        await cut()
    assert await ids(store) == []
    assert (await store.audit.ends()).head.seq == 0


async def test_a_unit_says_whether_it_has_begun(store: Store) -> None:
    assert not store.database.held
    async with store.database.unit():
        assert not store.database.held
        await make(store, APP)
        assert store.database.held
    assert not store.database.held


async def test_a_database_that_is_cut_off_is_asked_nothing_more(store: Store) -> None:
    assert await store.database.answers(5.0)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        async with store.database.transaction() as session:
            await session.execute(text("SELECT 1"))
            begun.set()
            await go_on.wait()
            await session.execute(text("SELECT 1"))

    working = asyncio.create_task(work())
    await begun.wait()
    store.database.cut()
    go_on.set()
    if store.database.embedded:
        await working  # on this disk nothing hangs, and what is begun is kept
    else:
        with pytest.raises(StoreDown):
            await working
    with pytest.raises(StoreDown):
        await make(store, APP)
    assert not await store.database.answers(5.0)
