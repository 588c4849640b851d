"""What the machine is and what its system calls cost: printed beside every result."""

from __future__ import annotations

import os
import platform
import socket
import sys
import time
from importlib.metadata import version
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return the CPU time a process has used, user and system, in seconds (proc(5), 10 ms steps)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def send_cost(rounds: int = 20_000, size: int = 200) -> float:
    """Return the microseconds of one small ``send`` on a loopback TCP socket, reader draining."""
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    payload = b"x" * size
    spent = 0.0
    for _ in range(rounds // 100):
        start = time.perf_counter()
        for _ in range(100):
            near.send(payload)
        spent += time.perf_counter() - start
        left = 100 * size
        while left:
            left -= len(far.recv(left))
    for sock in (near, far, listener):
        sock.close()
    return spent / (rounds // 100 * 100) * 1e6


def machine() -> dict[str, str | int | float]:
    """Describe the machine and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count() or 0,
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "websockets": version("websockets"),
        "uvloop": version("uvloop"),
        "load": round(os.getloadavg()[0], 2),
        "send_us": round(send_cost(), 2),
    }
