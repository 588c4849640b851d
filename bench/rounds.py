"""What a round yields, and what many rounds say together."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from .machine import Cores
from .peers.base import Peer

__all__ = ["BASE", "Column", "Found", "Round", "Skip", "Spread", "Workload", "ratios", "spread"]

BASE = "anchor-coalescing"
"""Whose figures the ratio columns divide by."""

_LIMIT = 0.9
_NOISE = 0.05


class Skip(Exception):
    """This peer cannot do this workload here; the text says why."""


@dataclass
class Found:
    """What one round of one workload found of one peer."""

    values: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    """Whatever was wrong with it, by ``load.FAULTS``; anything here fails the round."""

    @property
    def remarks(self) -> list[str]:
        """What a reader must know before believing the figures."""
        said = []
        if self.values.get("generator_utilisation", 0) > _LIMIT:
            said.append("the generator was the limit")
        if max(self.values.get("generator_waited", 0), self.values.get("server_waited", 0)) > _NOISE:
            said.append("other programs took its cores")
        return said


@dataclass
class Round:
    """One round, as it stands in the JSON."""

    part: str
    workload: str
    peer: str
    number: int
    values: dict[str, float] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    failed: str = ""
    """Why there are no values."""

    @property
    def good(self) -> bool:
        """Whether its values count."""
        return not self.faults and not self.failed

    def row(self) -> dict[str, Any]:
        """Return it for the JSON, figures rounded to what they are worth."""
        row = asdict(self)
        row["values"] = {key: float(f"{value:.6g}") for key, value in self.values.items()}
        return {key: value for key, value in row.items() if value not in ("", [], {})}


@dataclass(frozen=True)
class Column:
    """One figure of a workload's table."""

    key: str
    heading: str
    digits: int = 0
    scale: float = 1.0
    ratio: bool = False
    """Followed by its ratio to the anchor's, round by round."""


class Workload(Protocol):
    """Something to measure, the same for every peer."""

    @property
    def name(self) -> str:
        """What the JSON calls it, sizes included."""
        ...

    @property
    def title(self) -> str:
        """What it does, for the table."""
        ...

    @property
    def columns(self) -> Sequence[Column]:
        """What the table shows."""
        ...

    @property
    def peers(self) -> tuple[str, ...]:
        """The only peers that it is for; empty: all."""
        ...

    def run(self, peer: Peer, cores: Cores) -> Found:
        """Start the peer, measure, stop it.

        Raises:
            Skip: not with this peer, or not here.
            RuntimeError: the peer or the generator did not do its part.
            OSError: likewise.

        """
        ...


@dataclass(frozen=True)
class Spread:
    """The median of several rounds with the least and the greatest."""

    median: float
    least: float
    most: float


def spread(values: Iterable[float]) -> Spread | None:
    """Return the spread of some values; None when there are none."""
    known = list(values)
    return Spread(statistics.median(known), min(known), max(known)) if known else None


def ratios(rounds: Iterable[Round], peer: str, key: str, base: str = BASE) -> Spread | None:
    """Compare a peer with the base in each round that both of them did well."""
    values: dict[str, dict[int, float]] = {peer: {}, base: {}}
    for round_ in rounds:
        if round_.peer in values and round_.good and key in round_.values:
            values[round_.peer][round_.number] = round_.values[key]
    both = values[peer].keys() & values[base].keys()
    return spread(values[peer][n] / values[base][n] for n in both if values[base][n])
