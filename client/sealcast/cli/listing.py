"""Lists of things as a table for people; what others wrote cannot act on the terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .output import printable

__all__ = ["moment", "print_json", "print_table"]


_WIDE: Final = 10_000


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under their headings; nothing at all is said to be nothing."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(_shown(cell))) for cell in row))
    if table.row_count:
        # For a program each row is one line, however long.
        width = None if sys.stdout.isatty() else _WIDE
        Console(highlight=False, soft_wrap=True, width=width).print(table)
    else:
        print("none")


def print_json(tree: Any) -> None:
    """Print for programs."""
    print(json.dumps(tree, indent=2))


def moment(seconds: float | None) -> str:
    """Return Unix seconds as a date and time of this place."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _shown(cell: Any) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return "" if cell is None else str(cell)
