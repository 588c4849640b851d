"""nats-server over its WebSocket port: a broker, without a cluster and without storage."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from pathlib import Path

from .base import Peer, Running, Wrap
from .installed import first_line, program
from .process import free_port, run
from .websocket import connect, header, masked, read_message

__all__ = ["PEERS"]

_OPTIONS = {
    "verbose": False,
    "pedantic": False,
    "echo": False,
    "headers": False,
    "no_responders": False,
    "protocol": 1,
    "lang": "bench",
    "version": "1",
}
_SILENT = "24h"
"""A member of the benchmark answers no pings."""


class Nats(Peer):
    """A subject for each channel. Text stands around each payload: ``PUB`` and ``MSG`` with its length."""

    name = "nats"
    note = (
        "a broker: subjects in text, no tokens or rights asked for; several payloads share a WebSocket frame"
    )
    steady = False

    def missing(self) -> str | None:
        """Return how to get it."""
        return None if program("nats-server") else "needs nats-server: make bench-peers ARGS=nats"

    def version(self) -> str:
        """Return what it says itself."""
        return first_line([str(program("nats-server")), "--version"])

    def start(self) -> Running:
        """Start it with a configuration in a temporary folder."""
        folder = Path(tempfile.mkdtemp(prefix="sealcast-bench-"))
        port = free_port()
        path = folder / "nats.conf"
        path.write_text(_CONFIGURATION.format(port=port, pings=_SILENT))
        return run(
            [str(program("nats-server")), "--config", str(path)],
            port=port,
            cleanup=lambda: shutil.rmtree(folder, ignore_errors=True),
        )

    def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
        """Introduce the client and subscribe; the answer to a ping says that both are done."""
        sock = connect(port, "/")
        words = f"CONNECT {json.dumps(_OPTIONS)}\r\nSUB {_subject(channel)} 1\r\nPING\r\n"
        sock.sendall(masked(words.encode()))
        heard = b""
        while b"PONG\r\n" not in heard:
            heard += read_message(sock)[1]
            if b"-ERR" in heard:
                raise RuntimeError(f"nats-server refused a join: {heard[-200:].decode(errors='replace')}")
        return sock

    def wrap(self, size: int, channel: str, user: str) -> Wrap:
        """Return one ``PUB`` in one message."""
        command = f"PUB {_subject(channel)} {size}\r\n".encode()
        end = b"\r\n"
        return Wrap(header(len(command) + size + len(end)) + command, end)


def _subject(channel: str) -> str:
    return f"c.{channel}"


_CONFIGURATION = """\
listen: "127.0.0.1:-1"
websocket {{
  listen: "127.0.0.1:{port}"
  no_tls: true
  compression: false
}}
no_sys_acc: true
max_connections: 65536
max_payload: 1MB
max_pending: 64MB
ping_interval: "{pings}"
"""

PEERS = (Nats(),)
