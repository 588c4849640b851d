"""A claim on a file: one process has it, by a lock on another file beside it that ends with the process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["Claim", "Claimed"]


class Claimed(Exception):
    """Somebody else has it."""


class Claim:
    """The right to use a file alone, among all who ask for it this way.

    Args:
        path: the file; what is locked is ``path.lock``, which is made and stays.

    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}.lock")
        self._descriptor = -1

    def take(self) -> None:
        """Claim the file.

        Raises:
            Claimed: another process, or another part of this one, has it.
            OSError: the lock file cannot be made.

        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have it; without a claim, nothing happens."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)  # which ends the lock, on every system


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:  # it says "permission denied", and has no other reason for a file that is open
            raise Claimed from None
    else:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Claimed from None
