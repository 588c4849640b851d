"""The readable side of the results: one table for each workload, one row for each peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from .rounds import BASE, Column, Round, Spread, Workload, ratios, spread

__all__ = ["table"]


def table(workload: Workload, rounds: Sequence[Round], notes: Mapping[str, str]) -> Table:
    """Show what the rounds of a workload say.

    Args:
        workload: what was measured.
        rounds: its rounds, of all peers.
        notes: what differs, by peer; shown under the table for those in it.

    """
    made = Table(title=f"[bold]{workload.name}[/bold]  {workload.title}", title_justify="left")
    made.add_column("server")
    for column in workload.columns:
        made.add_column(column.heading, justify="right")
        if column.ratio:
            made.add_column(f"× {BASE}", justify="right")
    made.add_column("rounds", justify="right")
    made.add_column("remarks")
    peers = list(dict.fromkeys(round_.peer for round_ in rounds))
    for peer in peers:
        made.add_row(peer, *_cells(workload, rounds, peer))
    made.caption = "\n".join(f"{peer}: {notes[peer]}" for peer in peers if peer in notes)
    made.caption_justify = "left"
    return made


def _cells(workload: Workload, rounds: Sequence[Round], peer: str) -> list[str]:
    own = [round_ for round_ in rounds if round_.peer == peer]
    good = [round_ for round_ in own if round_.good]
    # Rounds that failed show what they found when there is nothing better, and are marked for it.
    shown = good or [round_ for round_ in own if round_.values]
    cells = []
    for column in workload.columns:
        cells.append(_text(spread(r.values[column.key] for r in shown if column.key in r.values), column))
        if column.ratio:
            ratio = ratios(rounds, peer, column.key)
            cells.append(f"{ratio.median:.2f}" if ratio and peer != BASE else "")
    return [*cells, f"{len(good)}/{len(own)}", "; ".join(_remarks(own))]


def _text(value: Spread | None, column: Column) -> str:
    if value is None:
        return "–"
    median, least, most = (x * column.scale for x in (value.median, value.least, value.most))
    shown = f"{median:,.{column.digits}f}"
    if least == most:
        return shown
    return f"{shown}\n{least:,.{column.digits}f} – {most:,.{column.digits}f}"


def _remarks(rounds: Sequence[Round]) -> list[str]:
    """Say what was wrong and what limits the figures, with the number of rounds that it holds for."""
    counted: dict[str, int] = {}
    for round_ in rounds:
        said = list(round_.remarks)
        if round_.faults:
            said.append(
                "[red]failed:[/red] " + ", ".join(f"{name} {n:,}" for name, n in round_.faults.items())
            )
        if round_.failed:
            said.append(f"[red]{round_.failed.partition(chr(10))[0]}[/red]")
        for text in said:
            counted[text] = counted.get(text, 0) + 1
    return [text if count == len(rounds) else f"{text} ({count})" for text, count in counted.items()]
