"""The figures as people see them: one screen, the most important on top, the busiest apps below."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..output import printable
from .figures import Figures

__all__ = ["amount", "drawn", "duration", "size", "span"]

_NOTHING: Final = "–"
_SLOW_TURN: Final = 0.05
"""Seconds over which a turn is shown in red: people hear it."""


def drawn(url: str, found: Figures | None, away: str, rows: int) -> RenderableType:
    """Return the screen: *found* as last seen, *away* when the relay does not answer now."""
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append("sealcast top  ", "bold")
    head.append(printable(url))
    if away:
        head.append(f"   away: {printable(away)}; asking again", "bold red")
    if found is None:
        return Group(head, Text("\nq ends it", "dim"))
    if not away:
        head.append("   ready" if found.ready else "   NOT READY", "green" if found.ready else "bold red")
    about = f"{found.node}  version {found.version}  up {duration(found.uptime)}"
    parts: list[RenderableType] = [head, Text(printable(about), "dim", no_wrap=True), Text(), _now(found)]
    for title, rates in (
        ("drops", found.drops),
        ("refusals", found.refusals),
        ("tokens", found.tokens),
        ("ended", found.ended),
    ):
        parts.append(_reasons(title, rates))
    parts += [Text(problem, "bold red") for problem in _problems(found)]
    parts.append(Text())
    parts.append(_apps(found, max(rows - len(parts) - 6, 3)))
    return Group(*parts)


def _now(found: Figures) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    for _ in range(3):
        table.add_column(style="dim", no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
    cpu = _NOTHING if found.cpu is None else f"{found.cpu:.0%}"
    turn = Text(f"{span(found.turn_p50)} / {span(found.turn_p99)}")
    if (found.turn_p99 or 0.0) > _SLOW_TURN:
        turn.stylize("bold red")
    drops, refusals = amount(sum(found.drops.values())), amount(sum(found.refusals.values()))
    rows: tuple[tuple[str | Text, ...], ...] = (
        ("connections", amount(found.connections), "frames/s", amount(found.frames), "turn p50/p99", turn),
        (
            *("channels", amount(found.channels), "messages/s", amount(found.messages)),
            *("loop lag p99", span(found.lag_p99)),
        ),
        ("members", amount(found.members), "deliveries/s", amount(found.deliveries), "CPU", cpu),
        ("joins/s", amount(found.joins), "bytes/s", size(found.bytes), "memory", size(found.memory)),
        ("kept", amount(found.kept), "drops/s", drops, "refusals/s", refusals),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _reasons(title: str, rates: Mapping[str, float]) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{title + '/s':<12}", "dim")
    line.append("   ".join(f"{printable(name)} {amount(rate)}" for name, rate in rates.items()) or _NOTHING)
    return line


def _problems(found: Figures) -> list[str]:
    said = []
    if found.draining:
        said.append("it is going down")
    if found.database is False:
        said.append("the database does not answer")
    if found.storage_failing:
        said.append("messages cannot be stored")
    return said


def _apps(found: Figures, most: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("app", no_wrap=True, overflow="ellipsis")
    for heading in ("conns", "channels", "members", "recv/s", "bytes/s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in found.apps[:most]:
        numbers = (row.connections, row.channels, row.members, row.received)
        table.add_row(printable(row.app), *map(amount, numbers), size(row.bytes))
    return table


def amount(value: float) -> str:
    """Return a number in four or five characters."""
    for limit, divisor, unit in ((1e4, 1, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (inf, 1e9, "G")):
        if value < limit:
            scaled = value / divisor
            short = f"{scaled:.1f}" if scaled < 100 and scaled != int(scaled) else f"{scaled:,.0f}"
            return f"{short}{unit}"
    return _NOTHING


def size(value: float | None) -> str:
    """Return bytes in a unit that is easy to read."""
    if value is None:
        return _NOTHING
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def span(seconds: float | None) -> str:
    """Return a short time."""
    if seconds is None:
        return _NOTHING
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def duration(seconds: float | None) -> str:
    """Return a long time in its two largest units."""
    if seconds is None:
        return _NOTHING
    left = int(seconds)
    days, hours, minutes = left // 86_400, left // 3600 % 24, left // 60 % 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {left % 60} s"
