"""Checks of the machine: Python, packages, limits of the system, the clock."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .finding import Finding, fine, worth_a_look, wrong

__all__ = ["backlog", "clock", "files", "memory", "python"]

_PACKAGES: Final = (
    *("websockets", "msgpack", "pydantic", "structlog", "uvloop"),
    *("fastapi", "uvicorn", "sqlalchemy", "aiosqlite", "alembic"),
)
_OWN_FILES: Final = 64
"""Files of the process beside its connections."""
_CONNECTION_BYTES: Final = 12 * 1024
"""What an idle connection costs in the process and in the kernel."""


def python() -> Iterator[Finding]:
    """Look at Python and the packages that the relay stands on."""
    yield fine("python", f"{platform.python_implementation()} {platform.python_version()}")
    found, missing = [], []
    for name in _PACKAGES:
        if importlib.util.find_spec(name) is None:
            missing.append(name)
        else:
            found.append(f"{name} {importlib.metadata.version(name)}")
    if missing:
        yield wrong("packages", f"without {', '.join(missing)}", "pip install 'sealcast[server]'")
    else:
        yield fine("packages", ", ".join(found))


def files(connections: int, limit: tuple[int, int] | None) -> Iterator[Finding]:
    """Look whether so many connections can be open; *limit* is what the process has and could take."""
    if limit is None:
        return
    _, hard = limit
    needed = connections + _OWN_FILES
    if hard < 0 or hard >= needed:  # below zero: no limit
        yield fine("files", f"{'any number' if hard < 0 else f'{hard:,}'} may be open")
    else:
        yield worth_a_look(
            "files",
            f"{hard:,} may be open, and server.connections is {connections:,}",
            f"`ulimit -Hn {needed}`, LimitNOFILE={needed} in the unit, or fewer connections",
        )


def backlog(asked: int, path: Path = Path("/proc/sys/net/core/somaxconn")) -> Iterator[Finding]:
    """Look whether the system queues as many connections as ``server.backlog`` asks for."""
    if not path.exists():
        return
    given = int(path.read_text("ascii"))
    if given >= asked:
        yield fine("backlog", f"the system queues up to {given:,} connections")
    else:
        yield worth_a_look(
            "backlog",
            f"the system queues {given:,} connections, server.backlog asks for {asked:,}",
            f"`sysctl net.core.somaxconn={asked}`",
        )


def memory(connections: int, path: Path = Path("/proc/meminfo")) -> Iterator[Finding]:
    """Look whether so many idle connections fit."""
    if not path.exists():
        return
    lines = (line.split() for line in path.read_text("ascii").splitlines())
    available = next((int(line[1]) * 1024 for line in lines if line[0] == "MemAvailable:"), None)
    if available is None:
        return
    needed = connections * _CONNECTION_BYTES
    said = f"{available / 2**30:.1f} GiB are free, {connections:,} idle connections take {needed / 2**30:.2f}"
    if needed < available / 2:
        yield fine("memory", said)
    else:
        yield worth_a_look("memory", said, "fewer server.connections, or more memory")


def clock() -> Iterator[Finding]:
    """Look whether somebody keeps the clock right: tokens are judged by it."""
    tool = shutil.which("timedatectl")
    if tool is None:
        return
    asked = subprocess.run(  # noqa: S603 - a fixed command
        [tool, "show", "--property=NTPSynchronized", "--value"],
        capture_output=True,
        text=True,
        timeout=5,
        check=False,
    )
    said = asked.stdout.strip()
    if said == "yes":
        yield fine("clock", "synchronized")
    elif said == "no":
        yield worth_a_look(
            "clock",
            "not synchronized: tokens may seem expired, or issued in the future",
            "`timedatectl set-ntp true`, or another NTP client",
        )
