"""Ban rules and revocations, on every database, and how processes hear of each other's changes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sealcast.server.access import Access, new_rule_id
from sealcast.server.bans import Ban
from sealcast.server.revocations import Revocation
from sealcast.server.store.records import Missing, StoreDown, WrongState
from sealcast.server.store.store import Store

APP = "0123456789abcdef0123456789abcdef"
OTHER = "abcdef0123456789abcdef0123456789"


def ban(now: float, app_id: str = APP, lasts: float | None = 60.0, **what: Any) -> Ban:
    fields: dict[str, Any] = {"address": None, "channel": None, "user": "ann", **what}
    return Ban(
        ban_id=new_rule_id(now),
        app_id=app_id,
        privileges=("join", "data"),
        until=None if lasts is None else now + lasts,
        reason="because",
        creator="key 1",
        created=now,
        **fields,
    )


def revocation(now: float, **what: Any) -> Revocation:
    fields: dict[str, Any] = {"token_id": None, "channel": None, "user": "ann", "issued_before": now, **what}
    return Revocation(
        revocation_id=new_rule_id(now),
        app_id=APP,
        until=now + 90_000,
        reason="",
        creator="key 1",
        created=now,
        **fields,
    )


def access(store: Store, time: Any) -> Access:
    return Access(time, store.bans, store.revocations)


async def test_rules_are_read_back_as_they_were_made(store: Store, time: Any) -> None:
    one, other = access(store, time), access(store, time)
    await one.refresh()
    made = ban(time.now, address="2001:db8::/32", channel="stand:up", user="ann 🎙", lasts=None)
    revoked = [revocation(time.now, channel="x"), revocation(time.now, token_id="a" * 32, user=None)]
    await one.bans.add(made, 10)
    for each in revoked:
        await one.revocations.add(each, 10)
    await other.refresh()
    assert other.bans.of(APP) == [made]
    assert {each.revocation_id: each for each in other.revocations.of(APP)} == {
        each.revocation_id: each for each in revoked
    }
    assert other.bans.kept


async def test_another_process_sees_what_is_made_changed_and_lifted(store: Store, time: Any) -> None:
    one, other = access(store, time), access(store, time)
    first, second = ban(time.now), ban(time.now, user="bob")
    await one.bans.add(first, 10)
    await other.refresh()
    await one.bans.add(second, 10)
    changed = await other.bans.change(APP, second.ban_id, None)  # before it has seen it
    assert changed.until is None
    await one.refresh()
    assert one.bans.get(APP, second.ban_id).until is None
    await one.bans.lift(APP, first.ban_id)
    await other.refresh()
    assert other.bans.of(APP) == [changed]
    for asked in (one.bans.lift(APP, first.ban_id), one.bans.change(APP, first.ban_id, None)):
        with pytest.raises(Missing, match="no such ban"):
            await asked
    with pytest.raises(Missing):
        await one.bans.lift(OTHER, second.ban_id)


async def test_a_process_that_has_not_looked_for_long_reads_everything(store: Store, time: Any) -> None:
    one, other = access(store, time), access(store, time)
    lifted, stays = ban(time.now, lasts=None), ban(time.now, user="bob", lasts=None)
    for each in (lifted, stays):
        await one.bans.add(each, 10)
    await other.refresh()
    await one.bans.lift(APP, lifted.ban_id)
    time.now += 3601
    await store.bans.purge()
    await other.refresh()
    assert other.bans.of(APP) == [stays]


async def test_rules_that_ended_are_deleted_after_an_hour(store: Store, time: Any) -> None:
    rules = access(store, time)
    await rules.bans.add(ban(time.now, lasts=10), 10)
    await rules.revocations.add(revocation(time.now), 10)
    time.now += 3611
    await rules.refresh()
    for table, count in (("bans", 0), ("revocations", 1)):
        async with store.database.connection() as connection:
            found = await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")
            assert found.scalar() == count
    assert await store.bans.changes(0) == (2, [], [], True)


async def test_an_app_has_no_more_rules_than_it_may_however_many_make_them(store: Store, time: Any) -> None:
    await store.bans.add(ban(time.now, OTHER), 3)
    await store.bans.add(ban(time.now, lasts=1), 3)
    time.now += 1
    made = await asyncio.gather(
        *(store.bans.add(ban(time.now, user=f"u{number}"), 3) for number in range(6)), return_exceptions=True
    )
    refused = [each for each in made if each is not None]
    assert len(refused) == 3
    for each in refused:
        assert isinstance(each, WrongState)
        assert each.name == "too_many_rules"
    changes = await store.bans.changes(0)
    assert len([rule for rule in changes.there if rule.app_id == APP]) == 3


async def test_the_rules_of_a_deleted_app_are_lifted(store: Store, time: Any) -> None:
    rules = access(store, time)
    await store.apps.create(APP, "a" * 32, name="", enabled=False, settings={})
    await rules.bans.add(ban(time.now, lasts=None), 10)
    await rules.bans.add(ban(time.now, OTHER, lasts=None), 10)
    await rules.revocations.add(revocation(time.now), 10)
    await store.apps.delete(APP)
    await rules.refresh()
    assert rules.bans.of(APP) == []
    assert rules.revocations.of(APP) == []
    assert len(rules.bans.of(OTHER)) == 1


async def test_rules_hold_while_the_database_is_away_and_none_is_half_made(store: Store, time: Any) -> None:
    rules = access(store, time)
    await rules.bans.add(ban(time.now, channel=None), 10)
    real = store.bans._database
    store.bans._database = Store("postgresql://x:y@127.0.0.1:1/none", time).database
    try:
        with pytest.raises(StoreDown):
            await rules.bans.add(ban(time.now, user="bob"), 10)
        with pytest.raises(StoreDown):
            await rules.refresh()
    finally:
        store.bans._database = real
    assert rules.bans.denied(APP, "standup", "ann", "")
    assert not rules.bans.denied(APP, "standup", "bob", "")


async def test_without_a_database_rules_are_in_memory_with_the_same_bounds(time: Any) -> None:
    rules = Access(time)
    await rules.refresh()
    made = ban(time.now)
    await rules.bans.add(made, 1)
    with pytest.raises(WrongState, match="1 bans"):
        await rules.bans.add(ban(time.now), 1)
    assert (await rules.bans.change(APP, made.ban_id, time.now + 5)).until == time.now + 5
    time.now += 5
    with pytest.raises(Missing):
        await rules.bans.lift(APP, made.ban_id)
    assert not rules.bans.kept
