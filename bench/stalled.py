"""One reader that stops reading among a hundred that go on: what it costs them, and the server."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from . import load
from .machine import Cores, rss_bytes
from .peers.base import Peer
from .rounds import Column, Found
from .traffic import Traffic, found, seated

__all__ = ["Stalled"]

_COLUMNS = (
    Column("p99_us", "p99 ms", 2, 1e-3),
    Column("p99_alone_us", "p99 ms without it", 2, 1e-3),
    Column("p99_ratio", "with / without", 2),
    Column("grown", "server grew, KiB", 0, 1 / 1024),
    Column("grown_alone", "grew without it, KiB", 0, 1 / 1024),
    Column("server_cores", "server cores", 2),
    Column("stalled_closed", "cut", 0),
    Column("accepted", "accepted", 0),
    Column("delivered", "delivered", 0),
    Column("generator_utilisation", "generator", 2),
)


@dataclass(frozen=True)
class Stalled:
    """Runs the same traffic twice: everybody reads; and the last member does not.

    The first sender sends audio and the others video, for servers that tell them apart. Any frame of any
    kind that a reading member misses fails the round. Memory is the server's largest resident size during
    the traffic, minus that before it.
    """

    name: str
    title: str
    traffic: Traffic
    peers: tuple[str, ...] = ()
    columns: tuple[Column, ...] = _COLUMNS

    def run(self, peer: Peer, cores: Cores) -> Found:
        """Run both, and put their figures side by side."""
        alone, grown_alone, _ = self._round(peer, cores, stalls=False)
        result, grown, outcome = self._round(peer, cores, stalls=True)
        for name, count in alone.faults.items():
            result.faults[name] = result.faults.get(name, 0) + count
        result.values |= {
            "p99_alone_us": alone.values["p99_us"],
            "p99_ratio": result.values["p99_us"] / alone.values["p99_us"],
            "server_cores_alone": alone.values["server_cores"],
            "grown": grown,
            "grown_alone": grown_alone,
            "stalled_closed": outcome.stalled_closed,
        }
        return result

    def _round(self, peer: Peer, cores: Cores, *, stalls: bool) -> tuple[Found, float, load.Outcome]:
        with seated(peer, cores, self.traffic) as (running, members):
            if stalls:
                members[-1].reads = False
                # The system is not to hide the stall for long.
                members[-1].sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with _watched(running.pids) as grown:
                outcome = self.traffic.measure(peer, running, members, cores)
        return found(outcome), grown[0], outcome


@contextlib.contextmanager
def _watched(pids: Iterable[int]) -> Iterator[list[float]]:
    """Follow the resident size of processes; the list's one item is by how much it grew at most."""
    before = rss_bytes(pids)
    grown, ending = [0.0], threading.Event()

    def watch() -> None:
        while not ending.wait(0.05):
            grown[0] = max(grown[0], float(rss_bytes(pids) - before))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield grown
    finally:
        ending.set()
        thread.join()
