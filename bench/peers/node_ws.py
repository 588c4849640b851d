"""The npm package ``ws``, what nearly every WebSocket server on Node stands on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .base import Running
from .installed import CACHE, first_line
from .plain import Plain
from .process import free_port, run

__all__ = ["PEERS"]

_PACKAGES = CACHE / "node" / "node_modules"
_SERVER = Path(__file__).with_suffix(".cjs")


class NodeWs(Plain):
    """``node_ws.cjs``, with or without one write per receiver and loop turn."""

    def __init__(self, name: str, note: str, *flags: str) -> None:
        self.name = name
        self.note = note
        self._flags = flags

    def missing(self) -> str | None:
        """Return what is not there."""
        if shutil.which("node") is None:
            return "needs Node: https://nodejs.org, then make bench-peers ARGS=node"
        if not (_PACKAGES / "ws").is_dir():
            return "needs the npm package ws: make bench-peers ARGS=node"
        return None

    def version(self) -> str:
        """Return the versions of the package and of Node."""
        package = json.loads((_PACKAGES / "ws" / "package.json").read_text("utf-8"))
        return f"ws {package['version']} node {first_line(['node', '--version'])}"

    def start(self) -> Running:
        """Run the server."""
        port = free_port()
        command = ["node", str(_SERVER), str(port), *self._flags]
        return run(command, port=port, env={"NODE_PATH": str(_PACKAGES), "NODE_ENV": "production"})


PEERS = (
    NodeWs(
        "ws",
        "ws on Node with bufferutil, one send per frame and receiver; no tokens, rights, counters or metrics",
    ),
    NodeWs(
        "ws-coalescing",
        "the same, with the frames of a loop turn joined by hand; no tokens, rights, counters or metrics",
        "--coalesce",
    ),
)
