"""QR codes in the terminal: two rows of modules to a line of half blocks.

Light modules are the drawn ones, as a terminal is dark more often than not; where colours are allowed
both are set, so that the code is right on a light one too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final, TextIO

from .failure import Failure

__all__ = ["drawn", "print_qr", "qr_lines"]

_QUIET: Final = 4
"""Modules of light around the code; the standard asks for four."""

_BLOCKS: Final = {(0, 0): "█", (0, 1): "▀", (1, 0): "▄", (1, 1): " "}
"""By the upper and the lower module; 1 is dark."""

_WHITE_ON_BLACK: Final = "\x1b[97;40m"
_RESET: Final = "\x1b[0m"


def qr_lines(text: str) -> list[str]:
    """Return a QR code that holds *text*, with its quiet zone, as lines without colour.

    Digits alone are stored as digits, so 60 of them make a code of 25 by 25 modules: 33 columns, 17 lines.
    """
    import segno

    code = segno.make_qr(text, error="m")
    rows = [[1 if module else 0 for module in row] for row in code.matrix_iter(border=_QUIET)]
    rows.append([1] * len(rows[0]))  # their number is odd; nothing is drawn past the quiet zone
    return [
        "".join(_BLOCKS[pair] for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(rows[::2], rows[1::2], strict=True)
    ]


def drawn(text: str, output: TextIO, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Return the lines of a QR code as *output* can show them, in black and white if that is a terminal.

    Raises Failure where the output's encoding has no blocks.
    """
    try:
        "".join(_BLOCKS.values()).encode(output.encoding or "ascii")
    except UnicodeEncodeError:
        raise Failure("this output has no characters to draw a QR code with", "PYTHONUTF8=1") from None
    plain = not output.isatty() or environment.get("TERM") == "dumb" or bool(environment.get("NO_COLOR"))
    return [line if plain else f"{_WHITE_ON_BLACK}{line}{_RESET}" for line in qr_lines(text)]


def print_qr(text: str, *, output: TextIO | None = None, environment: Mapping[str, str] = os.environ) -> None:
    """Print the QR code of *text* on standard output, in black and white if that is a terminal.

    Raises Failure where the output's encoding has no blocks; nothing is printed then.
    """
    stream = sys.stdout if output is None else output
    for line in drawn(text, stream, environment):
        print(line, file=stream)
