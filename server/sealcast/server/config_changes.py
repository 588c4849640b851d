"""What differs between the configuration that is in use and one that was read again."""

from __future__ import annotations

from dataclasses import dataclass

from .config import AppConfig, Config
from .config_options import PROCESS

__all__ = ["Changes", "changes"]


@dataclass(frozen=True, slots=True)
class Changes:
    """Names, never values: those could be secrets."""

    guard: tuple[str, ...]
    """Options of the guard."""
    put: tuple[AppConfig, ...]
    """Apps that are new or different."""
    removed: tuple[str, ...]
    """Ids of apps that are gone."""
    fixed: tuple[str, ...]
    """Options that only a restart can change."""


def changes(old: Config, new: Config) -> Changes:
    """Compare two configurations."""
    options = [option.path for option in PROCESS if _value(old, option.path) != _value(new, option.path)]
    known = {app.app_id: app for app in old.apps}
    ids = {app.app_id for app in new.apps}
    return Changes(
        guard=tuple(".".join(path) for path in options if path[0] == "guard"),
        put=tuple(app for app in new.apps if known.get(app.app_id) != app),
        removed=tuple(app_id for app_id in known if app_id not in ids),
        fixed=tuple(".".join(path) for path in options if path[0] != "guard"),
    )


def _value(config: Config, path: tuple[str, ...]) -> object:
    section, name = path
    return getattr(getattr(config, section), name)
