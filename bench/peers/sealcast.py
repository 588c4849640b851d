"""The relay itself, as ``sealcast serve`` runs it: tokens, rights, counters, limits and metrics on.

Its options are the defaults, but for the numbers of connections and members and the rates that the
workloads would otherwise meet, and for the log, which is as quiet as those of the peers.
"""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from sealcast.client.tokens import mint
from sealcast.protocol.controls import Error, Join, Joined, Side, decode, encode
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.envelope import frame
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header

from .base import Peer, Running, Wrap
from .process import free_port, run
from .websocket import connect, header, masked, read_message

__all__ = ["PEERS", "Sealcast"]

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"

_MANY = 60_000
_UNREACHED = 1_000_000_000
_KID = 0x0200
_FIRST_COUNTER = 1 << 24
"""So that every counter of a run takes four bytes."""
_KINDS = {kind.name.lower(): kind for kind in (Kind.AUDIO, Kind.VIDEO, Kind.SCREEN)}


class Sealcast(Peer):
    """A relay process of its own.

    A user whose name begins with ``audio-``, ``video-`` or ``screen-`` sends frames of that kind, others
    send data. The ciphertext is the benchmark's payload: the relay cannot know better.
    """

    name = "sealcast"
    note = "tokens verified at join; rights, counters and limits checked per frame; metrics on"

    def __init__(self) -> None:
        self._routes: dict[tuple[str, str], tuple[int, int]] = {}

    def missing(self) -> str | None:
        """Return what to install when the server's extra is not there."""
        return None if find_spec("uvloop") else "needs uvloop: pip install 'sealcast[server]'"

    def start(self) -> Running:
        """Start ``sealcast serve`` with a configuration in a temporary folder."""
        self._routes.clear()
        folder = Path(tempfile.mkdtemp(prefix="sealcast-bench-"))
        port = free_port()
        path = folder / "sealcast.toml"
        path.write_text(self.configuration(port, folder))
        command = [sys.executable, "-m", "sealcast.cli", "serve", "--config", str(path)]
        return run(command, port=port, cleanup=lambda: shutil.rmtree(folder, ignore_errors=True))

    def configuration(self, port: int, folder: Path) -> str:
        """Return the TOML file; *folder* is for what it names."""
        from sealcast.server.config_options import APP, PROCESS

        # Rates are limits of abuse, and a benchmark is nothing else; what stays is the work of checking them.
        server = {o.path[1]: _UNREACHED for o in PROCESS if o.path[0] == "server" and o.unit in _RATES}
        limits = {o.path[1]: _UNREACHED for o in APP if o.path[0] == "limits" and o.unit in _RATES}
        rates = {o.path[1]: _UNREACHED for o in APP if o.path[0] == "rates" and o.unit != "s"}
        # A ping between two frames is no fault, but would be counted as odd framing.
        server |= {"port": port, "connections": _MANY, "heartbeat": 600}
        limits |= {"connections": _MANY, "members": _MANY, "channels": _MANY}
        return "\n".join(
            (
                "[server]",
                *(f"{name} = {value}" for name, value in server.items()),
                "drain_spread = 0",
                "internal = false",
                "[log]",
                'level = "error"',
                "[[apps]]",
                f'app_id = "{APP_ID}"',
                f'certificate = "{CERTIFICATE}"',
                "[apps.limits]",
                *(f"{name} = {value}" for name, value in limits.items()),
                "[apps.rates]",
                *(f"{name} = {value}" for name, value in rates.items()),
                "",
            )
        )

    def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
        """Connect, show a token, and learn the numbers to send with."""
        sock = connect(port, f"/v1/{APP_ID}", subprotocol="sealcast.1")
        self.enter(sock, channel, user)
        return sock

    def enter(self, sock: socket.socket, channel: str, user: str) -> None:
        """Join on a connection whose handshake is done."""
        token = mint(APP_ID, CERTIFICATE, channel, user, ttl=86400)
        sock.sendall(masked(encode(Join(channel=channel, user=user, token=token), 1)))
        while True:
            answer, ref = decode(read_message(sock)[1], Side.SERVER)
            if isinstance(answer, Joined):
                self._routes[channel, user] = (answer.channel, answer.member)
                return
            if isinstance(answer, Error) and ref == 1:
                raise RuntimeError(f"the relay refused a join: {answer.name}")

    def wrap(self, size: int, channel: str, user: str) -> Wrap:
        """Return the envelope, descriptor and SFrame header of this member."""
        kind = _KINDS.get(user.partition("-")[0], Kind.DATA)
        sealed = Descriptor(kind, stream=2).wire + encode_header(_KID, _FIRST_COUNTER)
        start = frame(*self._routes[channel, user], sealed)
        prefix = header(len(start) + size) + start
        return Wrap(prefix, counter_at=len(prefix) - 4, counter_bytes=4)


_RATES = ("/s", "/min", "B/s")

PEERS = (Sealcast(),)
