"""Files for secrets: mode 0600, never half written, refused when others could read them.

The mode is checked on the open file, not on its name, so nothing can be swapped in between. Where
files have no such mode (Windows) their protection is left to the directory.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from sealcast.client.errors import PrivateFileRefused

__all__ = ["create_private", "read_private", "replace_private"]

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_NO_WAIT: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def read_private(path: str | os.PathLike[str], limit: int) -> bytes:
    """Return the content of a file that only its owner can read, of at most *limit* bytes.

    Raises:
        PrivateFileRefused: group or world may read or write it, it is no regular file, or it is longer.
        OSError: it cannot be opened or read.

    """
    # Without waiting: opening a named pipe would otherwise hang until somebody writes to it.
    with os.fdopen(os.open(path, os.O_RDONLY | _NO_WAIT), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise PrivateFileRefused("a file of secrets must be a regular file")
        if os.name == "posix" and status.st_mode & _OTHERS:
            raise PrivateFileRefused("others may read or change this file of secrets; chmod 600 it")
        data = file.read(limit + 1)
    if len(data) > limit:
        raise PrivateFileRefused(f"a file of secrets is longer than {limit} bytes")
    return data


def create_private(path: str | os.PathLike[str], data: bytes) -> None:
    """Write *data* to a new file with mode 0600. An existing file is never overwritten.

    Raises:
        FileExistsError: there is one; a key that is overwritten is lost.
        OSError: it cannot be written; nothing is left of it.

    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_WAIT, 0o600)
    try:
        _write(descriptor, data)
    except BaseException:
        os.unlink(path)
        raise


def replace_private(path: str | os.PathLike[str], data: bytes) -> None:
    """Write *data* in place of a file: readers see the old content or the new, never a part.

    Raises:
        OSError: it cannot be written; the old file stays.

    """
    target = Path(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)  # mode 0600
    try:
        _write(descriptor, data)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _write(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
