"""Joins: connections from nothing to membership, several at once."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .machine import Cores, allow_files, cpu_seconds
from .peers.base import Peer
from .rounds import Column, Found, Skip

__all__ = ["Joins"]

_COLUMNS = (
    Column("joins_per_core", "joins/s per core", 0, ratio=True),
    Column("us_per_join", "server µs/join", 0),
    Column("joins_per_second", "joins/s", 0),
    Column("server_cores", "server cores", 2),
    Column("generator_utilisation", "generator", 2),
    Column("p50_us", "p50 ms", 2, 1e-3),
    Column("p99_us", "p99 ms", 2, 1e-3),
)


@dataclass(frozen=True)
class Joins:
    """Opens *count* connections, *at_once* in the making, each joining a channel of *channel_size*.

    A join is a TCP connection, the WebSocket handshake, and what the server wants before messages flow; with
    sealcast a token is verified, and everybody in the channel is told. The clients are threads of Python:
    it is the server's CPU per join that counts, and "joins/s" is what came of both sides together.
    """

    name: str
    title: str
    count: int = 3000
    at_once: int = 16
    channel_size: int = 20
    peers: tuple[str, ...] = ()
    columns: tuple[Column, ...] = _COLUMNS

    def run(self, peer: Peer, cores: Cores) -> Found:
        """Join everybody and count."""
        if not allow_files(self.count + 400):
            raise Skip(f"{self.count} connections need more open files than this user may have")
        with contextlib.ExitStack() as stack:
            with cores.servers():
                running = stack.enter_context(peer.start())
            numbers, lock, taken = itertools.count(), threading.Lock(), list[float]()

            def join(_: int) -> None:
                n = next(numbers)
                start = time.perf_counter()
                sock = peer.join(running.port, f"hall-{n // self.channel_size}", f"u{n}", sends=False)
                spent = time.perf_counter() - start
                with lock:
                    taken.append(spent)
                    stack.callback(sock.close)

            with ThreadPoolExecutor(self.at_once, initializer=cores.take_generators) as pool:
                list(pool.map(join, range(self.at_once * 5)))
                taken.clear()
                cpu, own, start = cpu_seconds(running.pids), time.process_time(), time.perf_counter()
                list(pool.map(join, range(self.count)))
                seconds = time.perf_counter() - start
                cpu, own = cpu_seconds(running.pids) - cpu, time.process_time() - own
        taken.sort()
        values = {
            "joins": float(self.count),
            "seconds": seconds,
            "joins_per_second": self.count / seconds,
            "server_cpu": cpu,
            "server_cores": cpu / seconds,
            "us_per_join": cpu / self.count * 1e6,
            "generator_utilisation": own / seconds,
            "p50_us": taken[len(taken) // 2] * 1e6,
            "p99_us": taken[len(taken) * 99 // 100] * 1e6,
        }
        if cpu:
            values["joins_per_core"] = self.count / cpu
        return Found(values)
