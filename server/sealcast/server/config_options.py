"""The declarations in ``config`` as a list: what each option is called in the file and the environment.

Everything that talks about options (the loader, the sample, the documentation's table) reads this
list, so that none of them can say something else than the declarations do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr

from sealcast.protocol.quantities import show_seconds, show_size

from .config import (
    AppConfig,
    ChannelConfig,
    DatabaseConfig,
    GuardConfig,
    HooksConfig,
    LogConfig,
    MetricsConfig,
    RecordsConfig,
    ServerConfig,
    StorageConfig,
    TracesConfig,
)

__all__ = ["APP", "APP_ENVIRONMENT", "APP_ID", "CHANNEL", "PREFIXES", "PROCESS", "Option"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its place, what it means, and how it is written."""

    path: tuple[str, ...]
    """``("server", "port")``; below the app or channel for their options: ``("limits", "frame")``."""
    doc: str
    unit: str
    """``s``, ``B``, ``B/s``, ``/s``, ``/min`` or nothing."""
    default: Any
    """The value when it is not given; ``...`` when it must be."""
    number: bool
    secret: bool
    """Whether it is not to be shown; the environment may name a file that holds it."""
    choices: tuple[str, ...]
    """The texts it may be; empty when it may be others."""
    many: bool = False
    """Whether it is a list of texts; the environment has them with commas between."""

    @property
    def name(self) -> str:
        """The place in words: ``server.port``."""
        return ".".join(self.path)

    @property
    def variable(self) -> str:
        """The environment variable of an option of the process: ``SEALCAST_SERVER_PORT``."""
        return "_".join(("sealcast", *self.path)).upper()

    @property
    def shown(self) -> str:
        """The default as a person would write it: ``25s``, ``256KiB``, ``false``; empty for none."""
        if self.default is None or self.default is ... or self.default == ():
            return ""
        if self.many:
            return ", ".join(self.default)
        if self.unit == "s":
            return show_seconds(self.default)
        if self.unit in ("B", "B/s") and self.default:
            return show_size(self.default)
        if isinstance(self.default, SecretStr):
            return ""
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)


def _walk(model: type[BaseModel], *path: str) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _walk(kind, *path, name)
            continue
        if any(isinstance(part, type) and issubclass(part, BaseModel) for part in get_args(kind)):
            continue  # a list of tables: its options have a list of their own
        extra = field.json_schema_extra
        yield Option(
            path=(*path, name),
            doc=field.description or "",
            unit=str(extra.get("unit", "")) if isinstance(extra, dict) else "",
            default=... if field.is_required() else field.default,
            secret=kind is SecretStr,
            number=kind in (int, float, int | None, float | None),
            choices=_choices(kind),
            many=get_origin(kind) is tuple,
        )


def _choices(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(choice for part in get_args(kind) for choice in _choices(part))


PROCESS: Final = (
    *_walk(ServerConfig, "server"),
    *_walk(GuardConfig, "guard"),
    *_walk(StorageConfig, "storage"),
    *_walk(DatabaseConfig, "database"),
    *_walk(HooksConfig, "hooks"),
    *_walk(LogConfig, "log"),
    *_walk(RecordsConfig, "records"),
    *_walk(MetricsConfig, "metrics"),
    *_walk(TracesConfig, "traces"),
)
"""The options of the process, which the environment has too."""

APP: Final = tuple(_walk(AppConfig))
"""The options of one ``[[apps]]`` entry."""

CHANNEL: Final = tuple(_walk(ChannelConfig))
"""The options of one ``[[apps.channels]]`` entry."""

APP_ID: Final = "SEALCAST_APP_ID"

APP_ENVIRONMENT: Final = {
    "SEALCAST_APP_CERTIFICATE": "certificate",
    "SEALCAST_APP_SECONDARY_CERTIFICATE": "secondary_certificate",
}
"""The environment's secrets of one app, each also as ``…_FILE``, which names a file that holds it."""

PREFIXES: Final = tuple(
    f"SEALCAST_{part}_" for part in dict.fromkeys([*(o.path[0].upper() for o in PROCESS), "APP"])
)
"""Variables that begin so are the relay's; an unknown one is a mistake."""
