"""The options of webhooks."""

from __future__ import annotations

from .config_section import Section, option

__all__ = ["HooksConfig"]


class HooksConfig(Section):
    """How webhooks are delivered; they need a database."""

    private: bool = option(False, "let webhooks reach loopback and private addresses")
    insecure: bool = option(False, "let webhooks have `http` addresses: for tests only")
    timeout: float = option(10.0, "in which a receiver has to answer", unit="s", ge=1, le=20)
    authorities: str = option("", "PEM file of issuers to trust in place of the system's")
    keep: float = option(
        14 * 86_400.0,
        "how long deliveries are kept that were given up",
        unit="s",
        ge=1,
        le=730 * 86_400,
    )
    waiting: int = option(
        100_000, "deliveries of one webhook that may wait; the oldest are given up", ge=1, le=10_000_000
    )
    per_app: int = option(16, "webhooks of one app", ge=1, le=1_000)
