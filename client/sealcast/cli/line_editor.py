"""A line that is being typed: bytes from a terminal in, finished lines out.

Pure. It exists because a chat has to take the typed line off the screen when somebody else's message
arrives, and put it back below, which the system's own line editing cannot. Keys: Enter, Backspace,
Ctrl-W (a word), Ctrl-U (all), Ctrl-D (on an empty line: the end). Everything else that is no character
is ignored.
"""

from __future__ import annotations

import codecs
import enum
from collections.abc import Callable
from typing import Final

from .output import printable

__all__ = ["PROMPT", "LineEditor"]

PROMPT: Final = "> "

_LINE_MAX: Final = 64 * 1024
"""Characters of the longest line; what is typed beyond is ignored."""


class _Escape(enum.Enum):
    """Where in an escape sequence, which a key such as an arrow sends, the input is."""

    NONE = enum.auto()
    BEGUN = enum.auto()
    PARAMETERS = enum.auto()
    ONE_MORE = enum.auto()


class LineEditor:
    """The line under the cursor, which stands at its end."""

    def __init__(self) -> None:
        self.text = ""
        """What has been typed since the last finished line."""
        self.ended = False
        """Whether Ctrl-D was typed on an empty line."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._escape = _Escape.NONE

    def feed(self, data: bytes) -> list[str]:
        """Take bytes as typed; return the lines that this has finished."""
        finished: list[str] = []
        for char in self._decoder.decode(data):
            if self.ended:
                break
            if self._escape is not _Escape.NONE or char == "\x1b":
                self._skip(char)
            elif char in "\r\n":
                finished.append(self.text)
                self.text = ""
            else:
                self._edit(char)
        return finished

    def view(self, columns: int, width: Callable[[str], int]) -> str:
        """Return prompt and line as one row of at most *columns*; of a longer line the end is seen.

        Args:
            columns: the width of the terminal.
            width: says how many columns a text takes.

        """
        shown = printable(self.text[-columns:]) if columns > 0 else ""
        while shown and width(PROMPT + shown) > columns - 1:  # the cursor needs a column too
            shown = shown[1:]
        return PROMPT + shown

    def _edit(self, char: str) -> None:
        if char in "\x7f\b":
            self.text = self.text[:-1]
        elif char == "\x15":
            self.text = ""
        elif char == "\x17":
            words = self.text.rstrip(" ")
            self.text = words[: words.rfind(" ") + 1]
        elif char == "\x04":
            self.ended = not self.text
        elif char == "\t":
            self._add(" ")
        elif char.isprintable() or printable(char) == char:
            self._add(char)

    def _add(self, char: str) -> None:
        if len(self.text) < _LINE_MAX:
            self.text += char

    def _skip(self, char: str) -> None:
        """Pass over a sequence: ESC and one character, ESC O and one, or ESC [ to a final character."""
        match self._escape:
            case _Escape.BEGUN if char == "[":
                self._escape = _Escape.PARAMETERS
            case _Escape.BEGUN if char == "O":
                self._escape = _Escape.ONE_MORE
            case _Escape.PARAMETERS if not "\x40" <= char <= "\x7e" and char >= " ":
                pass
            case _ if char == "\x1b":
                self._escape = _Escape.BEGUN
            case _:
                self._escape = _Escape.NONE
