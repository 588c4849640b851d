"""What two scrapes say together: rates, quantiles and the busiest. Pure."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from .scrape import Scrape

__all__ = ["AppRow", "Figures", "figures"]

_APPS_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class AppRow:
    """What one app is doing."""

    app: str
    connections: float
    channels: float
    members: float
    received: float
    """Frames and messages a second."""
    bytes: float
    """Bytes a second."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a relay is doing. Rates are for each second between the two scrapes, and 0 after a restart."""

    version: str
    node: str
    ready: bool
    draining: bool
    uptime: float | None
    connections: float
    channels: float
    members: float
    joins: float
    frames: float
    messages: float
    bytes: float
    deliveries: float
    drops: dict[str, float]
    """By kind and reason, as ``video/age``; only what there is."""
    refusals: dict[str, float]
    """By reason; only what there is."""
    tokens: dict[str, float]
    """Refused tokens by reason; only what there is."""
    ended: dict[str, float]
    """Ended connections by reason; only what there is."""
    turn_p50: float | None
    """Seconds; None while nothing is relayed."""
    turn_p99: float | None
    lag_p99: float | None
    cpu: float | None
    """Of one core."""
    memory: float | None
    """Bytes."""
    kept: float
    database: bool | None
    """None without one."""
    storage_failing: bool
    apps: tuple[AppRow, ...]
    """The busiest first."""

    def tree(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def figures(before: Scrape, after: Scrape, wall: float) -> Figures:
    """Return what happened between two scrapes, and how things stand at the second; *wall* is Unix time."""
    rates = _Rates(before, after)
    info = dict(next(iter(after.series.get("sealcast_build_info", {})), ()))
    started, database = after.get("sealcast_start_time_seconds"), after.get("sealcast_database_up")
    return Figures(
        version=info.get("version", ""),
        node=info.get("node", ""),
        ready=after.get("sealcast_ready") == 1,
        draining=after.get("sealcast_draining") == 1,
        uptime=None if started is None else max(wall - started, 0.0),
        connections=after.get("sealcast_connections") or 0,
        channels=after.get("sealcast_channels") or 0,
        members=after.get("sealcast_members") or 0,
        joins=rates.sum("joins_total"),
        frames=rates.sum("frames_received_total"),
        messages=rates.sum("messages_received_total"),
        bytes=rates.sum("received_bytes_total"),
        deliveries=rates.sum("deliveries_total"),
        drops=rates.by("frames_dropped_total", "kind", "reason"),
        refusals=rates.by("refusals_total", "reason"),
        tokens=rates.by("tokens_refused_total", "reason"),
        ended=rates.by("connections_ended_total", "reason"),
        turn_p50=rates.quantile("turn_wait_seconds", 0.5),
        turn_p99=rates.quantile("turn_wait_seconds", 0.99),
        lag_p99=rates.quantile("loop_lag_seconds", 0.99),
        cpu=rates.plain("process_cpu_seconds_total"),
        memory=after.get("process_resident_memory_bytes"),
        kept=after.get("sealcast_messages_kept") or 0,
        database=None if database is None else database == 1,
        storage_failing=after.get("sealcast_storage_failing") == 1,
        apps=_apps(rates, after),
    )


def _apps(rates: _Rates, after: Scrape) -> tuple[AppRow, ...]:
    now = {name: after.by(f"sealcast_app_{name}", "app") for name in ("connections", "channels", "members")}
    received = rates.by("app_received_total", "app")
    size = rates.by("app_received_bytes_total", "app")
    rows = [
        AppRow(
            app,
            connections,
            now["channels"].get(app, 0),
            now["members"].get(app, 0),
            received.get(app, 0),
            size.get(app, 0),
        )
        for app, connections in now["connections"].items()
    ]
    rows = [row for row in rows if row.app != "other" or any((row.connections, row.members, row.received))]
    rows.sort(key=lambda row: (-row.received, -row.members, -row.connections, row.app))
    return tuple(rows[:_APPS_MOST])


class _Rates:
    """How fast counters grew between two scrapes."""

    def __init__(self, before: Scrape, after: Scrape) -> None:
        self._before, self._after = before, after
        self._seconds = after.at - before.at
        # After a restart counters begin anew: nothing can be said of the time between.
        started = "sealcast_start_time_seconds"
        self._same = before.get(started) == after.get(started) and self._seconds > 0

    def plain(self, name: str) -> float | None:
        """Return the rate of a metric by its whole name."""
        now, then = self._after.get(name), self._before.get(name)
        if now is None or then is None or not self._same:
            return None
        return max(now - then, 0.0) / self._seconds

    def sum(self, name: str) -> float:
        """Return the rate of a counter, all series together."""
        return self.plain(f"sealcast_{name}") or 0.0

    def by(self, name: str, *labels: str) -> dict[str, float]:
        """Return the rates of a counter's series, the largest first; those that stand still are left out."""
        if not self._same:
            return {}
        name = f"sealcast_{name}"
        then = self._before.series.get(name, {})
        found: dict[str, float] = {}
        for key, value in self._after.series.get(name, {}).items():
            grown = value - then.get(key, 0.0)
            if grown > 0:
                has = dict(key)
                said = "/".join(has.get(label, "") for label in labels)
                found[said] = found.get(said, 0.0) + grown / self._seconds
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def quantile(self, name: str, share: float) -> float | None:
        """Return a quantile of what a histogram got between the scrapes, as Prometheus reckons it."""
        if not self._same:
            return None
        name = f"sealcast_{name}_bucket"
        then = self._before.series.get(name, {})
        buckets = sorted(
            (float(dict(key)["le"]), value - then.get(key, 0.0))
            for key, value in self._after.series.get(name, {}).items()
            if "le" in dict(key)
        )
        if not buckets or buckets[-1][1] <= 0:
            return None
        wanted = share * buckets[-1][1]
        low, below = 0.0, 0.0
        for bound, count in buckets:
            if count >= wanted:
                if math.isinf(bound):
                    return low
                return low + (bound - low) * ((wanted - below) / (count - below) if count > below else 1.0)
            low, below = bound, count
        return low
