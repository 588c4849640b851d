"""What a connection is told first: the server, and the limits that it will enforce."""

from __future__ import annotations

from typing import Final

from sealcast.protocol.controls import CLIENT_CONTROL_MAX, DIRECT_MAX, HELLO_MAX, Welcome
from sealcast.protocol.parts import VALUE_MAX
from sealcast.protocol.version import __version__

from .config import AppLimits, AppRates, ServerConfig

__all__ = ["FEATURES", "welcome"]

FEATURES: Final = (
    "messages",
    "hello",
    "direct",
    "recovery",
    "history",
    "presence",
    "state",
    "metadata",
    "locks",
)
"""What a client may rely on beyond the first version of the protocol."""


def welcome(server: ServerConfig, limits: AppLimits, rates: AppRates) -> Welcome:
    """Return the first control of a connection to an app with these limits and rates; a rate of 0 is none."""
    return Welcome(
        server=f"sealcast/{__version__}",
        node=server.node,
        heartbeat=server.heartbeat,
        limits={
            "frame": limits.frame,
            "message": limits.message,
            "control": CLIENT_CONTROL_MAX,
            "hello": HELLO_MAX,
            "direct": DIRECT_MAX,
            "channels": limits.channels_per_connection,
            "members": limits.members,
            "joins_per_minute": limits.joins_per_minute,
            "directs_per_minute": limits.directs_per_minute,
            "requests_per_minute": limits.requests_per_minute,
            "changes_per_minute": limits.changes_per_minute,
            "value": VALUE_MAX,
            "metadata_items": limits.metadata_items,
            "metadata_bytes": limits.metadata_bytes,
            "locks": limits.locks,
            "lock_ttl": limits.lock_ttl,
            "unauthenticated": server.unauthenticated,
            **{name: rate for name, rate in rates if rate},
        },
        features=FEATURES,
    )
