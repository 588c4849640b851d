"""The websockets library with its ``broadcast()``: what a Python team would write first."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec

from .base import Peer, Running, Wrap
from .process import run
from .websocket import connect, header

__all__ = ["PEERS", "Websockets"]


class Websockets(Peer):
    """The asyncio server on uvloop, without compression, a set of connections for each channel."""

    name = "websockets"
    note = "websockets' broadcast() on uvloop, one write per frame and receiver; no checks at all"

    def missing(self) -> str | None:
        """Return what to install."""
        lacking = [name for name in ("websockets", "uvloop") if not find_spec(name)]
        return f"needs {' and '.join(lacking)}: pip install {' '.join(lacking)}" if lacking else None

    def start(self) -> Running:
        """Run this module as a process."""
        return run([sys.executable, "-m", __name__])

    def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
        """Upgrade; the path is the channel."""
        return connect(port, f"/c/{channel}")

    def wrap(self, size: int, channel: str, user: str) -> Wrap:
        """Return the header alone."""
        return Wrap(header(size))


PEERS = (Websockets(),)


async def serve() -> None:
    """Relay until terminated; print the port."""
    import asyncio
    import contextlib
    from collections import defaultdict

    from websockets.asyncio.server import ServerConnection, broadcast, serve
    from websockets.exceptions import ConnectionClosed
    from websockets.http11 import Request

    channels: defaultdict[str, set[ServerConnection]] = defaultdict(set)

    def enter(connection: ServerConnection, request: Request) -> None:
        # Here and not in the handler: a client that has its answer is in the channel.
        channels[request.path].add(connection)

    async def member(connection: ServerConnection) -> None:
        assert connection.request is not None
        members = channels[connection.request.path]
        try:
            with contextlib.suppress(ConnectionClosed):
                async for message in connection:
                    broadcast(members - {connection}, message)
        finally:
            members.discard(connection)

    async with serve(
        member,
        "127.0.0.1",
        0,
        process_request=enter,
        compression=None,
        ping_interval=None,
        backlog=4096,
        max_size=2**20,
    ) as server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    import resource

    import uvloop

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(serve())
