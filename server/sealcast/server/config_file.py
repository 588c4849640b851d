"""Loads the configuration: TOML file < environment < flags, every mistake named at once.

A key that no option has is refused, with the nearest one that exists: a misspelt limit must not be a
limit that is silently not there. No error shows a value, since it could be a certificate.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from sealcast.protocol.errors import SealcastError
from sealcast.protocol.quantities import seconds, size

from .config import Config
from .config_options import APP, APP_ENVIRONMENT, APP_ID, CHANNEL, PREFIXES, PROCESS, Option

__all__ = ["ConfigError", "NoApp", "load"]

_FILE_MAX: Final = 1024 * 1024
_SECRET_MAX: Final = 4096
_SHOWN_MAX: Final = 60

_FILE: Final = "_FILE"

Tree = dict[str, Any]
Place = tuple[str | int, ...]


class ConfigError(SealcastError):
    """The configuration cannot be used. ``problems`` has one line for each thing that is wrong."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class NoApp(ConfigError):
    """Nothing is wrong, but there is no app: nobody could join."""


def load(
    path: str | os.PathLike[str] | None,
    environment: Mapping[str, str],
    overrides: Mapping[str, Any] | None = None,
    *,
    warn: Callable[[str], None] = lambda _: None,
) -> Config:
    """Return the configuration.

    Args:
        path: the TOML file, or None for none.
        environment: ``SEALCAST_SECTION_KEY``, one app in ``SEALCAST_APP_ID`` and
            ``SEALCAST_APP_CERTIFICATE``. An empty variable is an unset one.
        overrides: what flags say, as ``{"server.port": 7700}``; None is a flag that was not given.
        warn: called with a line about what is unwise but no mistake.

    Raises:
        ConfigError: it cannot be read or used.
        NoApp: it has no app, and no database that could have one.

    """
    draft = _Draft()
    if path is not None:
        draft.tree = _read(Path(path), warn)
        draft.source = f"{path}: "
    draft.take_environment({name: value for name, value in environment.items() if value})
    draft.take_overrides(overrides or {})
    draft.convert()
    config = draft.validate()
    if config is None or draft.problems:
        raise ConfigError(draft.problems)
    if not config.apps and not config.database.place:
        raise NoApp([f"{draft.source}no app is configured, so nobody could join"])
    return config


# --- the file --------------------------------------------------------------------------------------


def _read(path: Path, warn: Callable[[str], None]) -> Tree:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            data = file.read(_FILE_MAX + 1)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    if len(data) > _FILE_MAX:
        raise ConfigError([f"{path}: is larger than {_FILE_MAX} bytes"])
    try:
        tree = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 at byte {error.start}"]) from None
    except tomllib.TOMLDecodeError as error:
        # The text of the error names the place; the error itself can hold the whole document.
        raise ConfigError([f"{path}: is not TOML: {_shown(str(error))}"]) from None
    except RecursionError:
        raise ConfigError([f"{path}: is nested too deeply"]) from None
    if stat.S_ISREG(mode) and mode & stat.S_IROTH and _has_secret(tree):
        warn(f"{path}: contains secrets and can be read by every user; try `chmod o-r {path}`")
    return tree


def _has_secret(tree: Tree) -> bool:
    for option in PROCESS:
        section = tree.get(option.path[0])
        if option.secret and isinstance(section, dict) and section.get(option.path[1]):
            return True
    apps = tree.get("apps")
    secrets = APP_ENVIRONMENT.values()
    return isinstance(apps, list) and any(
        isinstance(app, dict) and any(app.get(name) for name in secrets) for app in apps
    )


# --- putting it together ---------------------------------------------------------------------------


class _Draft:
    """The tree of options while it is put together, and what is wrong with it so far."""

    def __init__(self) -> None:
        self.tree: Tree = {}
        self.problems: list[str] = []
        self.source = ""
        """The file's name and a colon, put before the places in it; empty when there is no file."""
        self._origins: dict[Place, str] = {}

    def take_environment(self, environment: Mapping[str, str]) -> None:
        """Lay the environment over the file."""
        for option in PROCESS:
            given = environment.get(option.variable)
            if option.secret:
                given = self._secret(option.variable, environment)
            if given is not None:
                self._put(option.path, given, option.variable)
        self._take_app(environment)
        known = {option.variable for option in PROCESS} | {APP_ID, *APP_ENVIRONMENT}
        known |= {name + _FILE for name in APP_ENVIRONMENT}
        known |= {option.variable + _FILE for option in PROCESS if option.secret}
        for name in sorted(environment):
            if name.startswith(PREFIXES) and name not in known:
                self.problems.append(f"{_shown(name)}: unknown variable{_nearest(name, known)}")

    def take_overrides(self, overrides: Mapping[str, Any]) -> None:
        """Lay the flags over both."""
        known = {option.name: option.path for option in PROCESS}
        for name, value in overrides.items():
            if value is None:
                continue
            if name in known:
                self._put(known[name], value, name)
            else:
                self.problems.append(f"{_shown(name)}: unknown option{_nearest(name, known)}")

    def convert(self) -> None:
        """Turn durations and sizes that are texts into numbers."""
        for option in PROCESS:
            self._convert(self.tree, option, ())
        apps = self.tree.get("apps")
        for number, app in enumerate(apps if isinstance(apps, list) else ()):
            for option in APP:
                self._convert(app, option, ("apps", number))
            channels = app.get("channels") if isinstance(app, dict) else None
            for place, channel in enumerate(channels if isinstance(channels, list) else ()):
                for option in CHANNEL:
                    self._convert(channel, option, ("apps", number, "channels", place))

    def validate(self) -> Config | None:
        """Return the configuration, or None and the problems that keep it from being one."""
        try:
            return Config.model_validate(self.tree)
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False, include_input=False):
                self.problems.append(self._described(item["loc"], item["type"], item["msg"]))
            return None

    def _put(self, path: tuple[str, ...], value: Any, origin: str) -> None:
        *sections, name = path
        table = self.tree
        for section in sections:
            below = table.setdefault(section, {})
            if not isinstance(below, dict):  # the file has something else there: refused by `validate`
                return
            table = below
        table[name] = value
        self._origins[path] = origin

    def _convert(self, tree: Any, option: Option, above: Place) -> None:
        *sections, name = option.path
        for section in sections:
            tree = tree.get(section) if isinstance(tree, dict) else None
        if not isinstance(tree, dict) or not (option.number or option.many):
            return
        value = tree.get(name)
        if option.many:
            if isinstance(value, str) and (*above, *option.path) in self._origins:
                tree[name] = [part for item in value.split(",") if (part := item.strip())]
            return
        place = self._place((*above, *option.path))
        if isinstance(value, bool):  # a number to Python, and never what was meant
            self.problems.append(f"{place}: should be a number, not true or false")
            del tree[name]
        elif isinstance(value, str) and option.unit in ("s", "B", "B/s"):
            try:
                tree[name] = seconds(value) if option.unit == "s" else size(value)
            except ValueError as error:
                self.problems.append(f"{place}: {error}")
                del tree[name]

    # --- the app in the environment ---

    def _take_app(self, environment: Mapping[str, str]) -> None:
        apps = self.tree.get("apps", [])
        if not isinstance(apps, list):
            return
        found = {
            name: secret
            for variable, name in APP_ENVIRONMENT.items()
            if (secret := self._secret(variable, environment)) is not None
        }
        app_id = environment.get(APP_ID)
        if not found:
            # Clients name their app by the same variable, so beside a file's apps it means nothing here.
            if app_id and not apps and not self.problems:
                self.problems.append(f"{APP_ID}: is set, but {next(iter(APP_ENVIRONMENT))} is not")
            return
        if not app_id:
            self.problems.append(f"{next(iter(APP_ENVIRONMENT))}: is set, but {APP_ID} is not")
            return
        self._put_app(apps, {"app_id": app_id, **found})

    def _put_app(self, apps: list[Any], app: Tree) -> None:
        """Add the environment's app, or give its certificates to the file's app of the same id."""
        for number, other in enumerate(apps):
            if isinstance(other, dict) and other.get("app_id") == app["app_id"]:
                apps[number] = {**other, **app}
                break
        else:
            number = len(apps)
            apps.append(app)
        self.tree["apps"] = apps
        self._origins["apps", number, "app_id"] = APP_ID
        for variable, name in APP_ENVIRONMENT.items():
            if name in app:
                self._origins["apps", number, name] = variable

    def _secret(self, variable: str, environment: Mapping[str, str]) -> str | None:
        """Return a secret that stands in the environment, or in the file that the environment names."""
        named = environment.get(variable + _FILE)
        if named is None:
            return environment.get(variable)
        if variable in environment:
            self.problems.append(f"{variable}: is set, and {variable}{_FILE} too; unset one of them")
            return None
        try:
            with Path(named).open("rb") as file:
                data = file.read(_SECRET_MAX)
        except OSError as error:
            self.problems.append(f"{variable}{_FILE}: the file cannot be read: {error.strerror}")
            return None
        return data.decode(errors="replace").strip()

    # --- saying what is wrong ---

    def _place(self, location: Place) -> str:
        """Name a place: the variable or flag that put something there, else the path in the file."""
        origin = self._origins.get(location)
        if origin is not None:
            return origin
        text = ""
        for part in location:
            text += f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" if text else _shown(part)
        return self.source + text if text else self.source.removesuffix(": ")

    def _described(self, location: Place, kind: str, message: str) -> str:
        place = self._place(location)
        if kind == "extra_forbidden":
            return f"{place}: unknown{self._suggestion(location)}"
        if kind in ("tuple_type", "list_type") and location == ("apps",):
            return f"{place}: should be a list of tables: write [[apps]], with two pairs of brackets"
        if kind in ("tuple_type", "list_type") and location[2:] == ("channels",):
            return f"{place}: should be a list of tables: write [[apps.channels]], with two pairs of brackets"
        if kind == "model_type" and isinstance(location[-1], int):
            name = ".".join(part for part in location if isinstance(part, str))
            return f"{place}: should be a table: write [[{name}]] above its options"
        if kind == "model_type":
            return f"{place}: should be a table: write [{location[-1]}] above its options"
        text = message.removeprefix("Value error, ").removeprefix("Input ")
        return f"{place}: {text}" if place else text

    def _suggestion(self, location: Place) -> str:
        """Name the option that was probably meant: beside the unknown key, or of its name elsewhere."""
        name = str(location[-1])
        if location[2:3] == ("channels",) and len(location) > 4:
            return _nearest(name, {option.path[-1] for option in CHANNEL})
        in_app = location[0] == "apps"
        own = APP if in_app else PROCESS
        for option in (*own, *APP):
            if option.path[-1] == name:  # the right name in the wrong place
                return f"; did you mean {'' if option in PROCESS else 'apps[].'}{option.name}?"
        above = location[2 if in_app else 0 : -1]
        depth = len(above)
        beside = {option.path[depth] for option in own if option.path[:depth] == above}
        return _nearest(name, beside if above or in_app else beside | {"apps"})


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, sorted(known), 1, 0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _shown(text: str) -> str:
    """Return *text* fit for one line of an error: printable, and not endless."""
    printable = "".join(char if char.isprintable() else "?" for char in text)
    return printable if len(printable) <= _SHOWN_MAX else printable[: _SHOWN_MAX - 1] + "…"
