"""The memory of another process, as Linux shows it in ``/proc/PID/maps`` and ``/proc/PID/mem``.

Read is whatever the process may have written: writable mappings, and readable ones that no file stands
behind. Code and constants that come unchanged from files are left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .failures import MemoryRefused
from .needles import Text

__all__ = ["Dump", "Mapping", "changed", "dump", "parse_maps", "read_maps"]

MEMORY_MAX: Final = 4 * 1024**3
"""The most that is read of one process; a relay that was started a minute ago has a hundredth of it."""
PAGE: Final = 4096

_CHUNK: Final = 1 << 24
_KERNEL: Final = ("[vvar", "[vdso", "[vsyscall")
"""Mappings that the kernel puts into every process, and whose content is its own."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """One line of ``/proc/PID/maps``."""

    start: int
    end: int
    access: str
    """``rw-p`` and the like."""
    path: str
    """The file, a name in brackets, or nothing."""

    @property
    def name(self) -> str:
        """What to call it."""
        return self.path or "anonymous"

    @property
    def of_file(self) -> bool:
        """Whether a file stands behind it."""
        return self.path.startswith("/")

    @property
    def searched(self) -> bool:
        """Whether the process may have written what is in it, and it can be read."""
        if "r" not in self.access or self.path.startswith(_KERNEL):
            return False
        return "w" in self.access or not self.of_file


@dataclass(frozen=True, slots=True)
class Dump:
    """What was read of a process's memory."""

    texts: tuple[Text, ...]
    mappings: tuple[Mapping, ...]
    """All of the process, those included that were not read."""
    unread: int
    """Bytes that should have been read and could not be."""

    @property
    def size(self) -> int:
        """Bytes that were read."""
        return sum(len(text.data) for text in self.texts)


def parse_maps(text: str) -> tuple[Mapping, ...]:
    """Read the content of ``/proc/PID/maps`` (proc_pid_maps(5)).

    Raises:
        ValueError: a line is not of that form.

    """
    found = []
    for line in text.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 5:
            raise ValueError("a line of /proc/PID/maps with too few fields")
        start, _, end = fields[0].partition("-")
        # A newline in a path arrives as \012; nothing else is escaped.
        path = fields[5].replace("\\012", "\n") if len(fields) == 6 else ""
        found.append(Mapping(int(start, 16), int(end, 16), fields[1], path))
    return tuple(found)


def read_maps(pid: int | str) -> tuple[Mapping, ...]:
    """Return the mappings of a process; ``self`` is this one."""
    return parse_maps(Path(f"/proc/{pid}/maps").read_text("utf-8", "surrogateescape"))


def dump(pid: int) -> Dump:
    """Read the memory of a process, which should be stopped, so that nothing moves meanwhile.

    Raises:
        MemoryRefused: the system does not allow it, or there is far too much.

    """
    try:
        mappings = read_maps(pid)
        file = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        raise MemoryRefused(_REFUSED) from None
    try:
        wanted = [mapping for mapping in mappings if mapping.searched]
        size = sum(mapping.end - mapping.start for mapping in wanted)
        if size > MEMORY_MAX:
            raise MemoryRefused(f"the relay has {size >> 20} MiB of memory, more than can be searched")
        texts = tuple(Text(mapping.name, _read(file, mapping), mapping.start) for mapping in wanted)
    finally:
        os.close(file)
    return Dump(texts, mappings, size - sum(len(text.data) for text in texts))


_REFUSED: Final = (
    "the system does not let this process read the memory of the relay that it started: that takes "
    "kernel.yama.ptrace_scope 0 or 1, and no security profile that forbids ptrace; the capability SYS_PTRACE "
    "allows it in any case but the strictest"
)


def _read(file: int, mapping: Mapping) -> bytes:
    """Return the mapping's bytes up to the first that cannot be read."""
    parts = []
    at = mapping.start
    while at < mapping.end:
        try:
            part = os.pread(file, min(_CHUNK, mapping.end - at), at)
        except PermissionError:
            raise MemoryRefused(_REFUSED) from None
        except OSError:
            break
        if not part:
            break
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def changed(before: Iterable[Text], after: Iterable[Text]) -> list[Text]:
    """Return the runs of pages of *after* that are not, or not the same, in *before*."""
    old = {
        text.address + at: text.data[at : at + PAGE]
        for text in before
        for at in range(0, len(text.data), PAGE)
    }
    found = []
    for text in after:
        start = None
        for at in range(0, len(text.data), PAGE):
            same = old.get(text.address + at) == text.data[at : at + PAGE]
            if not same and start is None:
                start = at
            if same and start is not None:
                found.append(Text(text.place, text.data[start:at], text.address + start))
                start = None
        if start is not None:
            found.append(Text(text.place, text.data[start:], text.address + start))
    return found
