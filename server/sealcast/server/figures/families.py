"""Every metric of ``/metrics``, declared once: name, kind, labels and meaning. docs/metrics.md comes from it.

Names follow the conventions of Prometheus: base units, ``_total`` for what only grows. Labels have values
from tables of the program, never a name that a client has chosen: channels and users stand in the API only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sealcast.protocol.codes import ENDS, REPLIES
from sealcast.protocol.names import Kind

from ..guard import OFFENCES
from ..shedding import REASONS

__all__ = ["FAMILIES", "LABELS_MOST", "Family", "family"]

LABELS_MOST: Final = 100
"""Series of one metric, unless it is said otherwise; what comes after them is summed up as ``other``."""

_Shape: TypeAlias = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric."""

    name: str
    shape: _Shape
    help: str
    labels: tuple[str, ...] = ()
    known: tuple[tuple[str, ...], ...] = ()
    """Label values that are shown from the beginning, as 0: a rate needs something to begin with."""
    most: int = LABELS_MOST
    """How many series it may have."""


def _table(*families: Family) -> dict[str, Family]:
    table = {family.name: family for family in families}
    if len(table) != len(families):
        raise AssertionError("a metric stands twice")
    return table


def _counter(name: str, text: str, *labels: str, known: tuple[tuple[str, ...], ...] = ()) -> Family:
    return Family(f"sealcast_{name}_total", "counter", text, labels, known)


def _gauge(name: str, text: str, *labels: str, most: int = LABELS_MOST) -> Family:
    return Family(f"sealcast_{name}", "gauge", text, labels, (), most)


def _histogram(name: str, text: str) -> Family:
    return Family(f"sealcast_{name}_seconds", "histogram", text)


def _per_app(name: str, text: str) -> Family:
    shape: _Shape = "counter" if name.endswith("_total") else "gauge"
    return Family(f"sealcast_app_{name}", shape, text, ("app",), (), 10_001)


_ENDS: Final = tuple((name,) for name in ENDS)
_REPLIES: Final = tuple((name,) for name in REPLIES)
_TOKENS: Final = tuple(
    (name,) for name, code in REPLIES.items() if "token" in name or name.endswith("_mismatch")
)
_KINDS: Final = tuple(kind.name.lower() for kind in Kind)
_DROPS: Final = tuple((kind, reason) for kind in _KINDS for reason in REASONS)
_HANDSHAKES: Final = tuple((name,) for name in ("unknown_app", "origin", "full", "crowded_out", "unfinished"))

_OFFENCES: Final = tuple((name,) for name in OFFENCES)

FAMILIES: Final = _table(
    # The process.
    _gauge("build_info", "always 1; what runs here", "version", "python", "node"),
    _gauge("start_time_seconds", "when the relay was started, in Unix seconds"),
    _gauge("ready", "1 while the relay takes members: not draining, database and storage well"),
    _gauge("draining", "1 while the relay goes down"),
    _counter("gc_pauses", "runs of the garbage collector, during which nothing is relayed"),
    _counter("gc_pause_seconds", "how long they took together"),
    _gauge("gc_pause_longest_seconds", "the longest of them since the start"),
    _histogram("loop_lag", "how late the event loop was for a timer"),
    _histogram("turn_wait", "how long what was collected first in a turn of the loop waited to be sent"),
    _histogram("turn_work", "how long a turn of the loop spent on sending to members"),
    _counter(
        "log_lines",
        "log lines by level, those that were withheld too",
        "level",
        known=(("error",), ("warning",)),
    ),
    _counter("log_lines_withheld", "warnings and errors not written because the same came too often"),
    _counter("source_failures", "sources of these metrics that failed in a scrape"),
    # Connections.
    _gauge("connections", "open connections, handshakes included"),
    _counter("connections_opened", "connections that were accepted"),
    _counter("connections_ended", "connections that ended, by the end code's name", "reason", known=_ENDS),
    _counter(
        "handshakes_refused", "connections that did not get past the handshake", "reason", known=_HANDSHAKES
    ),
    # Members.
    _gauge("channels", "channels that somebody is in"),
    _gauge("members", "members of all channels"),
    _counter("channels_opened", "channels that came to life"),
    _counter("joins", "joins that were let in, comebacks included"),
    _counter("members_left", "memberships that ended, by the end code's name", "reason", known=_ENDS),
    _counter("tokens_refused", "joins and renewals refused for their token", "reason", known=_TOKENS),
    _counter(
        "recoveries",
        "joins with a place: recovered whole, or missed",
        "result",
        known=(("recovered",), ("missed",)),
    ),
    _counter("messages_replayed", "messages sent again to members that had missed them"),
    # Traffic.
    _counter("frames_received", "frames accepted from members"),
    _counter("messages_received", "messages accepted from members"),
    _counter("received_bytes", "bytes of both, envelopes included"),
    _counter("deliveries", "frames and messages written or queued, once for each receiving member"),
    _counter("flushes", "times that a channel handed over what it had collected"),
    _counter("clear_frames", "frames relayed in clear, where an app's policy allows it"),
    _counter(
        "refusals", "refused requests, frames and messages, by the code's name", "reason", known=_REPLIES
    ),
    _counter("rate_limited", "what was refused because it came too fast, by the option", "limit"),
    _counter(
        "frames_dropped",
        "frames that a slow member did not get; messages too, when its connection ended",
        "kind",
        "reason",
        known=_DROPS,
    ),
    # Apps.
    _gauge("apps", "apps that the relay serves, by state", "state"),
    _per_app("connections", "connections of the app"),
    _per_app("channels", "channels of the app that somebody is in"),
    _per_app("members", "members of the app's channels"),
    _per_app("received_total", "frames and messages accepted from the app's members"),
    _per_app("received_bytes_total", "bytes of both, envelopes included"),
    # The engine.
    _gauge("engine_info", "always 1; what carries and keeps messages", "engine"),
    _gauge(
        "messages_kept", "kept messages in memory: of the memory engine all, of a stored one those in use"
    ),
    _gauge("messages_kept_bytes", "what they take, roughly"),
    _gauge("storage_waiting", "messages and changes that wait to be written"),
    _gauge("storage_waiting_bytes", "what they take, roughly"),
    _gauge("storage_failing", "1 while messages cannot be written"),
    _gauge("storage_file_bytes", "the file with messages, and what is beside it"),
    _gauge("storage_free_bytes", "free space where that file is"),
    # The database.
    _gauge("database_up", "1 while the database answers; nothing without one"),
    _gauge("database_seconds", "how long it took for its last answer"),
    _counter("database_failures", "times that it did not answer when looked at"),
    # The internal port.
    _counter("api_requests", "requests on the internal port, by the answer's status", "status"),
    _histogram("api_request", "how long they took"),
    _gauge(
        "certificate_expiry_timestamp_seconds", "when a TLS certificate in use ends, in Unix seconds", "port"
    ),
    # Webhooks and protection.
    _counter(
        "webhook_deliveries",
        "tries to deliver an event, by result; given_up: it is a dead letter",
        "result",
        known=(("delivered",), ("failed",), ("given_up",)),
    ),
    _counter("webhook_events_lost", "events that could not even be written down"),
    _counter("webhook_events_withheld", "refused tokens that were not told, since one address had too many"),
    _gauge("webhook_events_waiting", "events that wait to be written down"),
    _gauge("webhook_deliveries_waiting", "deliveries that wait in the database, those of all processes"),
    _counter("addresses_blocked", "blocks of an address for what it did", "reason", known=_OFFENCES),
    _gauge("networks_kept_out", "addresses and networks that are kept out now, by who does it", "origin"),
    _gauge("rules", "ban rules and revocations in force, of all apps", "kind"),
    # Records.
    _gauge("records_waiting", "records of calls and memberships that wait to be written"),
    _counter("records_lost", "records of them that there was no room for while the database was away"),
    _counter("audit_failures", "changes by operators that were refused since their entry was not kept"),
)
"""Every metric, by name, in the order in which they are shown."""


def family(name: str) -> Family:
    """Return a metric by its name without ``sealcast_``; KeyError when there is none."""
    return FAMILIES[f"sealcast_{name}"]
