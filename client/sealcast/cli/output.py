"""What is printed: text made safe for a terminal."""

from __future__ import annotations

import sys
import unicodedata
from typing import Final

__all__ = ["note", "printable"]

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that act instead of being seen, or that are no characters."""

_KEPT: Final = frozenset("\t\u200c\u200d")
"""Of those, what text needs: tab, and the joiners of many scripts and emoji."""


def printable(text: str) -> str:
    r"""Return *text* with everything in it that could act on a terminal written out, as ``\x1b``.

    Escape and control characters, line breaks, and the marks that change the direction of text: what
    a member says can neither move the cursor nor look like something that another one said.
    """
    return "".join(char if _seen(char) else _written(char) for char in text)


def _seen(char: str) -> bool:
    return char in _KEPT or unicodedata.category(char) not in _UNSEEN


def _written(char: str) -> str:
    code = ord(char)
    if char == "\n":
        return "\\n"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def note(text: str) -> None:
    """Tell the person at the terminal something that is not the command's output."""
    print(f"sealcast: {printable(text)}", file=sys.stderr, flush=True)
