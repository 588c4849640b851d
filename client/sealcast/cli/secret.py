"""Secrets on the command line: from a flag, a file or the environment, and never in an error.

A flag is seen by every user who lists the processes, so each secret can come from a file (``-`` for
standard input) or from the environment instead.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .failure import Failure, Status
from .output import printable

__all__ = ["from_environment", "from_flags", "read_secret"]

_SIZE_MAX: Final = 16 * 1024


def from_flags(name: str, value: str | None, file: str | None) -> str | None:
    """Return what ``--{name}`` or ``--{name}-file`` says, None when neither is given.

    Raises Failure when both are given, or the file cannot be read.
    """
    if value is not None and file is not None:
        raise Failure(f"--{name} and --{name}-file say the same thing", "one of them", Status.USAGE)
    if file is not None:
        return read_secret(file)
    return value


def from_environment(variable: str, environment: Mapping[str, str]) -> str | None:
    """Return what *variable* holds, or the file that ``{variable}_FILE`` names; an empty one is unset.

    Raises Failure when both are set, or the file cannot be read.
    """
    value, file = environment.get(variable), environment.get(f"{variable}_FILE")
    if value and file:
        raise Failure(f"{variable} and {variable}_FILE are both set", "one of them", Status.USAGE)
    return read_secret(file) if file else value or None


def read_secret(path: str) -> str:
    """Return the text in a file, or in standard input for ``-``, without the space around it.

    Raises Failure when it cannot be read, is empty or is longer than a secret can be.
    """
    shown = "standard input" if path == "-" else printable(path)
    try:
        if path == "-":
            data = sys.stdin.buffer.read(_SIZE_MAX + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(_SIZE_MAX + 1)
    except OSError as error:
        raise Failure(f"{shown} cannot be read: {error.strerror}") from None
    text = data.decode(errors="replace").strip()
    if not text or len(data) > _SIZE_MAX:
        raise Failure(f"{shown} is {'empty' if not text else 'longer than any secret'}")
    return text
