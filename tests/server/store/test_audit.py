"""The audit log in the database: only added to, one chain whoever writes, purged so that it still holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from sealcast.server.audit import Head
from sealcast.server.store.audit import PURGED, Asked
from sealcast.server.store.records import StoreDown, StoreUnusable
from sealcast.server.store.store import Store

DAY = 86_400.0
UNGUARD = {
    True: [
        f"DROP TRIGGER audit_{name}"
        for name in ("entries_stay", "entries_are_kept", "head_goes_forward", "head_is_kept")
    ],
    False: ["ALTER TABLE audit_entries DISABLE TRIGGER USER", "ALTER TABLE audit_head DISABLE TRIGGER USER"],
}

Tamper = Callable[[str], Awaitable[None]]


async def add(store: Store, number: int = 1) -> list[Head]:
    entries = [
        await store.audit.add("key 1", f"app.{'changed' if n % 2 else 'created'}", f"app {n}", {"n": n})
        for n in range(number)
    ]
    return [Head(entry.seq, entry.hash) for entry in entries]


class Undone(Exception):
    """Takes back what was done."""


async def carry_out(store: Store, *statements: str) -> None:
    async with store.database.transaction() as session:
        for statement in statements:
            await session.execute(text(statement))


@pytest.fixture
def tamper(store: Store) -> Tamper:
    """Do something to the tables, as somebody who owns the database and takes the triggers away first."""

    async def do(statement: str) -> None:
        await carry_out(store, *UNGUARD[store.database.embedded], statement)

    return do


async def test_what_was_added_is_read_back_the_newest_first(store: Store, time: Any) -> None:
    await add(store, 3)
    entry = await store.audit.add("ada", "key.deleted", "key 7", {"b": 1, "a": "x" * 900}, address="::1")
    found = await store.audit.page(Asked())
    assert [each.seq for each in found] == [4, 3, 2, 1]
    assert found[0] == entry
    assert (entry.actor, entry.address, entry.at_ms) == ("ada", "::1", int(time.now * 1000))
    assert (await store.audit.ends()).head == Head(4, entry.hash)
    assert [each.seq for each in await store.audit.page(Asked(), before=3, limit=1)] == [2]


async def test_entries_are_found(store: Store, time: Any) -> None:
    await add(store, 4)
    time.now += 10
    await store.audit.add("ada", "key.deleted", "100% of it", {})
    for asked, found in (
        (Asked(actor="ada"), [5]),
        (Asked(actor="ad"), []),
        (Asked(action="app.created"), [3, 1]),
        (Asked(target="app "), [4, 3, 2, 1]),
        (Asked(target="100%"), [5]),
        (Asked(target="%"), []),
        (Asked(since=1_800_000_010.0), [5]),
        (Asked(until=1_800_000_010.0), [4, 3, 2, 1]),
        (Asked(actor="key 1", action="app.changed", until=1.0), []),
    ):
        assert [entry.seq for entry in await store.audit.page(asked)] == found, asked


async def test_what_nobody_could_keep_is_made_fit(store: Store) -> None:
    entry = await store.audit.add("a\0\ud800" * 200, "x" * 300, "y" * 5000, {"list": ["z" * 400] * 100})
    (found,) = await store.audit.page(Asked())
    assert found == entry
    assert (len(found.actor), len(found.action), len(found.target)) == (255, 255, 1000)
    assert "left_out" in found.detail
    assert (await store.audit.verify()).broken is None


async def test_the_database_refuses_to_change_or_delete_an_entry(store: Store) -> None:
    await add(store, 3)
    for statement in (
        "UPDATE audit_entries SET actor = 'nobody' WHERE seq = 2",
        "DELETE FROM audit_entries WHERE seq = 2",
        "DELETE FROM audit_entries",
        "UPDATE audit_head SET seq = 1",
        "UPDATE audit_head SET begin_seq = 9",
        "DELETE FROM audit_head",
    ):
        with pytest.raises((StoreDown, DBAPIError)):
            await carry_out(store, statement)
    verdict = await store.audit.verify()
    assert (verdict.entries, verdict.broken) == (3, None)


async def test_the_tables_cannot_be_emptied_at_once(store: Store) -> None:
    if store.database.embedded:
        pytest.skip("SQLite has no TRUNCATE")
    await add(store)
    for table in ("audit_entries", "audit_head"):
        with pytest.raises(StoreDown):
            await carry_out(store, f"TRUNCATE {table}")


async def test_two_processes_write_one_chain(store: Store, database_url: str, time: Any) -> None:
    others = [Store(database_url, time) for _ in range(2)]
    try:
        await asyncio.gather(*(add(each, 15) for each in (store, *others)))
        verdict = await store.audit.verify()
        assert (verdict.entries, verdict.broken) == (45, None)
    finally:
        for other in others:
            await other.close()


async def test_a_chain_of_many_pages_holds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealcast.server.store.audit._PAGE", 4)
    heads = await add(store, 12)
    for until in (None, heads[0], heads[-1]):
        verdict = await store.audit.verify(until)
        assert (verdict.entries, verdict.head, verdict.broken) == (12, heads[-1], None)


async def test_what_was_done_to_the_tables_is_found(store: Store, tamper: Tamper) -> None:
    await add(store, 5)
    for statement, seq in (
        ("UPDATE audit_entries SET actor = 'nobody' WHERE seq = 3", 3),
        ("UPDATE audit_entries SET detail = '{}' WHERE seq = 1", 1),
        ("DELETE FROM audit_entries WHERE seq = 3", 4),
        ("DELETE FROM audit_entries WHERE seq = 1", 2),
        ("DELETE FROM audit_entries WHERE seq = 5", 5),
        ("DELETE FROM audit_entries", 5),
        ("DELETE FROM audit_head", 0),
        ("UPDATE audit_head SET seq = 4", 4),
        ("UPDATE audit_head SET begin_seq = 3", 4),
        (
            "UPDATE audit_head SET begin_seq = 2,"
            " begin_hash = (SELECT hash FROM audit_entries WHERE seq = 2)",
            2,
        ),
    ):
        with contextlib.suppress(Undone):
            async with store.database.unit():
                await tamper(statement)
                broken = (await store.audit.verify()).broken
                assert broken is not None, statement
                assert broken.seq == seq, statement
                raise Undone
    assert (await store.audit.verify()).broken is None


async def test_an_end_that_was_cut_off_with_the_head_is_found_by_a_head_that_was_kept(
    store: Store, tamper: Tamper
) -> None:
    heads = await add(store, 5)
    await tamper("DELETE FROM audit_entries WHERE seq > 3")
    await tamper_head(store, heads[2])
    assert (await store.audit.verify()).broken is None
    broken = (await store.audit.verify(heads[4])).broken
    assert broken is not None
    assert broken.seq == 5
    assert "cut off" in str(broken)


async def tamper_head(store: Store, head: Head) -> None:
    async with store.database.connection() as connection:
        statement = text("UPDATE audit_head SET seq = :seq, hash = :hash")
        await connection.execute(statement, {"seq": head.seq, "hash": head.hash})


async def test_without_its_head_nothing_is_written(store: Store, tamper: Tamper) -> None:
    await add(store, 2)
    await tamper("DELETE FROM audit_head")
    with pytest.raises(StoreUnusable, match="head of the audit log is missing"):
        await add(store)


async def test_old_entries_go_and_the_chain_still_holds(
    store: Store, time: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealcast.server.store.audit._PAGE", 2)
    old = await add(store, 5)
    time.now += 10 * DAY
    new = await add(store, 3)
    assert await store.audit.purge(time.now - DAY) == 5
    found = await store.audit.page(Asked())
    assert [entry.seq for entry in found] == [9, 8, 7, 6]
    assert (found[0].action, found[0].actor) == (PURGED, "relay")
    assert f'"link":"{old[-1].hash.hex()}"' in found[0].detail
    ends = await store.audit.ends()
    assert (ends.begin, ends.head.seq) == (old[-1], 9)
    for until in (None, old[-1], new[0], new[-1]):
        assert (await store.audit.verify(until)).broken is None
    assert (await store.audit.verify(Head(5, bytes(32)))).broken is not None
    async with store.database.connection() as connection:
        assert (await connection.execute(text("SELECT min(seq) FROM audit_entries"))).scalar() == 6
    assert await store.audit.purge(time.now - DAY) == 0
    assert (await store.audit.ends()).head.seq == 9


async def test_everything_can_be_too_old(store: Store, time: Any) -> None:
    await add(store, 3)
    time.now += 10 * DAY
    assert await store.audit.purge(time.now - DAY) == 3
    (said,) = await store.audit.page(Asked())
    assert (said.seq, said.action) == (4, PURGED)
    time.now += 10 * DAY
    assert await store.audit.purge(time.now - DAY) == 1
    verdict = await store.audit.verify()
    assert (verdict.entries, verdict.broken) == (1, None)


async def test_a_purge_that_was_interrupted_is_ended_by_the_next_one(
    store: Store, time: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(store, 5)
    time.now += 10 * DAY
    await add(store)

    async def crash(*_: Any) -> bool:
        raise StoreDown("gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.audit), "_delete", crash)
        with pytest.raises(StoreDown):
            await store.audit.purge(time.now - DAY)
    assert [entry.seq for entry in await store.audit.page(Asked())] == [7, 6]
    assert (await store.audit.verify()).broken is None
    assert await store.audit.purge(time.now - DAY) == 0
    async with store.database.connection() as connection:
        assert (await connection.execute(text("SELECT min(seq) FROM audit_entries"))).scalar() == 6
