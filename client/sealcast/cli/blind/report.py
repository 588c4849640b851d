"""What is shown: progress while it runs, the table at its end, or the same as JSON."""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from types import TracebackType
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sealcast.protocol.version import __version__

from ..output import printable
from .checks import NOTES, Check, Part, Verdict

__all__ = ["Shown", "print_json", "print_table", "summary"]

_WIDTH: Final = 140
_STYLES: Final = {Verdict.HOLDS: "green", Verdict.LEAK: "bold red", Verdict.BROKEN: "bold yellow"}


class Shown:
    """Progress on standard error, if that is a terminal; a context manager."""

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        hidden = quiet or not console.is_terminal
        self._progress = Progress(*columns, console=console, transient=True, disable=hidden)
        self._task: TaskID | None = None

    def __enter__(self) -> Shown:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def phase(self, name: str) -> None:
        """Begin a new bar, which moves back and forth until ``share`` is called."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(name, total=None)

    def share(self, done: float) -> None:
        """Show which share is done, 0 to 1."""
        if self._task is not None:
            self._progress.update(self._task, total=1.0, completed=done)


def print_table(checks: list[Check], parts: list[Part], seconds: float) -> None:
    """Print who took part, the checks, what was found, the notes, and one line that says it all."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(_parts(parts))
    table = _table()
    for name in ("check", "searched", "candidates", "hits", "control", "verdict"):
        table.add_column(name, justify="right" if name in ("candidates", "hits") else "left", overflow="fold")
    for check in checks:
        table.add_row(
            Text(check.claim),
            Text(check.searched),
            f"{check.candidates:,}",
            f"{check.hits:,}",
            Text(check.control),
            Text(str(check.verdict), style=_STYLES[check.verdict]),
        )
    console.print(table)
    for check in checks:
        for finding in check.findings:
            line = Text(printable(f"{check.verdict}: {check.name}: {finding}"), _STYLES[check.verdict])
            console.print(line, soft_wrap=True)
    for number, note in enumerate(NOTES, 1):
        console.print(Text(f"{number}. {note}", style="dim"))
    console.print(Text(f"\n{summary(checks)} ({seconds:.0f} s)", style="bold"))


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def _parts(parts: list[Part]) -> Table:
    table = _table()
    for name in ("keys", "cipher", "epoch.step"):
        table.add_column(name)
    for name in ("captured frames opened", "wraps opened", "secrets searched for"):
        table.add_column(name, justify="right")
    for part in parts:
        table.add_row(
            Text(part.name),
            Text(part.cipher),
            " ".join(part.turns),
            f"{part.opened:,} of {part.frames:,}",
            f"{part.wraps_opened} of {part.wraps}" if part.wraps else "",
            f"{part.secrets:,}",
        )
    return table


def print_json(
    checks: list[Check], parts: list[Part], *, seconds: float, stride: int, sabotage: bool
) -> None:
    """Print the same for programs."""
    report: dict[str, Any] = {
        "holds": all(check.verdict is Verdict.HOLDS for check in checks),
        "summary": summary(checks),
        "version": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "seconds": round(seconds, 1),
        "stride": stride,
        "sabotage": sabotage,
        "key_providers": [dataclasses.asdict(part) for part in parts],
        "checks": [dataclasses.asdict(check) for check in checks],
        "notes": NOTES,
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


def summary(checks: list[Check]) -> str:
    """Return the outcome in one line."""
    leaks = sum(check.verdict is Verdict.LEAK for check in checks)
    broken = sum(check.verdict is Verdict.BROKEN for check in checks)
    if leaks:
        return f"NOT BLIND: {leaks} of {len(checks)} checks found what the relay must not have"
    if broken:
        return f"NOT PROVED: {broken} of {len(checks)} checks did not work, as said above"
    return f"The relay could not read: all {len(checks)} checks hold"
