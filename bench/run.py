"""The benchmarks in one run: ``make bench``. Interleaved rounds, medians with their spread, JSON on request.

What is compared does not do the same work: sealcast verifies tokens, checks rights and counters and counts
everything; the peer relays bytes. Timings are ratios of one run on one machine and gate no test.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import fanout
import idle
from probe import machine, send_cost
from rich.console import Console
from rich.table import Table

SERVERS = ("sealcast", "websockets")
_SHOWN = "median \\[least – most]"


def spread(values: Sequence[float], digits: int) -> str:
    """Show a median with the least and the greatest value."""
    return f"{statistics.median(values):,.{digits}f}  [{min(values):,.{digits}f} – {max(values):,.{digits}f}]"


def run_fanout(rounds: int, seconds: float, receivers: int, size: int, window: int) -> list[fanout.Result]:
    """Run all servers in turn, several times."""
    return [fanout.run(name, receivers, size, window, seconds) for _ in range(rounds) for name in SERVERS]


def fanout_table(results: list[fanout.Result]) -> Table:
    """Show the fan-out rounds, a row a server."""
    first = results[0]
    table = Table(
        title=f"fan-out 1 → {first.receivers}, {first.size} B frames, window {first.window}; {_SHOWN}"
    )
    for heading in (
        "server",
        "deliveries/s",
        "server µs/delivery",
        "server cores",
        "generator cores",
        "× websockets",
    ):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    base = statistics.median(r.per_second for r in results if r.server == "websockets")
    for name in SERVERS:
        rows = [r for r in results if r.server == name]
        table.add_row(
            name,
            spread([r.per_second for r in rows], 0),
            spread([r.microseconds for r in rows], 2),
            f"{statistics.median(r.server_cpu / r.seconds for r in rows):.2f}",
            f"{statistics.median(r.utilisation for r in rows):.2f}",
            f"{statistics.median(r.per_second for r in rows) / base:.1f}",
        )
    return table


def idle_table(results: list[idle.Result]) -> Table:
    """Show the idle rounds, a row a server."""
    table = Table(title=f"{results[0].connections} joined idle connections; {_SHOWN}")
    for heading in ("server", "RSS bytes/connection", "CPU µs/s/connection", "kernel bytes/socket"):
        table.add_column(heading, justify="left" if heading == "server" else "right")
    for name in SERVERS:
        rows = [r for r in results if r.server == name]
        table.add_row(
            name,
            spread([r.rss_per_connection for r in rows], 0),
            spread([r.cpu_us_per_connection_second for r in rows], 2),
            spread([r.kernel_per_connection for r in rows], 0),
        )
    return table


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each server (default 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="measured seconds of a round (default 3)")
    parser.add_argument("--receivers", type=int, default=100)
    parser.add_argument("--size", type=int, default=200, help="bytes of a frame, envelope included")
    parser.add_argument("--window", type=int, default=256, help="frames in flight to each receiver")
    parser.add_argument("--connections", type=int, default=2000, help="idle connections")
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    options = parser.parse_args()

    about = machine() | {"date": datetime.now(UTC).isoformat(timespec="seconds")}
    console = Console(width=None if sys.stdout.isatty() else 140)
    console.print("  ".join(f"{key} {value}" for key, value in about.items()), highlight=False)
    fan = run_fanout(options.rounds, options.seconds, options.receivers, options.size, options.window)
    console.print(fanout_table(fan))
    still = [idle.run(name, options.connections) for _ in range(min(options.rounds, 3)) for name in SERVERS]
    console.print(idle_table(still))
    about["send_us_after"] = round(send_cost(), 2)
    console.print(
        f"one 200 B send() on loopback: {about['send_us']} µs before, {about['send_us_after']} µs after. "
        "Sealcast writes once per receiver and loop turn, the peer once per receiver and frame",
        highlight=False,
    )
    if options.json:
        rows = {"machine": about, "fanout": [r.row() for r in fan], "idle": [r.row() for r in still]}
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
