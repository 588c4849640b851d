"""The servers under test, each as its own process: ``python bench/peers.py NAME``; prints its port.

``sealcast`` is the real relay with everything on: tokens, grants, counters, limits, metrics.
``websockets`` is that library's asyncio server with ``broadcast()``, on uvloop, without compression and
without any check: what a Python team would write first.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import sys

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"


def _announce(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


async def sealcast() -> None:
    """Run the relay until it is told to stop."""
    from sealcast.server.config import AppConfig, AppLimits, AppRates, Config, LogConfig, ServerConfig
    from sealcast.server.logs import configure
    from sealcast.server.relay import Relay

    limits = AppLimits(members=50_000, connections=50_000, outbox=64 * 1024 * 1024, outbox_age=60)
    config = Config(
        server=ServerConfig(port=0, connections=50_000, drain_spread=0),
        log=LogConfig(level="error"),
        apps=(AppConfig(app_id=APP_ID, certificate=CERTIFICATE, limits=limits, rates=AppRates.unlimited()),),
    )
    configure(config.log)
    relay = Relay(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, relay.shut_down)
    _, port = await relay.start()
    _announce(port)
    await relay.wait_stopped()


async def websockets() -> None:
    """Run a broadcast server until it is told to stop."""
    from websockets.asyncio.server import ServerConnection, broadcast, serve
    from websockets.exceptions import ConnectionClosed

    members: set[ServerConnection] = set()

    async def member(connection: ServerConnection) -> None:
        members.add(connection)
        try:
            with contextlib.suppress(ConnectionClosed):
                async for message in connection:
                    broadcast(members - {connection}, message)
        finally:
            members.discard(connection)

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(
        member, "127.0.0.1", 0, compression=None, ping_interval=None, backlog=1024, max_size=2**20
    ) as server:
        _announce(server.sockets[0].getsockname()[1])
        await stop.wait()


def main() -> None:
    """Run the server named on the command line."""
    import uvloop

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run({"sealcast": sealcast, "websockets": websockets}[sys.argv[1]]())


if __name__ == "__main__":
    main()
