"""Centrifugo: a channel server in Go, the nearest relative; its protobuf protocol, where bytes stay bytes."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
from pathlib import Path

from .base import Peer, Running, Wrap
from .installed import first_line, module_version, program
from .process import free_port, run
from .websocket import connect, header, masked, read_message

__all__ = ["PEERS"]

_SUBSCRIBED = 2
"""The command whose reply ends a join."""
_PUBLISH = 3
_SILENT = "24h"
"""A member of the benchmark answers no pings."""


class Centrifugo(Peer):
    """Anonymous clients that may subscribe and publish; no history, presence, joins or metrics."""

    name = "centrifugo"
    note = (
        "protobuf; each delivery names its sender, each publication is answered, a sender gets its own back; "
        "anonymous, no tokens, rights or metrics"
    )
    echoes = True
    steady = False

    def missing(self) -> str | None:
        """Return how to get it."""
        if program("centrifugo"):
            return None
        return "needs Centrifugo: make bench-peers ARGS=centrifugo (with Go)"

    def version(self) -> str:
        """Return the version of the module, if Go can tell: only releases know it themselves."""
        binary = str(program("centrifugo"))
        return module_version(binary) or first_line([binary, "version"])

    def start(self) -> Running:
        """Start it with a configuration in a temporary folder."""
        folder = Path(tempfile.mkdtemp(prefix="sealcast-bench-"))
        port = free_port()
        path = folder / "config.json"
        path.write_text(json.dumps(_configuration(port)))
        return run(
            [str(program("centrifugo")), "--config", str(path)],
            port=port,
            cleanup=lambda: shutil.rmtree(folder, ignore_errors=True),
        )

    def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
        """Connect and subscribe in one message, and wait for the second reply."""
        sock = connect(port, "/connection/websocket", subprotocol="centrifuge-protobuf")
        connected = _command(_number(1, 1) + _field(4, b""))
        subscribed = _command(_number(1, _SUBSCRIBED) + _field(5, _field(1, channel.encode())))
        sock.sendall(masked(connected + subscribed))
        while True:
            for reply in _replies(read_message(sock)[1]):
                # An error is field 2; a reply's number comes first.
                if reply[2:3] == b"\x12":
                    raise RuntimeError(f"Centrifugo refused a join: {reply[4:].decode(errors='replace')}")
                if reply[:2] == _number(1, _SUBSCRIBED):
                    return sock

    def wrap(self, size: int, channel: str, user: str) -> Wrap:
        """Return one command to publish: only lengths and names, which all stand before the data."""
        place = _field(1, channel.encode())
        data = b"\x12" + _varint(size)
        publish = b"\x3a" + _varint(len(place) + len(data) + size) + place + data
        command = _number(1, _PUBLISH) + publish
        prefix = _varint(len(command) + size) + command
        return Wrap(header(len(prefix) + size) + prefix)


def _configuration(port: int) -> dict[str, object]:
    return {
        "http_server": {"address": "127.0.0.1", "port": port},
        "log": {"level": "error"},
        "usage_stats": {"disabled": True},
        "http_api": {"disabled": True},
        "client": {
            "allow_anonymous_connect_without_token": True,
            "ping_interval": _SILENT,
            "queue_max_size": 64 << 20,
        },
        "websocket": {"compression": False, "message_size_limit": 1 << 20, "write_timeout": "60s"},
        "channel": {
            "without_namespace": {
                "allow_subscribe_for_client": True,
                "allow_subscribe_for_anonymous": True,
                "allow_publish_for_client": True,
                "allow_publish_for_anonymous": True,
            }
        },
    }


# --- as much of protobuf as it takes ---


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _command(data: bytes) -> bytes:
    return _varint(len(data)) + data


def _replies(message: bytes) -> list[bytes]:
    found = []
    while message:
        length = shift = at = 0
        while True:
            byte = message[at]
            length |= (byte & 127) << shift
            shift, at = shift + 7, at + 1
            if byte < 128:
                break
        found.append(message[at : at + length])
        message = message[at + length :]
    return found


PEERS = (Centrifugo(),)
