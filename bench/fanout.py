"""Fan-out: one sender, many receivers, a full window. How many deliveries per second, at what CPU cost.

Run it alone with ``python bench/fanout.py``; ``python bench/run.py`` runs everything.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from members import Dialect, Plain, Receiver, Sealcast
from probe import cpu_seconds


@dataclass
class Result:
    """One round."""

    server: str
    receivers: int
    size: int
    window: int
    accepted: int
    delivered: int
    seconds: float
    server_cpu: float
    generator_cpu: float

    @property
    def per_second(self) -> float:
        return self.delivered / self.seconds

    @property
    def microseconds(self) -> float:
        """Server CPU per delivery."""
        return self.server_cpu / self.delivered * 1e6

    @property
    def utilisation(self) -> float:
        """The share of one core that the generator used: near 1.0 it was the limit."""
        return self.generator_cpu / self.seconds

    def row(self) -> dict[str, float | int | str]:
        return asdict(self) | {
            "per_second": round(self.per_second),
            "us_per_delivery": round(self.microseconds, 3),
            "generator_utilisation": round(self.utilisation, 2),
        }


@contextmanager
def server(name: str) -> Iterator[tuple[int, int]]:
    """Start a server process; yields its pid and port."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("peers.py")), name], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError(f"{name} did not start")
        yield process.pid, int(line)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.stdout is not None
        process.stdout.close()


def dialect(name: str, size: int) -> Dialect:
    """Return how to speak to a server."""
    return Sealcast(size) if name == "sealcast" else Plain(size)


def run(name: str, receivers: int, size: int, window: int, seconds: float, warmup: float = 0.5) -> Result:
    """Keep *window* frames in flight to every receiver for a while and count what arrives."""
    speak = dialect(name, size)
    with server(name) as (pid, port):
        members = [Receiver(speak.join(port, "bench", f"r{n}"), speak) for n in range(receivers)]
        sender = speak.join(port, "bench", "sender")
        sender.setblocking(False)
        _settle(members)
        flow = _Flow(sender, members, speak, window)
        flow.until(time.perf_counter() + warmup)
        before = sum(m.frames for m in members)
        sent = flow.sent
        cpu, own, start = cpu_seconds(pid), time.process_time(), time.perf_counter()
        flow.until(start + seconds)
        elapsed = time.perf_counter() - start
        result = Result(
            name,
            receivers,
            size,
            window,
            flow.sent - sent,
            sum(m.frames for m in members) - before,
            elapsed,
            cpu_seconds(pid) - cpu,
            time.process_time() - own,
        )
        flow.finish()
        for member in members:
            member.sock.close()
        sender.close()
    return result


def _settle(members: list[Receiver]) -> None:
    """Throw away what the joins of the others announced, so that only frames follow."""
    quiet = time.perf_counter() + 0.3
    while time.perf_counter() < quiet:
        for member in members:
            try:
                if member.sock.recv(1 << 20):
                    quiet = time.perf_counter() + 0.3
            except BlockingIOError:
                pass
        time.sleep(0.01)


class _Flow:
    """Sends when the slowest receiver has room in its window."""

    def __init__(self, sender: object, members: list[Receiver], speak: Dialect, window: int) -> None:
        self.sent = 0
        self._sender = sender
        self._members = members
        self._speak = speak
        self._window = window
        self._pending = b""
        self._poll = select.epoll()
        self._by_fd = {member.sock.fileno(): member for member in members}
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)

    def until(self, end: float) -> None:
        while time.perf_counter() < end:
            self._send()
            self._receive(0.01)

    def finish(self) -> None:
        """Wait for what is in flight: everything accepted must be delivered."""
        end = time.perf_counter() + 5
        while self._pending or min(m.frames for m in self._members) < self.sent:
            if time.perf_counter() > end:
                raise RuntimeError("frames that the server accepted were not delivered")
            self._push()
            self._receive(0.01)
        self._poll.close()

    def _send(self) -> None:
        if not self._pending:
            room = self._window - (self.sent - min(member.frames for member in self._members))
            if room >= self._window // 2:
                self._pending = self._speak.frames(self.sent, room)
                self.sent += room
        self._push()

    def _push(self) -> None:
        if self._pending:
            try:
                count = os.write(self._sender.fileno(), self._pending)  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            self._pending = self._pending[count:]

    def _receive(self, timeout: float) -> None:
        for fd, _ in self._poll.poll(timeout):
            self._by_fd[fd].read()


if __name__ == "__main__":
    names = sys.argv[1:] or ["sealcast", "websockets"]
    for _ in range(3):
        for name in names:
            print(run(name, 100, 200, 256, 3).row())
