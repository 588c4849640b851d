"""The options of abuse protection, and of proxies that are believed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

from .config_section import Section, option
from .networks import network_of, spelled

__all__ = ["GuardConfig"]


def _checked_network(text: str) -> str:
    return spelled(network_of(text))


_Networks = tuple[Annotated[str, AfterValidator(_checked_network)], ...]


class GuardConfig(Section):
    """Who may knock at the public port how often, and who is kept out. SIGHUP reads all of it again."""

    enabled: bool = option(True, "block addresses for a while after repeated malicious requests")
    allow: _Networks = option(
        ("127.0.0.0/8", "::1"),
        "addresses and networks that are never blocked by themselves, and not limited here",
    )
    deny: _Networks = option((), "addresses and networks that are kept out; goes before `allow`")
    trusted_proxies: _Networks = option(
        (), "proxies that are believed who their clients are; they are never blocked or limited themselves"
    )
    forwarded: Literal["x-forwarded-for", "forwarded", "none"] = option(
        "x-forwarded-for", "the header in which trusted proxies say it"
    )
    threshold: float = option(100.0, "points of offences at which an address is blocked", ge=1, le=1e6)
    half_life: float = option(300.0, "time in which points fade to the half", unit="s", ge=1, le=86_400)
    credit: float = option(
        4.0, "how many thresholds more it takes at most where many members join properly", ge=0, le=100
    )
    block: float = option(
        60.0, "the first block; each further one is 4 times longer", unit="s", ge=1, le=86_400
    )
    block_max: float = option(86_400.0, "the longest block", unit="s", ge=1, le=30 * 86_400)
    forgive: float = option(
        6 * 3600.0, "time without a block that takes one step of that back", unit="s", ge=1, le=30 * 86_400
    )
    ipv4_prefix: int = option(32, "bits of an IPv4 address that count as one address", ge=8, le=32)
    ipv6_prefix: int = option(64, "the same of an IPv6 address", ge=16, le=128)
    addresses: int = option(
        50_000, "addresses that are remembered, and as many that are blocked", ge=1, le=10_000_000
    )
    connections_per_address: int = option(
        2_000, "connections of one address at the same time; 0: any number", ge=0, le=10**9
    )
    connects_per_address: int = option(
        3_000, "handshakes of one address; 0: any number", unit="/min", ge=0, le=10**9
    )
    handshakes_per_address: int = option(
        500, "connections of one address in the handshake at the same time; 0: any number", ge=0, le=10**9
    )
