"""The options written down for people: a sample file, environment variables, the documentation's table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from sealcast.protocol.version import __version__

from .config_options import APP, APP_ENVIRONMENT, APP_ID, CHANNEL, PROCESS, Option

__all__ = ["environment", "sample", "table"]

_EXAMPLE: dict[str, str | int] = {
    "pattern": "telemetry-*",
    "delivery": "latest",
    "history_messages": 10_000,
    "history_bytes": "16MiB",
    "history_ttl": "24h",
}
_UNITS = {
    "s": "a duration",
    "B": "a size",
    "B/s": "a size, per second",
    "/s": "per second",
    "/min": "per minute",
}


def sample(app_id: str, certificate: str) -> str:
    """Return a configuration file with every option at its default, commented out, and one app."""
    values = {"app_id": app_id, "certificate": certificate}
    lines = [
        f"# sealcast {__version__}. What is commented out shows the default.",
        "# Durations are seconds or texts such as 500ms, 30s, 5m; sizes bytes or texts such as 64KiB.",
        "# The environment (SEALCAST_SECTION_KEY) goes before this file, flags go before both.",
    ]
    for section in dict.fromkeys(option.path[0] for option in PROCESS):
        lines += ["", f"[{section}]"]
        lines += _entries(option for option in PROCESS if option.path[0] == section)
    lines += ["", "# One such block for each app. The certificate is a secret: keep this file to yourself."]
    lines += ["[[apps]]"]
    for option in APP:
        if len(option.path) == 1:
            lines += _entry(option, values.get(option.name))
    for section in dict.fromkeys(option.path[0] for option in APP if len(option.path) > 1):
        lines += ["", f"[apps.{section}]"]
        lines += _entries(option for option in APP if len(option.path) > 1 and option.path[0] == section)
    lines += ["", "# What is different in some channels of the app:", "# [[apps.channels]]"]
    for option in CHANNEL:
        name = option.path[-1]
        lines += [f"#   {_explained(option)}", f"# {name} = {json.dumps(_EXAMPLE.get(name, option.shown))}"]
    return "\n".join(lines) + "\n"


def environment() -> str:
    """Return the environment variables with their defaults, in the format of an env file."""
    lines = ["# An empty variable is an unset one."]
    for option in PROCESS:
        lines += [f"# {_explained(option)}", f"{option.variable}={option.shown}"]
        lines += [f"{option.variable}_FILE="] * option.secret
    lines += ["# one app, beside those in the file: 32 hexadecimal characters", f"{APP_ID}="]
    for variable, name in APP_ENVIRONMENT.items():
        doc = next(option.doc for option in APP if option.name == name)
        lines += [f"# {doc}; or the file that holds it", f"{variable}=", f"{variable}_FILE="]
    return "\n".join(lines) + "\n"


def table() -> str:
    """Return the documentation's tables of options, in Markdown."""
    lines = ["| option | default | environment | meaning |", "|---|---|---|---|"]
    lines += [_row(option, f"`{option.variable}`") for option in PROCESS]
    lines += ["", "In each `[[apps]]`:", "", "| option | default | meaning |", "|---|---|---|"]
    lines += [_row(option) for option in APP]
    lines += ["", "In each `[[apps.channels]]`:", "", "| option | default | meaning |", "|---|---|---|"]
    lines += [_row(option) for option in CHANNEL]
    return "\n".join(lines)


def _entries(options: Iterable[Option]) -> Iterator[str]:
    for option in options:
        yield from _entry(option)


def _entry(option: Option, value: str | None = None) -> Iterator[str]:
    yield f"# {_explained(option)}"
    if value is not None:
        yield f"{option.path[-1]} = {json.dumps(value)}"
    else:
        yield f"#{option.path[-1]} = {_toml(option)}"


def _toml(option: Option) -> str:
    if option.default == ():
        return "[]"
    if option.many:
        return json.dumps(list(option.default))
    if option.unit in ("s", "B", "B/s") or isinstance(option.default, str) or not option.shown:
        return json.dumps(option.shown)
    return option.shown


def _explained(option: Option) -> str:
    text = option.doc
    if option.choices:
        text += f" ({', '.join(option.choices)})"
    return f"{text} ({_UNITS[option.unit]})" if option.unit else text


def _row(option: Option, variable: str | None = None) -> str:
    default = f"`{option.shown}`" if option.shown else "required" if option.default is ... else ""
    cells = [f"`{option.name}`", default, *([variable] if variable else []), _explained(option)]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")
