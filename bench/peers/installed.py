"""What ``bench/peers/install.sh`` has put into folders of the tree, and where else the same may be.

The peers are not dependencies of the project: they live in ``.venv-bench`` and ``bench/.cache``, and only
when somebody asked for them.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

__all__ = [
    "CACHE",
    "DEBIAN",
    "first_line",
    "module_version",
    "package_version",
    "program",
    "project_version",
    "python",
]

_ROOT = Path(__file__).parents[2]
_VENV = _ROOT / ".venv-bench"

CACHE = _ROOT / "bench" / ".cache"
"""``go/`` holds programs that Go has built, ``node/node_modules/`` packages, ``debian/`` unpacked ones."""

DEBIAN = (CACHE / "debian", Path("/"))
"""Roots under which a file of a Debian package may stand, ours first."""


def python() -> str:
    """Return the interpreter that the servers written in Python run on."""
    return str(_VENV / "bin" / "python")


def package_version(name: str) -> str | None:
    """Return the version of a Python package in ``.venv-bench``, or None when it is not there."""
    for folder in _VENV.glob("lib/python*/site-packages"):
        for found in distributions(name=name, path=[str(folder)]):
            return found.version
    return None


def project_version(name: str) -> str:
    """Return the version of a package that the project itself runs on; empty when it is not there."""
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return ""


def program(name: str) -> Path | None:
    """Return the program of that name: what Go built, what Debian packs, what is on the path."""
    places = [CACHE / "go" / name, *(root / "usr/sbin" / name for root in DEBIAN)]
    if on_path := shutil.which(name):
        places.append(Path(on_path))
    return next((place for place in places if place.is_file()), None)


def first_line(command: Sequence[str]) -> str:
    """Return the first line that a command says, whether well or as an error; empty when it says nothing."""
    return next(iter(_lines(command)), "")


def module_version(binary: str) -> str:
    """Return the version of the main module of a program built by Go; empty when Go is not there."""
    for line in _lines(["go", "version", "-m", binary]):
        words = line.split()
        if words[0] == "mod":
            return f"{Path(binary).name} {words[2]}"
    return ""


def _lines(command: Sequence[str]) -> list[str]:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        found = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return (found.stdout + found.stderr).strip().splitlines()
    return []
