"""Apps and their certificates, on every database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from sealcast.server.store.records import AppRecord, Missing, Taken, WrongState
from sealcast.server.store.store import Store

APP, OTHER = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
FIRST, SECOND, THIRD = "a" * 32, "b" * 32, "c" * 32


async def made(store: Store, app_id: str = APP, **more: Any) -> AppRecord:
    options: dict[str, Any] = {"name": "Teams", "enabled": True, "settings": {}, **more}
    return await store.apps.create(app_id, FIRST, **options)


def secrets(app: AppRecord) -> list[tuple[str, str, bool]]:
    return [(each.role, each.secret, each.enabled) for each in app.certificates]


async def test_what_was_created_is_read_back(store: Store, time: Any) -> None:
    settings = {"limits": {"members": 5}, "channels": [{"pattern": "a*", "delivery": "latest"}]}
    app = await made(store, settings=settings, enabled=False)
    assert (app.app_id, app.name, app.enabled, app.settings) == (APP, "Teams", False, settings)
    assert (app.version, app.created, app.updated) == (1, time.now, time.now)
    assert secrets(app) == [("primary", FIRST, True)]
    assert await store.apps.get(APP) == app
    assert await store.apps.all() == [app]
    assert await store.apps.versions() == {APP: 1}


async def test_an_id_is_there_once_and_its_case_counts(store: Store) -> None:
    await made(store)
    with pytest.raises(Taken):
        await made(store)
    await made(store, APP.upper())
    assert len(await store.apps.all()) == 2


async def test_pages_follow_each_other_without_gap_or_repetition(store: Store) -> None:
    ids = sorted(f"{number:032x}" for number in range(7))
    for app_id in reversed(ids):
        await made(store, app_id)
    first = await store.apps.page(limit=3)
    second = await store.apps.page(after=first[-1].app_id, limit=3)
    third = await store.apps.page(after=second[-1].app_id, limit=3)
    assert [app.app_id for app in (*first, *second, *third)] == ids
    assert [app.app_id for app in await store.apps.page(only=ids[4])] == [ids[4]]


async def test_an_update_is_made_of_what_is_there_and_grows_the_version(store: Store, time: Any) -> None:
    await made(store, settings={"limits": {"members": 5}})
    time.now += 10
    changed = await store.apps.update(APP, lambda app: (app.name + "!", {**app.settings, "rates": {}}))
    assert (changed.name, changed.settings) == ("Teams!", {"limits": {"members": 5}, "rates": {}})
    assert (changed.version, changed.updated - changed.created) == (2, 10)
    assert await store.apps.get(APP) == changed


async def test_updates_at_the_same_time_lose_nothing(store: Store) -> None:
    await made(store, name="")
    await asyncio.gather(
        *(store.apps.update(APP, lambda app: (app.name + "x", app.settings)) for _ in range(8))
    )
    app = await store.apps.get(APP)
    assert (app.name, app.version) == ("x" * 8, 9)


async def test_an_update_that_fails_changes_nothing(store: Store) -> None:
    app = await made(store)

    def change(_: AppRecord) -> tuple[str, dict[str, Any]]:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        await store.apps.update(APP, change)
    assert await store.apps.get(APP) == app


async def test_an_app_is_disabled_and_enabled_and_deleted_only_when_disabled(store: Store) -> None:
    await made(store)
    await made(store, OTHER)
    with pytest.raises(WrongState, match="disable it first") as caught:
        await store.apps.delete(APP)
    assert caught.value.name == "app_enabled"
    assert not (await store.apps.set_enabled(APP, False)).enabled
    assert (await store.apps.set_enabled(APP, False)).version == 2, "nothing changed the second time"
    assert (await store.apps.set_enabled(APP, True)).version == 3
    await store.apps.set_enabled(APP, False)
    await store.apps.delete(APP)
    assert [app.app_id for app in await store.apps.all()] == [OTHER]
    await made(store)


async def test_whoever_names_an_app_that_is_not_there_is_told(store: Store) -> None:
    for asked in (
        store.apps.get(APP),
        store.apps.set_enabled(APP, True),
        store.apps.delete(APP),
        store.apps.swap(APP),
        store.apps.add_secondary(APP, SECOND),
        store.apps.delete_certificate(APP, "x"),
        store.apps.update(APP, lambda app: ("", {})),
    ):
        with pytest.raises(Missing, match="no such app"):
            await asked


async def test_a_certificate_is_rotated_in_four_steps(store: Store) -> None:
    await made(store)
    app = await store.apps.add_secondary(APP, SECOND)
    assert secrets(app) == [("primary", FIRST, True), ("secondary", SECOND, True)]
    app = await store.apps.swap(APP)
    assert secrets(app) == [("primary", SECOND, True), ("secondary", FIRST, True)]
    old = app.certificates[1].certificate_id
    app = await store.apps.set_certificate_enabled(APP, old, False)
    assert secrets(app) == [("primary", SECOND, True), ("secondary", FIRST, False)]
    app = await store.apps.delete_certificate(APP, old)
    assert secrets(app) == [("primary", SECOND, True)]
    assert app.version == 5
    assert await store.apps.get(APP) == app


async def test_there_is_always_one_primary_certificate_and_it_is_enabled(store: Store) -> None:
    app = await made(store)
    primary = app.certificates[0].certificate_id
    for forbidden in (
        store.apps.set_certificate_enabled(APP, primary, False),
        store.apps.delete_certificate(APP, primary),
    ):
        with pytest.raises(WrongState, match="swap first"):
            await forbidden
    with pytest.raises(WrongState, match="no enabled secondary"):
        await store.apps.swap(APP)
    app = await store.apps.add_secondary(APP, SECOND)
    await store.apps.set_certificate_enabled(APP, app.certificates[1].certificate_id, False)
    with pytest.raises(WrongState, match="no enabled secondary"):
        await store.apps.swap(APP)


async def test_there_are_at_most_two_certificates_and_they_differ(store: Store) -> None:
    await made(store)
    with pytest.raises(Taken):
        await store.apps.add_secondary(APP, FIRST)
    app = await store.apps.add_secondary(APP, SECOND)
    with pytest.raises(WrongState, match="delete the secondary first"):
        await store.apps.add_secondary(APP, THIRD)
    with pytest.raises(WrongState, match="disable it first"):
        await store.apps.delete_certificate(APP, app.certificates[1].certificate_id)
    with pytest.raises(Missing, match="no such certificate"):
        await store.apps.delete_certificate(APP, "nonsense")


async def test_no_record_shows_a_certificate(store: Store) -> None:
    app = await made(store)
    assert FIRST not in repr(app)
