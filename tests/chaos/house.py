"""A relay as a process of its own, killed and started again, and a proxy that treats connections badly."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from pathlib import Path

__all__ = ["APP_ID", "CERTIFICATE", "Pair", "Proxy", "RelayProcess", "free_port"]

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
PATIENCE = 30.0

_CONFIG = """
[server]
internal = {internal}
internal_port = {internal_port}
port = {port}
node = "chaos"
drain_spread = 1
close = 2
heartbeat = 5
[storage]
engine = "{engine}"
path = "{path}"
{database}
[log]
level = "error"
[[apps]]
app_id = "{app_id}"
certificate = "{certificate}"
[apps.history]
messages = 20000
bytes = "64MiB"
ttl = "1h"
[apps.limits]
recovery_messages = 20000
recovery_bytes = "16MiB"
outbox = "16MiB"
joins_per_minute = 100000
"""


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RelayProcess:
    """`sealcast serve` on one port and one file, over many lives.

    Args:
        place: where its files are.
        engine: where messages are kept.
        data: where its files are that grow; by default *place* too.
        database: the URL of one, with which there is an internal port as well.
        environment: more of it.

    """

    def __init__(
        self,
        place: Path,
        engine: str = "sqlite",
        *,
        data: Path | None = None,
        database: str = "",
        **environment: str,
    ) -> None:
        self.port = free_port()
        self.internal_port = free_port()
        self.path = (data or place) / "messages.db"
        self.lives = 0
        self._environment = {**os.environ, **environment}
        self._config = place / "sealcast.toml"
        self._config.write_text(
            _CONFIG.format(
                port=self.port,
                internal="true" if database else "false",
                internal_port=self.internal_port,
                engine=engine,
                path=self.path,
                database=f'[database]\nurl = "{database}"' if database else "",
                app_id=APP_ID,
                certificate=CERTIFICATE,
            )
        )
        self._config.chmod(0o600)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process of the present life."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Bring it up; return when it accepts connections."""
        self.lives += 1
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sealcast.cli",
            "serve",
            "--config",
            str(self._config),
            env=self._environment,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                assert self._process.returncode is None, "the relay did not start"
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """End it as a power failure would: at once, without a word."""
        await self._end(signal.SIGKILL)

    async def terminate(self) -> int:
        """Ask it to end, and wait; return its exit status."""
        return await self._end(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    async def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        return await asyncio.wait_for(process.wait(), PATIENCE)


class Proxy:
    """A TCP proxy: connections through it can be stalled, cut with a reset, or slowed to a trickle.

    Args:
        port: where the relay listens.

    """

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server | None = None
        self._pairs: list[Pair] = []
        self.port = 0

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut everything."""
        assert self._server is not None
        self._server.close()
        for pair in list(self._pairs):
            pair.reset()
            await pair.over.wait()
        await self._server.wait_closed()

    @property
    def pairs(self) -> list[Pair]:
        """The connections that there are."""
        return [pair for pair in self._pairs if not pair.over.is_set()]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pair = Pair(reader, writer)
        self._pairs.append(pair)
        try:
            await pair.run(self._target)
        finally:
            self._pairs.remove(pair)
            pair.over.set()


class Pair:
    """One connection on its way through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.over = asyncio.Event()
        self._reader, self._writer = reader, writer
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers = [writer]
        self._piece = 65536
        self._pause = 0.0

    def stall(self) -> None:
        """Let nothing through any more; the connection stays."""
        self._flowing.clear()

    def flow(self) -> None:
        """Let everything through again."""
        self._flowing.set()
        self._piece, self._pause = 65536, 0.0

    def trickle(self, piece: int = 50, pause: float = 0.01) -> None:
        """Let so many bytes through at a time."""
        self._piece, self._pause = piece, pause

    def reset(self) -> None:
        """Cut both sides at once."""
        self._flowing.set()
        for writer in self._writers:
            with contextlib.suppress(Exception):
                writer.transport.abort()

    async def run(self, port: int) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            self._writer.transport.abort()
            return
        self._writers.append(writer)
        ways = [
            asyncio.ensure_future(self._carry(self._reader, writer)),
            asyncio.ensure_future(self._carry(reader, self._writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        self.reset()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(self._piece):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
                if self._pause:
                    await asyncio.sleep(self._pause)
