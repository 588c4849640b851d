"""Every option of the relay, once: name, default, unit and meaning.

The TOML file, the environment (``SEALCAST_SECTION_KEY``), the command line's flags, the sample that
``sealcast genconfig`` prints and the table in the documentation all come from these declarations.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from sealcast.protocol import names
from sealcast.protocol.envelope import MESSAGE_START
from sealcast.protocol.sharing import ITEMS_MAX, LOCKS_MAX

from .config_guard import GuardConfig
from .config_hooks import HooksConfig
from .config_rates import AppRates
from .config_section import Section as _Section
from .config_section import option as _option
from .config_server import ServerConfig, is_loopback
from .config_watching import MetricsConfig, TracesConfig
from .interfaces import Keep
from .placeholder import is_placeholder

__all__ = [
    "AppConfig",
    "AppHistory",
    "AppLimits",
    "AppPolicy",
    "AppPresence",
    "AppRates",
    "ChannelConfig",
    "Config",
    "DatabaseConfig",
    "DeliveryPolicy",
    "GuardConfig",
    "HooksConfig",
    "LogConfig",
    "MetricsConfig",
    "RecordsConfig",
    "ServerConfig",
    "StorageConfig",
    "TracesConfig",
    "is_loopback",
    "unsafe_app",
]

DeliveryPolicy = Literal["realtime", "latest", "reliable"]
"""What happens to frames that a member does not take in time."""


def _checked_secret(value: SecretStr) -> SecretStr:
    names.certificate(value.get_secret_value())
    return value


_AppId = Annotated[str, AfterValidator(names.app_id)]
_Certificate = Annotated[SecretStr, AfterValidator(_checked_secret)]


class StorageConfig(_Section):
    """Where messages and metadata are kept."""

    engine: Literal["memory", "sqlite"] = _option(
        "memory",
        "`memory`: nothing outlives the process; `sqlite`: an acknowledged message is on disk",
    )
    path: str = _option("sealcast-messages.db", "the file of the engine `sqlite`", min_length=1)


class DatabaseConfig(_Section):
    """Where apps, keys and accounts are kept that are made while the relay runs."""

    url: SecretStr = _option(
        SecretStr(""), "`postgresql://user:password@host/name` or `sqlite:///file`; can hold a password"
    )
    directory: str = _option("", "instead of a URL: where an SQLite database, `sealcast.db`, is kept")

    @model_validator(mode="after")
    def _is_one_place(self) -> DatabaseConfig:
        if self.url.get_secret_value() and self.directory:
            raise ValueError("url and directory exclude each other")
        return self

    @property
    def place(self) -> str:
        """The URL, with its password; empty when there is no database."""
        if self.directory:
            return f"sqlite:///{self.directory}/sealcast.db"
        return self.url.get_secret_value()


class LogConfig(_Section):
    """What is written to standard error."""

    level: Literal["debug", "info", "warning", "error"] = _option("info", "least severe line to write")
    format: Literal["auto", "json", "text"] = _option("auto", "`auto`: text on a terminal, else JSON lines")


class RecordsConfig(_Section):
    """What is kept in the database of past sessions and of changes, and for how long."""

    sessions: bool = _option(True, "keep who was in which channel, when, and from where")
    addresses: Literal["whole", "cut", "none"] = _option(
        "whole", "addresses of sessions: `cut` keeps the network only, /24 of IPv4 and /48 of IPv6"
    )
    keep_sessions: float = _option(
        90 * 86_400.0,
        "how long records of sessions are kept after their end",
        unit="s",
        ge=3600,
        le=730 * 86_400,
    )
    keep_audit: float = _option(
        730 * 86_400.0,
        "how long entries of the audit log are kept",
        unit="s",
        ge=30 * 86_400,
        le=3650 * 86_400,
    )


class AppPolicy(_Section):
    """What an app allows."""

    allow_app_id_only: bool = _option(False, "admit members without a token: for tests only")
    accept_006: bool = _option(False, "accept tokens of the older version 006 too")
    encryption: Literal["required", "optional"] = _option(
        "required", "`required`: refuse every frame that has no well-formed SFrame header"
    )
    delivery: DeliveryPolicy = _option(
        "realtime",
        "for members that do not keep up: `realtime` drops frames by kind, layer, priority and age, `latest`"
        " keeps the newest of each stream, `reliable` drops nothing and disconnects them",
    )
    clock_skew: int = _option(60, "how far in the future a token may be issued", unit="s", ge=0, le=86400)
    origins: tuple[str, ...] = _option((), "web pages that may connect, as `https://host`; `*` admits all")


class AppLimits(_Section):
    """The bounds of an app; `welcome` announces them."""

    frame: int = _option(256 * 1024, "largest frame, from its descriptor on", unit="B", ge=64, le=16 * 2**20)
    message: int = _option(64 * 1024, "largest message, likewise", unit="B", ge=64, le=4 * 2**20)
    connections: int = _option(20_000, "connections of the app at the same time", ge=1)
    channels: int = _option(10_000, "channels of the app at the same time", ge=1)
    members: int = _option(1_000, "members of one channel", ge=1, le=60_000)
    channels_per_connection: int = _option(32, "channels that one connection may join", ge=1, le=4096)
    joins_per_minute: int = _option(120, "join and renew attempts of one connection", unit="/min", ge=1)
    directs_per_minute: int = _option(
        6_000, "data that one connection may send to single members", unit="/min", ge=1
    )
    changes_per_minute: int = _option(
        600, "what one connection may set, take away, lock and unlock", unit="/min", ge=1
    )
    requests_per_minute: int = _option(
        1_200, "other requests of one connection about its channels", unit="/min", ge=1
    )
    recovery_messages: int = _option(
        1_000,
        "messages that a member that comes back is sent again at most",
        ge=0,
        le=100_000,
    )
    recovery_bytes: int = _option(1024 * 1024, "the same in bytes", unit="B", ge=0, le=64 * 2**20)
    errors_per_minute: int = _option(
        600, "refused requests and frames of one connection before it is closed", unit="/min", ge=1
    )
    flush_tick: float = _option(
        0.0,
        "how long frames are collected before they go out: CPU saved in large channels for a delay",
        unit="s",
        ge=0,
        le=0.005,
    )
    outbox: int = _option(1024 * 1024, "bytes queued for a member that does not keep up", unit="B", ge=1024)
    outbox_age: float = _option(0.5, "age at which a queued frame is dropped", unit="s", gt=0, le=60)
    metadata_items: int = _option(64, "items of metadata of one channel", ge=0, le=ITEMS_MAX)
    metadata_bytes: int = _option(
        64 * 1024, "names and values of one channel's metadata", unit="B", ge=0, le=2**20
    )
    metadata_total: int = _option(
        64 * 2**20, "metadata of all channels of the app, with who set it", unit="B", ge=0
    )
    bans: int = _option(10_000, "ban rules of the app", ge=0, le=100_000)
    revocations: int = _option(10_000, "revocations of tokens of the app", ge=0, le=100_000)
    locks: int = _option(32, "locks of one channel", ge=0, le=LOCKS_MAX)
    locks_total: int = _option(10_000, "locks of all channels of the app on this node", ge=0)
    lock_ttl: float = _option(300.0, "longest time for which a lock may be held", unit="s", ge=1, le=86400)


class AppHistory(_Section):
    """What the channels of an app keep of their messages, sealed as they are."""

    messages: int = _option(1_000, "messages of a channel that are kept; 0: none", ge=0, le=1_000_000)
    bytes: int = _option(1024 * 1024, "how large they are together at most", unit="B", ge=1024, le=2**30)
    ttl: float = _option(300.0, "how old they get", unit="s", ge=1, le=366 * 86_400)


class AppPresence(_Section):
    """How the members of the app's channels are told who is there."""

    instant: int = _option(64, "members up to which it is told at once who comes and goes", ge=1, le=60_000)
    interval: float = _option(
        1.0,
        "in larger channels it is told together, so often; who speaks is told at once",
        unit="s",
        ge=0.05,
        le=60,
    )
    linger: float = _option(
        0.0,
        "how long a member whose connection was lost may come back before anybody is told",
        unit="s",
        ge=0,
        le=60,
    )


class ChannelConfig(_Section):
    """What is different in some channels of an app."""

    pattern: str = Field(
        description="names of the channels; `*` stands for any text. The first entry that matches counts",
        min_length=1,
        max_length=names.CHANNEL_MAX,
    )
    delivery: DeliveryPolicy | None = _option(None, "as `policy.delivery`")
    history_messages: int | None = _option(None, "as `history.messages`", ge=0, le=1_000_000)
    history_bytes: int | None = _option(None, "as `history.bytes`", unit="B", ge=1024, le=2**30)
    history_ttl: float | None = _option(None, "as `history.ttl`", unit="s", ge=1, le=366 * 86_400)

    def matches(self, channel: str) -> bool:
        """Say whether this is about the channel of that name."""
        first, *rest = self.pattern.split("*")
        if not rest:
            return channel == first
        last = rest.pop()
        if not channel.startswith(first) or len(channel) < len(first) + len(last):
            return False
        place = len(first)
        for part in rest:
            place = channel.find(part, place)
            if place < 0:
                return False
            place += len(part)
        return channel.endswith(last) and place <= len(channel) - len(last)


class AppConfig(_Section):
    """One tenant."""

    app_id: _AppId = Field(description="32 hexadecimal characters; case counts")
    name: str = _option("", "what people call it; only in logs", max_length=64)
    certificate: _Certificate | None = _option(None, "signs its tokens: 32 hexadecimal characters, secret")
    secondary_certificate: _Certificate | None = _option(None, "a second one, while rotating")
    enabled: bool = _option(True, "false: its members are refused like those of an unknown app")
    policy: AppPolicy = AppPolicy()
    limits: AppLimits = AppLimits()
    rates: AppRates = AppRates()
    history: AppHistory = AppHistory()
    presence: AppPresence = AppPresence()
    channels: tuple[ChannelConfig, ...] = Field((), description="what is different in some channels")

    @model_validator(mode="after")
    def _has_a_way_in(self) -> AppConfig:
        if self.certificate is None and not self.policy.allow_app_id_only:
            raise ValueError("needs a certificate, unless policy.allow_app_id_only is set")
        if self.certificate is None and self.secondary_certificate is not None:
            raise ValueError("has a secondary_certificate but no certificate")
        return self

    @model_validator(mode="after")
    def _lets_the_largest_pass(self) -> AppConfig:
        largest = max(self.limits.frame, self.limits.message) + MESSAGE_START
        for name, rate in self.rates:
            if name.startswith("bytes_") and 0 < rate * self.rates.burst < largest:
                raise ValueError(
                    f"rates.{name}, for the time of rates.burst, is less than the largest frame or message"
                )
        return self

    def delivery_of(self, channel: str) -> DeliveryPolicy:
        """Return what happens in the channel of that name to frames that a member does not take in time."""
        matching = (rule.delivery for rule in self.channels if rule.matches(channel))
        return next(matching, None) or self.policy.delivery

    def keep_of(self, channel: str) -> Keep:
        """Return what the channel of that name keeps of its messages."""
        rule = next((rule for rule in self.channels if rule.matches(channel)), None)
        kept = self.history
        if rule is None:
            return Keep(kept.messages, kept.bytes, kept.ttl)
        return Keep(
            kept.messages if rule.history_messages is None else rule.history_messages,
            kept.bytes if rule.history_bytes is None else rule.history_bytes,
            kept.ttl if rule.history_ttl is None else rule.history_ttl,
        )

    @property
    def certificates(self) -> tuple[str, ...]:
        """The certificates that may have signed a token, primary first."""
        both = (self.certificate, self.secondary_certificate)
        return tuple(secret.get_secret_value() for secret in both if secret is not None)


def unsafe_app(server: ServerConfig, app: AppConfig) -> list[str]:
    """Return why an app must not be served where this server listens, unless that is asked for by name."""
    if is_loopback(server.host) or not app.enabled:
        return []
    problems = []
    if app.policy.allow_app_id_only and not server.unsafe_app_id_only:
        problems.append(
            "policy.allow_app_id_only lets everybody in, and server.host can be reached by others:"
            " take it away, or set server.unsafe_app_id_only"
        )
    if any(map(is_placeholder, app.certificates)) and not server.unsafe_secrets:
        problems.append(
            "a certificate is a placeholder, and server.host can be reached by others:"
            " `sealcast genconfig` has a real one, or set server.unsafe_secrets"
        )
    return problems


class Config(_Section):
    """Everything that a relay is started with."""

    server: ServerConfig = ServerConfig()
    guard: GuardConfig = GuardConfig()
    storage: StorageConfig = StorageConfig()
    database: DatabaseConfig = DatabaseConfig()
    hooks: HooksConfig = HooksConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    traces: TracesConfig = TracesConfig()
    records: RecordsConfig = RecordsConfig()
    apps: tuple[AppConfig, ...] = Field((), description="the tenants")

    @model_validator(mode="after")
    def _knows_its_proxies(self) -> Config:
        if self.server.proxy_protocol == "required" and not self.guard.trusted_proxies:
            raise ValueError("server.proxy_protocol needs guard.trusted_proxies: whom it is required from")
        return self

    @model_validator(mode="after")
    def _apps_differ(self) -> Config:
        seen: set[str] = set()
        for app in self.apps:
            if app.app_id in seen:
                raise ValueError(f"app_id {app.app_id} stands twice")
            seen.add(app.app_id)
        return self

    @model_validator(mode="after")
    def _apps_are_safe(self) -> Config:
        for number, app in enumerate(self.apps):
            for problem in unsafe_app(self.server, app):
                raise ValueError(f"apps[{number}]: {problem}")
        return self
