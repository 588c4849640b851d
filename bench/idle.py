"""Idle connections: what a member that only listens costs the server in memory, the kernel and CPU."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from dataclasses import dataclass, field

from .machine import Cores, allow_files, cpu_seconds, kernel_bytes, rss_bytes
from .peers.base import Peer
from .peers.websocket import masked
from .rounds import Column, Found, Skip

__all__ = ["Idle"]

_COLUMNS = (
    Column("rss_per_connection", "RSS bytes/connection", 0),
    Column("kernel_per_socket", "kernel bytes/socket", 0),
    Column("cpu_us_per_second", "CPU µs/s/connection", 2),
    Column("server_cores", "server cores", 3),
    Column("joined", "joined", 0),
)
_PING, _PONG = 9, 10


@dataclass(frozen=True)
class Idle:
    """Joins *count* members in channels of *channel_size* and lets them be for *seconds*.

    Memory is the growth from the first channel on, so what every server needs once is not divided among
    them. The kernel's part is what its slabs and TCP buffers grew by, for both ends, halved; it is the whole
    machine's, so other programs show in it. Pings are answered.
    """

    name: str
    title: str
    count: int = 5000
    channel_size: int = 20
    seconds: float = 30.0
    peers: tuple[str, ...] = ()
    columns: tuple[Column, ...] = _COLUMNS

    def run(self, peer: Peer, cores: Cores) -> Found:
        """Join everybody, wait, count."""
        if not allow_files(self.count + 400):
            raise Skip(f"{self.count} connections need more open files than this user may have")
        with contextlib.ExitStack() as stack:
            with cores.servers():
                running = stack.enter_context(peer.start())
            holder = stack.enter_context(contextlib.closing(_Holder()))
            for n in range(self.channel_size):
                holder.add(peer.join(running.port, "first", f"f{n}", sends=False))
            time.sleep(0.5)
            rss, kernel = rss_bytes(running.pids), kernel_bytes()
            for n in range(self.count):
                holder.add(peer.join(running.port, f"hall-{n // self.channel_size}", f"u{n}", sends=False))
            time.sleep(1.0)  # the last joins are still being told to others
            rss, kernel = rss_bytes(running.pids) - rss, kernel_bytes() - kernel
            cpu, start = cpu_seconds(running.pids), time.perf_counter()
            time.sleep(self.seconds)
            cpu, elapsed = cpu_seconds(running.pids) - cpu, time.perf_counter() - start
            closed = holder.closed
        values = {
            "joined": float(self.count - closed),
            "rss_per_connection": rss / self.count,
            "kernel_per_socket": kernel / 2 / self.count,
            "server_cpu": cpu,
            "server_cores": cpu / elapsed,
            "cpu_us_per_second": cpu / elapsed / self.count * 1e6,
            "seconds": elapsed,
        }
        return Found(values, {"closed": closed} if closed else {})


@dataclass
class _Held:
    sock: socket.socket
    unread: bytes = b""


@dataclass
class _Holder:
    """Keeps connections alive: reads what comes, answers pings."""

    closed: int = 0
    """Connections that the server ended."""
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    _ending: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._all: list[socket.socket] = []
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self._thread.start()

    def add(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._all.append(sock)
        self._selector.register(sock, selectors.EVENT_READ, _Held(sock))

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._selector.close()
        for sock in self._all:
            sock.close()

    def _hold(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.1):
                held: _Held = key.data
                try:
                    came = held.sock.recv(65536)
                    held.unread = _answered(held.sock, held.unread + came)
                except BlockingIOError:
                    continue
                except OSError:
                    came = b""
                if not came:
                    self.closed += 1
                    self._selector.unregister(held.sock)


def _answered(sock: socket.socket, data: bytes) -> bytes:
    """Answer the pings in what a server sent; return the frame that is not whole yet."""
    while len(data) >= 2:
        length, start = data[1], 2
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(data[2:start], "big")
        if len(data) < start + length:
            break
        if data[0] & 15 == _PING:
            sock.send(masked(data[start : start + length], _PONG))
        data = data[start + length :]
    return data
