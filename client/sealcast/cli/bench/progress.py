"""The progress bar of a load test, on standard error where that is a terminal."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from .plan import Plan

__all__ = ["Progress"]


class Progress:
    """Shows how many have joined, and then how far the test is.

    Args:
        plan: the test.
        shown: whether anything is shown at all.

    """

    def __init__(self, plan: Plan, *, shown: bool) -> None:
        self._plan = plan
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
        )
        self._joins = self._bars.add_task("joining", total=plan.members, text="")
        self._sends = self._bars.add_task("measuring", total=plan.warmup + plan.duration, text="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, *, joined: int, received: int, seconds: float) -> None:
        """Show the newest numbers."""
        self._bars.update(self._joins, completed=joined, text=f"{joined:,} of {self._plan.members:,}")
        text = "warming up" if seconds < self._plan.warmup else f"{received:,} received"
        self._bars.update(self._sends, completed=seconds, text=text if seconds else "")
