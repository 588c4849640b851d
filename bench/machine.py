"""What the machine is, what its system calls cost, who runs on which core, and who uses how much of it."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from .toolchain import built, compiler

__all__ = ["Cores", "about", "allow_files", "cpu_seconds", "kernel_bytes", "probe", "rss_bytes"]

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Cores:
    """Who runs where. Servers get one core, whatever they could do with more: figures are per core."""

    server: frozenset[int]
    generator: frozenset[int]
    remark: str

    @classmethod
    def of_this_machine(cls) -> Cores:
        """Give the first core to servers and the others, none of its siblings if possible, to the rest."""
        usable = sorted(os.sched_getaffinity(0))
        if len(usable) < 2:
            everything = frozenset(usable)
            return cls(everything, everything, "server and generator share one core: they slow each other")
        siblings = _siblings(usable[0])
        others = [core for core in usable[1:] if core not in siblings]
        remark = f"server on core {usable[0]}, generator on {_list(others or usable[1:])}"
        if not others:
            remark += " (threads of one physical core: they slow each other)"
        return cls(frozenset(usable[:1]), frozenset(others or usable[1:]), remark)

    def take_generators(self) -> None:
        """Put this thread where the generator runs."""
        os.sched_setaffinity(0, self.generator)

    @contextlib.contextmanager
    def servers(self) -> Iterator[None]:
        """Let what is started in the block run where servers run."""
        os.sched_setaffinity(0, self.server)
        try:
            yield
        finally:
            self.take_generators()


def _siblings(core: int) -> set[int]:
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    found: set[int] = set()
    with contextlib.suppress(OSError, ValueError):
        for part in path.read_text().strip().split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return found


def _list(cores: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(cores)))


def allow_files(count: int) -> bool:
    """Make room for *count* open files in this process and those it starts; return whether that worked."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return True
    for limits in ((min(count, hard), hard), (count, count)):
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= count


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time that processes have used, user and system, in seconds (proc(5), 10 ms steps)."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / _TICK


def rss_bytes(pids: Iterable[int]) -> int:
    """Return the resident memory of processes."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return total


def kernel_bytes() -> int:
    """Return what the whole machine's kernel holds in slabs and in the buffers of TCP."""
    total = 0
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Slab:"):
            total += int(line.split()[1]) * 1024
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        if line.startswith("TCP:"):
            total += int(line.split()[-1]) * _PAGE
    return total


def probe(cores: Cores) -> dict[str, float]:
    """Return what raw system calls cost where the servers run, in nanoseconds."""
    with cores.servers():
        found: dict[str, float] = json.loads(subprocess.check_output([built("probe")], text=True))
    return found


def about(cores: Cores) -> dict[str, str | int | float]:
    """Describe the machine and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    cc = compiler()
    words = subprocess.run([cc, "--version"], capture_output=True, text=True).stdout if cc else ""
    return {
        "cpu": model or platform.processor(),
        "cores": os.cpu_count() or 0,
        "pinning": cores.remark,
        "kernel": platform.release(),
        "compiler": words.partition("\n")[0],
        "python": sys.version.split()[0],
        **{name: version(name) for name in ("sealcast", "websockets", "uvloop")},
        "load": round(os.getloadavg()[0], 2),
    }
