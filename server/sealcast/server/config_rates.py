"""How fast the members of an app may be."""

from __future__ import annotations

from .config_section import Section, option

__all__ = ["AppRates"]


class AppRates(Section):
    """How fast the members of an app may send and join; `welcome` announces it. 0 takes a limit away.

    Bytes count envelopes too. A member is one connection in one channel; an address is one of IPv4, or
    an IPv6 network of 64 bits.
    """

    burst: float = option(2.0, "how much of these may come at once, in time", unit="s", ge=0.1, le=60)
    frames_per_member: int = option(10_000, "frames and messages of one member", unit="/s", ge=0, le=10**9)
    frames_per_connection: int = option(
        20_000, "frames and messages of one connection", unit="/s", ge=0, le=10**9
    )
    frames_per_address: int = option(0, "frames and messages of one address", unit="/s", ge=0, le=10**9)
    frames_per_app: int = option(0, "frames and messages of the app on this node", unit="/s", ge=0, le=10**9)
    bytes_per_member: int = option(32 * 2**20, "bytes of one member", unit="B/s", ge=0, le=2**32 - 1)
    bytes_per_connection: int = option(64 * 2**20, "bytes of one connection", unit="B/s", ge=0, le=2**32 - 1)
    bytes_per_address: int = option(0, "bytes of one address", unit="B/s", ge=0, le=2**32 - 1)
    bytes_per_app: int = option(0, "bytes of the app on this node", unit="B/s", ge=0, le=2**32 - 1)
    messages_per_member: int = option(5_000, "messages of one member", unit="/s", ge=0, le=10**9)
    messages_per_connection: int = option(10_000, "messages of one connection", unit="/s", ge=0, le=10**9)
    messages_per_address: int = option(0, "messages of one address", unit="/s", ge=0, le=10**9)
    messages_per_app: int = option(0, "messages of the app on this node", unit="/s", ge=0, le=10**9)
    joins_per_user: int = option(
        240, "joins and renewals of one user, with a good token each", unit="/min", ge=0, le=10**9
    )
    joins_per_address: int = option(
        12_000, "join and renew attempts from one address", unit="/min", ge=0, le=10**9
    )
    joins_per_app: int = option(
        0, "join and renew attempts in the app on this node", unit="/min", ge=0, le=10**9
    )
    connections_per_app: int = option(
        60_000, "new connections of the app on this node", unit="/min", ge=0, le=10**9
    )

    @classmethod
    def unlimited(cls) -> AppRates:
        """Return rates without any limit."""
        return cls(**{name: 0 for name in cls.model_fields if name != "burst"})
