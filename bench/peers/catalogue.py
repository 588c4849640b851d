"""All peers: every module of this package that has ``PEERS``."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

from .base import Peer

__all__ = ["APART", "FIRST", "every_peer"]

FIRST = ("sealcast", "anchor-coalescing", "anchor", "websockets")
"""What is always compared, in the order of the tables; the others follow by name."""

APART = ("sealcast-tls",)
"""Only in workloads that name them."""


def every_peer() -> dict[str, Peer]:
    """Return all peers by name, whether they can run here or not."""
    found: dict[str, Peer] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name != "catalogue":
            for peer in getattr(import_module(f"{__package__}.{module.name}"), "PEERS", ()):
                found[peer.name] = peer
    rest = sorted(name for name in found if name not in FIRST)
    return {name: found[name] for name in (*FIRST, *rest) if name in found}
