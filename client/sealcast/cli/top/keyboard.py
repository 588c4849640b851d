"""Keys while a screen is shown: typed without echo, and waited for no longer than until the next picture."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator

__all__ = ["Keyboard", "keyboard"]


class Keyboard:
    """Waits for keys.

    Args:
        source: a file descriptor of a terminal; None where nobody can type.

    """

    def __init__(self, source: int | None) -> None:
        self._source = source

    def pressed(self, wanted: bytes, seconds: float) -> bool:
        """Wait so long; return at once, with True, when one of these keys was pressed."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._source is None:
                time.sleep(left)
                return False
            ready, _, _ = select.select([self._source], [], [], left)
            if not ready:
                return False
            typed = os.read(self._source, 64)
            if not typed:  # the terminal is gone
                return True
            if set(typed) & set(wanted):
                return True
        return False


@contextlib.contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Take the terminal's keys one by one, and give it back as it was; Ctrl-C stays a signal."""
    try:
        import termios
    except ImportError:
        yield Keyboard(None)
        return
    if not sys.stdin.isatty():
        yield Keyboard(None)
        return
    source = sys.stdin.fileno()
    before = termios.tcgetattr(source)
    settings = termios.tcgetattr(source)
    settings[3] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(source, termios.TCSADRAIN, settings)
    try:
        yield Keyboard(source)
    finally:
        termios.tcsetattr(source, termios.TCSADRAIN, before)
