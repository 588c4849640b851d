"""Idle connections: what one joined member costs the server in memory, and in CPU while nothing happens."""

from __future__ import annotations

import contextlib
import resource
import socket
import sys
import time
from dataclasses import asdict, dataclass

from fanout import dialect, server
from probe import cpu_seconds, rss_bytes


@dataclass
class Result:
    """One round."""

    server: str
    connections: int
    channel_size: int
    rss_per_connection: float
    cpu_us_per_connection_second: float
    kernel_per_connection: float
    """What the kernel's TCP memory grew by for both ends of a connection (/proc/net/sockstat), halved."""

    def row(self) -> dict[str, float | int | str]:
        return {k: round(v, 1) if isinstance(v, float) else v for k, v in asdict(self).items()}


def _kernel_tcp_bytes() -> int:
    with open("/proc/net/sockstat") as file:
        for line in file:
            if line.startswith("TCP:"):
                return int(line.split()[-1]) * resource.getpagesize()
    return 0


def run(name: str, connections: int, channel_size: int = 20, seconds: float = 3.0) -> Result:
    """Join *connections* members in channels of *channel_size* and let them be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    speak = dialect(name, 200)
    with server(name) as (pid, port), contextlib.ExitStack() as stack:
        # The first joins warm up what every later one shares.
        for n in range(channel_size):
            stack.enter_context(contextlib.closing(speak.join(port, "warm", f"w{n}")))
        time.sleep(0.5)
        before, kernel = rss_bytes(pid), _kernel_tcp_bytes()
        for n in range(connections):
            stack.enter_context(contextlib.closing(_join(speak, port, n, channel_size)))
        time.sleep(1.0)
        rss, grown = rss_bytes(pid) - before, _kernel_tcp_bytes() - kernel
        cpu = cpu_seconds(pid)
        time.sleep(seconds)
        cpu = cpu_seconds(pid) - cpu
    return Result(
        name,
        connections,
        channel_size,
        rss / connections,
        cpu / connections / seconds * 1e6,
        grown / 2 / connections,
    )


def _join(speak: object, port: int, n: int, channel_size: int) -> socket.socket:
    sock: socket.socket = speak.join(port, f"room-{n // channel_size}", f"u{n}")  # type: ignore[attr-defined]
    return sock


if __name__ == "__main__":
    for name in sys.argv[1:] or ["sealcast", "websockets"]:
        print(run(name, 2000).row())
