"""The apps that the relay knows: those of its configuration, and those of the database, side by side.

A change in the database reaches running sessions at once, by ``apply`` here and by ``refresh`` where another
process made it. The apps of the configuration change only when it is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from pydantic import ValidationError

from sealcast.protocol.errors import SealcastError

from .config import AppConfig
from .logs import logger
from .store.records import AppRecord, Missing

__all__ = [
    "SECTIONS",
    "AppsClash",
    "BadSettings",
    "Directory",
    "Relayed",
    "Source",
    "app_config",
    "problems_of",
    "settings_checked",
]

SECTIONS: Final = ("policy", "limits", "rates", "history", "presence", "channels")
"""What an app's settings are made of."""


class AppsClash(SealcastError):
    """An app stands in the configuration and in the database."""


class BadSettings(SealcastError):
    """An app's settings cannot be used. ``problems`` has one line for each thing that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class Source(Protocol):
    """Where apps are read."""

    async def all(self) -> list[AppRecord]:
        """Return every app."""
        ...

    async def versions(self) -> dict[str, int]:
        """Return the version of every app."""
        ...

    async def get(self, app_id: str) -> AppRecord:
        """Return one app; raises Missing."""
        ...


class Relayed(Protocol):
    """Where apps are used."""

    def put(self, config: AppConfig) -> None:
        """Add an app, or change one."""
        ...

    def remove(self, app_id: str) -> None:
        """Forget one."""
        ...


def app_config(record: AppRecord, *more: str) -> AppConfig:
    """Return an app of the database as the relay uses it, with *more* certificates. Raises BadSettings."""
    return settings_checked(
        record.settings,
        app_id=record.app_id,
        name=record.name,
        enabled=record.enabled,
        certificates=[*(each.secret for each in record.certificates if each.enabled), *more],
    )


def settings_checked(
    settings: Mapping[str, Any], *, app_id: str, name: str, enabled: bool, certificates: list[str]
) -> AppConfig:
    """Return an app with these settings. Raises BadSettings, which shows no value."""
    certificate, secondary = [*certificates, None, None][:2]
    try:
        return AppConfig.model_validate(
            {
                **{section: settings[section] for section in SECTIONS if section in settings},
                "app_id": app_id,
                "name": name,
                "enabled": enabled,
                "certificate": certificate,
                "secondary_certificate": secondary,
            }
        )
    except ValidationError as error:
        raise BadSettings(problems_of(error)) from None


def problems_of(error: ValidationError) -> list[str]:
    """Return what is wrong, a line each, without the values: they could be secrets."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [_described(item["loc"], item["msg"]) for item in found]


def _described(place: tuple[int | str, ...], message: str) -> str:
    said = message.removeprefix("Value error, ").removeprefix("Input ")
    where = ".".join(str(part) for part in place)
    return f"{where}: {said}" if where else said


def _clash(app_id: str) -> AppsClash:
    return AppsClash(
        f"the app {app_id} stands in the configuration and in the database; take it out of one of them"
    )


class Directory:
    """The apps that there are now.

    Args:
        fixed: those of the configuration.
        source: the database's, if there is one.
        judge: says what speaks against an app's being served here at all.

    """

    def __init__(
        self,
        fixed: Iterable[AppConfig],
        source: Source | None = None,
        judge: Callable[[AppConfig], list[str]] = lambda app: [],
    ) -> None:
        self._judge = judge
        self._fixed = {app.app_id: app for app in fixed}
        self._source = source
        self._kept: dict[str, AppConfig] = {}
        self._versions: dict[str, int] = {}
        self._relay: Relayed | None = None
        self._changes = 0

    def __iter__(self) -> Iterator[AppConfig]:
        return iter([*self._fixed.values(), *self._kept.values()])

    def get(self, app_id: str) -> AppConfig | None:
        """Return an app as the relay uses it, or None."""
        return self._fixed.get(app_id) or self._kept.get(app_id)

    def fixed(self, app_id: str) -> bool:
        """Whether the app stands in the configuration, where the API cannot change it."""
        return app_id in self._fixed

    @property
    def configured(self) -> tuple[AppConfig, ...]:
        """The apps that stand in the configuration."""
        return tuple(self._fixed.values())

    def check(self, app: AppConfig) -> None:
        """Raise BadSettings for an app that must not be served here, even if it is disabled for now."""
        problems = self._judge(app.model_copy(update={"enabled": True}))
        if problems:
            raise BadSettings(problems)

    def configure(self, fixed: Iterable[AppConfig]) -> None:
        """Let the apps of the configuration be these. Raises AppsClash, and then changes nothing."""
        apps = {app.app_id: app for app in fixed}
        for app_id in apps:
            if app_id in self._versions:
                raise _clash(app_id)
        self._fixed = apps

    async def load(self) -> tuple[AppConfig, ...]:
        """Read the database's apps; return all apps.

        Settings that this version does not understand are not applied, which is logged: the others work.

        Raises:
            AppsClash: an id stands on both sides.
            StoreDown: the database does not answer.

        """
        if self._source is not None:
            for record in await self._source.all():
                if record.app_id in self._fixed:
                    raise _clash(record.app_id)
                self._take(record)
        return tuple(self)

    def serve(self, relay: Relayed) -> None:
        """Tell this relay of changes from now on; it knows what there is."""
        self._relay = relay

    @property
    def changes(self) -> int:
        """Grows with every change that was applied."""
        return self._changes

    def doubt(self) -> None:
        """Take everything over anew with the next ``refresh``: what was applied may not have been kept."""
        self._versions = dict.fromkeys(self._versions, 0)

    def apply(self, record: AppRecord) -> None:
        """Let an app of the database be as this record says; one that is older than what is known is late."""
        known = self._versions.get(record.app_id, 0)
        if record.version <= known or self.fixed(record.app_id):
            return
        self._changes += 1
        config = self._take(record)
        if self._relay is None:
            return
        if config is not None:
            self._relay.put(config)
        elif not record.enabled:
            self._relay.remove(record.app_id)

    def drop(self, app_id: str) -> None:
        """Forget an app of the database."""
        self._changes += 1
        self._versions.pop(app_id, None)
        if self._kept.pop(app_id, None) is not None and self._relay is not None:
            self._relay.remove(app_id)

    async def refresh(self) -> None:
        """Take over what other processes have changed. Raises StoreDown."""
        if self._source is None:
            return
        versions = await self._source.versions()
        for app_id in [known for known in self._versions if known not in versions]:
            self.drop(app_id)
        for app_id, version in versions.items():
            if version > self._versions.get(app_id, 0):
                try:
                    self.apply(await self._source.get(app_id))
                except Missing:
                    self.drop(app_id)

    def _take(self, record: AppRecord) -> AppConfig | None:
        self._versions[record.app_id] = record.version
        try:
            config = app_config(record)
            if config.enabled:
                self.check(config)
            self._kept[record.app_id] = config
        except BadSettings as error:
            if not record.enabled:
                self._kept.pop(record.app_id, None)
            reason = str(error)
            logger.error("the settings of an app are unusable, not applied", app=record.app_id, reason=reason)
            return None
        return config
