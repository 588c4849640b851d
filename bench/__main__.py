"""``python -m bench [PART ...]``: measure, print, and keep the results as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from . import report
from .machine import Cores, about, probe
from .peers.base import Peer
from .peers.catalogue import APART, FIRST, every_peer
from .rounds import Round, Skip, Workload
from .tables import table
from .toolchain import MissingCompiler, built
from .workloads import FULL, PARTS, QUICK

QUICK_SECONDS = 285
"""After so long a quick run starts no further round."""


def main() -> int:
    """Run what the command line asks for; return the exit status.

    0: measured. 1: rounds of sealcast failed. 2: it could not be measured here.
    """
    options = _options()
    err = Console(stderr=True)
    try:
        for program in ("generator", "anchor", "probe"):
            built(program)
    except (MissingCompiler, RuntimeError) as error:
        err.print(f"bench: {error}", style="red", highlight=False)
        return 2
    peers = every_peer()
    unknown = [name for name in options.peers or () if name not in peers]
    if unknown:
        err.print(f"bench: no peer {unknown[0]!r}; there are {', '.join(peers)}", highlight=False)
        return 2
    return Run(options, peers, err).go()


class Run:
    """One run of the benchmark: the machine, all rounds, and what could not be run."""

    def __init__(self, options: argparse.Namespace, peers: dict[str, Peer], err: Console) -> None:
        self._options = options
        self._scale = replace(QUICK if options.quick else FULL)
        if options.rounds:
            self._scale = replace(self._scale, rounds=options.rounds, sweep_rounds=options.rounds)
        self._peers = peers
        self._cores = Cores.of_this_machine()
        self._out = Console(width=None if sys.stdout.isatty() else 200)
        self._err = err
        self._end = time.monotonic() + QUICK_SECONDS if options.quick else float("inf")
        self._rounds: list[Round] = []
        self._missing = {name: why for name, peer in peers.items() if (why := peer.missing())}

    def go(self) -> int:
        """Measure everything; print a table after each workload."""
        self._cores.take_generators()
        machine = about(self._cores) | {"date": datetime.now(UTC).isoformat(timespec="seconds")}
        before = probe(self._cores)
        self._out.print("  ".join(f"{key}: {value}" for key, value in machine.items()), highlight=False)
        for name, why in self._missing.items():
            self._out.print(f"skipped {name}: {why}", style="yellow", highlight=False)
        start = time.monotonic()
        for part in self._options.parts or PARTS:
            for workload in PARTS[part](self._scale):
                self._measure(part, workload)
        after = probe(self._cores)
        for name in before:
            self._out.print(f"{name}: {before[name]:,.0f} before, {after[name]:,.0f} after", highlight=False)
        self._out.print(f"{len(self._rounds)} rounds in {time.monotonic() - start:.0f} s", highlight=False)
        results = {
            "machine": machine,
            "probe": {"before": before, "after": after},
            "timing": vars(self._scale.timing) | {"rounds": self._scale.rounds, "quick": self._scale.quick},
            "peers": {name: self._peers[name].note for name in dict.fromkeys(r.peer for r in self._rounds)},
            "missing": self._missing,
            "rounds": [round_.row() for round_ in self._rounds],
        }
        self._keep(results)
        bad = sum(r.peer.startswith("sealcast") and not r.good for r in self._rounds)
        if bad:
            self._err.print(f"bench: {bad} rounds of sealcast failed", style="red", highlight=False)
        return 1 if bad else 0

    def _keep(self, results: dict[str, Any]) -> None:
        if not self._options.json:
            return
        path: Path = self._options.json
        path.write_text(json.dumps(results, indent=1) + "\n")
        pictures = report.draw(results, path.with_suffix(""))
        for kept in (path, *pictures):
            self._err.print(f"wrote {kept}", highlight=False)

    def _measure(self, part: str, workload: Workload) -> None:
        rounds: list[Round] = []
        left_out: dict[str, str] = {}
        names = self._compared(workload)
        count = self._scale.sweep_rounds if part == "sweep" else self._scale.rounds
        for number in range(count):
            for name in names:
                if name in left_out:
                    continue
                if time.monotonic() > self._end:
                    left_out[name] = f"no time left after {QUICK_SECONDS} s"
                    continue
                self._err.print(
                    f"{workload.name}  {name}  {number + 1}/{count}", style="dim", highlight=False
                )
                try:
                    rounds.append(self._round(part, workload, name, number))
                except Skip as reason:
                    left_out[name] = str(reason)
        self._rounds += rounds
        if rounds:
            self._out.print(table(workload, rounds, {name: self._peers[name].note for name in names}))
        for name, why in left_out.items():
            self._out.print(f"{workload.name}: skipped {name}: {why}", style="yellow", highlight=False)

    def _compared(self, workload: Workload) -> Sequence[str]:
        wanted = self._options.peers or (workload.peers or [n for n in self._peers if n not in APART])
        return [
            name
            for name in self._peers
            if name in wanted and name not in self._missing and name in (workload.peers or self._peers)
        ]

    def _round(self, part: str, workload: Workload, name: str, number: int) -> Round:
        try:
            found = workload.run(self._peers[name], self._cores)
        except (RuntimeError, OSError) as error:
            return Round(part, workload.name, name, number, failed=str(error) or type(error).__name__)
        return Round(part, workload.name, name, number, found.values, found.faults, found.remarks)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measure the relay and its peers.")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; without one: all of them"
    )
    parser.add_argument("--quick", action="store_true", help="everything small, in less than five minutes")
    parser.add_argument(
        "--peers",
        type=lambda text: text.split(","),
        help=f"only these, separated by commas, for example {','.join(FIRST)}",
    )
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each peer")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results, and draw them beside it")
    options = parser.parse_args()
    for part in options.parts:
        if part not in PARTS:
            parser.error(f"no part {part!r}; there are {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
