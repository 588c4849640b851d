"""Where a chat happens: a terminal with a line being typed at its foot, or plain input and output."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol

from .line_editor import LineEditor
from .stdin import Input, lines
from .stdout import Output

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["Terminal", "open_terminal"]

_CLEAR_LINE = "\r\x1b[K"


class Terminal(Protocol):
    """What a chat needs."""

    echoes: bool
    """Whether what was typed is gone from sight once it is entered, so that it should be shown again."""

    async def show(self, line: str) -> None:
        """Print a line, which is safe to print."""
        ...

    def entered(self) -> AsyncIterator[str]:
        """Yield lines as they are entered, until the input ends."""
        ...


@contextlib.asynccontextmanager
async def open_terminal(line_max: int) -> AsyncIterator[Terminal]:
    """Take standard input and output, and give them back as they were.

    Args:
        line_max: the longest line in bytes, where the input is no terminal.

    """
    termios = _termios()
    if termios is None:
        yield _Plain(line_max)
        return
    screen = _Screen(termios)
    try:
        yield screen
    finally:
        screen.close()


def _termios() -> ModuleType | None:
    """Return the module that can switch the terminal's line editing off, if there is such a terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") == "dumb":
        return None
    try:
        import termios
    except ImportError:
        return None
    return termios


class _Plain:
    """Lines in, lines out: pipes, files, and terminals that can do nothing else."""

    echoes = False

    def __init__(self, line_max: int) -> None:
        self._output = Output()
        self._line_max = line_max

    async def show(self, line: str) -> None:
        await self._output.write(f"{line}\n".encode())

    async def entered(self) -> AsyncIterator[str]:
        async for line in lines(Input(), self._line_max):
            yield line.decode(errors="replace").rstrip("\r")


class _Screen:
    """A terminal whose last row is the line being typed; lines that are shown appear above it."""

    echoes = True

    def __init__(self, termios: Any) -> None:
        from rich.cells import cell_len

        self._termios = termios
        self._width = cell_len
        self._editor = LineEditor()
        self._output = Output()
        self._input = sys.stdin.fileno()
        self._before = termios.tcgetattr(self._input)
        self._take_over()
        loop = asyncio.get_running_loop()
        # After `fg` the shell may have given the terminal back with its own settings.
        loop.add_signal_handler(signal.SIGCONT, self._take_over)

    def close(self) -> None:
        """Give the terminal back."""
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCONT)
        self._termios.tcsetattr(self._input, self._termios.TCSADRAIN, self._before)
        os.write(sys.stdout.fileno(), _CLEAR_LINE.encode())

    async def show(self, line: str) -> None:
        await self._output.write(f"{_CLEAR_LINE}{line}\n{self._row()}".encode(errors="replace"))

    async def entered(self) -> AsyncIterator[str]:
        source = Input()
        while data := await source.read(4096):
            for line in self._editor.feed(data):
                yield line
            if self._editor.ended:
                return
            await self._output.write(f"{_CLEAR_LINE}{self._row()}".encode(errors="replace"))

    def _row(self) -> str:
        return self._editor.view(shutil.get_terminal_size().columns, self._width)

    def _take_over(self) -> None:
        """Have keys as they are typed, not echoed; Ctrl-C and Ctrl-Z stay signals."""
        settings = self._termios.tcgetattr(self._input)
        settings[3] &= ~(self._termios.ICANON | self._termios.ECHO)
        self._termios.tcsetattr(self._input, self._termios.TCSADRAIN, settings)
