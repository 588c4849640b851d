"""The directory of apps: both sides, late news, and what cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from sealcast.server.config import AppConfig
from sealcast.server.directory import AppsClash, BadSettings, Directory, app_config
from sealcast.server.store.records import AppRecord, CertificateRecord, Missing

APP, OTHER, SECRET, SECOND = "0" * 32, "1" * 32, "a" * 32, "b" * 32


def record(app_id: str = APP, version: int = 1, *, enabled: bool = True, **settings: Any) -> AppRecord:
    certificates = (
        CertificateRecord("c1", SECRET, "primary", True, 0.0),
        CertificateRecord("c2", SECOND, "secondary", False, 0.0),
    )
    return AppRecord(app_id, "name", enabled, settings, certificates, version, 0.0, 0.0)


class Source:
    """A database that is a dictionary."""

    def __init__(self, *records: AppRecord) -> None:
        self.records = {each.app_id: each for each in records}
        self.asked: list[str] = []

    async def all(self) -> list[AppRecord]:
        return list(self.records.values())

    async def versions(self) -> dict[str, int]:
        return {each.app_id: each.version for each in self.records.values()}

    async def get(self, app_id: str) -> AppRecord:
        self.asked.append(app_id)
        if app_id not in self.records:
            raise Missing("app")
        return self.records[app_id]


class Relay:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, bool]] = []

    def put(self, config: AppConfig) -> None:
        self.told.append(("put", config.app_id, config.enabled))

    def remove(self, app_id: str) -> None:
        self.told.append(("remove", app_id, False))


async def loaded(*records: AppRecord, fixed: tuple[AppConfig, ...] = ()) -> tuple[Directory, Source, Relay]:
    source, relay = Source(*records), Relay()
    directory = Directory(fixed, source)
    await directory.load()
    directory.serve(relay)
    return directory, source, relay


def test_only_enabled_certificates_are_good() -> None:
    assert app_config(record()).certificates == (SECRET,)


def test_settings_that_cannot_be_used_say_which_and_not_what() -> None:
    with pytest.raises(BadSettings) as caught:
        app_config(record(limits={"members": "secret"}, policy={"nonsense": 1}))
    assert len(caught.value.problems) == 2
    assert "secret" not in str(caught.value)


async def test_apps_of_both_sides_stand_beside_each_other() -> None:
    own = AppConfig.model_validate({"app_id": OTHER, "certificate": SECRET})
    directory, _, _ = await loaded(record(), fixed=(own,))
    assert {app.app_id for app in directory} == {APP, OTHER}
    assert (directory.fixed(OTHER), directory.fixed(APP)) == (True, False)
    with pytest.raises(AppsClash, match=OTHER):
        await loaded(record(OTHER), fixed=(own,))


async def test_late_news_are_no_news() -> None:
    directory, _, relay = await loaded(record(version=3))
    for version in (2, 3):
        directory.apply(record(version=version, enabled=False))
    assert relay.told == []
    directory.apply(record(version=4, enabled=False))
    assert relay.told == [("put", APP, False)]


async def test_only_what_has_changed_is_read_again() -> None:
    directory, source, relay = await loaded(record(APP), record(OTHER))
    await directory.refresh()
    assert source.asked == []
    source.records[OTHER] = record(OTHER, 2)
    source.records.pop(APP)
    await directory.refresh()
    assert source.asked == [OTHER]
    assert relay.told == [("remove", APP, False), ("put", OTHER, True)]
    assert directory.get(APP) is None


async def test_an_app_that_is_gone_before_it_is_read_is_gone() -> None:
    directory, source, relay = await loaded(record())

    async def versions() -> dict[str, int]:
        source.records.clear()
        return {APP: 2}

    source.versions = versions  # type: ignore[method-assign]
    await directory.refresh()
    assert relay.told == [("remove", APP, False)]


async def test_settings_of_another_version_leave_the_app_as_it_was_and_still_disable_it() -> None:
    directory, _, relay = await loaded(record())
    directory.apply(record(version=2, limits={"unheard": 1}))
    assert relay.told == []
    assert directory.get(APP) is not None
    directory.apply(record(version=3, enabled=False, limits={"unheard": 1}))
    assert relay.told == [("remove", APP, False)]
    assert directory.get(APP) is None
