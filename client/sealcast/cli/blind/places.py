"""What else a process leaves for others to read: files, environment, arguments.

While it is frozen: its environment, its arguments, and every regular file that it holds open, deleted
and anonymous ones included. After its end: every file below its directory.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .needles import Text

__all__ = ["FILE_MAX", "Surroundings", "files_below", "surroundings"]

FILE_MAX: Final = 256 * 1024 * 1024
"""The most that is read of one file."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a frozen process shows of itself apart from its memory."""

    texts: tuple[Text, ...]
    descriptors: Counter[str]
    """Its open descriptors by sort: ``file``, ``socket``, ``pipe``, ``other``."""
    directory: str
    """Its working directory."""
    oversized: tuple[str, ...]
    """Files larger than ``FILE_MAX``, of which the rest was not read."""


def surroundings(pid: int) -> Surroundings:
    """Read environment, arguments and open files of a process of the same user."""
    home = Path("/proc") / str(pid)
    texts = [
        Text("environment", (home / "environ").read_bytes()),
        Text("arguments", (home / "cmdline").read_bytes()),
    ]
    counts: Counter[str] = Counter()
    oversized: list[str] = []
    for link in sorted((home / "fd").iterdir(), key=lambda path: int(path.name)):
        target, mode = os.readlink(link), link.stat().st_mode
        counts[_sort(mode)] += 1
        if stat.S_ISREG(mode):
            texts.append(Text(f"open file {target}", _read(link, oversized)))
    return Surroundings(tuple(texts), counts, os.readlink(home / "cwd"), tuple(oversized))


def files_below(directory: Path) -> tuple[tuple[Text, ...], tuple[str, ...]]:
    """Return every regular file below *directory*, and the names of those larger than ``FILE_MAX``.

    Names count as content: each text begins with its file's name.
    """
    oversized: list[str] = []
    texts = []
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        data = _read(path, oversized) if path.is_file() and not path.is_symlink() else b""
        texts.append(Text(f"file {name}", os.fsencode(name) + b"\n" + data))
    return tuple(texts), tuple(oversized)


def _sort(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISSOCK(mode):
        return "socket"
    return "pipe" if stat.S_ISFIFO(mode) else "other"


def _read(path: Path, oversized: list[str]) -> bytes:
    with path.open("rb") as file:
        data = file.read(FILE_MAX + 1)
    if len(data) > FILE_MAX:
        oversized.append(path.name)
    return data[:FILE_MAX]
