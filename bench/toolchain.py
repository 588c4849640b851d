"""Compiles the C programs on the spot, each once for every change of its sources, into a cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["MissingCompiler", "built", "compiler"]

_HERE = Path(__file__).parent
_CACHE = _HERE / ".cache"
_FLAGS = ("-O3", "-march=native", "-std=gnu11", "-Wall", "-Wextra", "-Werror")


class MissingCompiler(RuntimeError):
    """There is no C compiler; the message says what to install."""


def compiler() -> str | None:
    """Return the C compiler: $CC, cc, gcc or clang; None when there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        if name and (found := shutil.which(name)):
            return found
    return None


def built(folder: str) -> Path:
    """Return the program that the C files of a folder of ``bench`` make.

    Raises:
        MissingCompiler: there is no compiler.
        RuntimeError: it refuses the sources; with its words.

    """
    cc = compiler()
    if cc is None:
        raise MissingCompiler("no C compiler: `apt-get install gcc libc6-dev`, or set CC")
    sources = sorted((_HERE / folder).glob("*.c"))
    seal = hashlib.sha256(" ".join((cc, *_FLAGS)).encode())
    for path in sorted((_HERE / folder).glob("*.[ch]")):
        seal.update(path.name.encode() + path.read_bytes())
    program = _CACHE / f"{folder}-{seal.hexdigest()[:16]}"
    if not program.exists():
        _CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
            made = Path(scratch) / folder
            command = [cc, *_FLAGS, "-o", str(made), *map(str, sources)]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                raise RuntimeError(f"{cc} refuses bench/{folder}:\n{result.stderr}")
            made.replace(program)
    return program
