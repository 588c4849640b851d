"""Looks for a seed that fails and says how to replay it: ``python -m tests.simulator.judging SEED …``."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import structlog

from .plan import draw
from .scenario import MEMBERS, failure, shrink

__all__ = ["first_failure"]


def first_failure(seeds: Iterable[int]) -> str | None:
    """Return a report of the first of these seeds that breaks a promise, shrunk; None when all are kept."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    for seed in seeds:
        steps = draw(seed, MEMBERS)
        wrong = failure(seed, steps)
        if wrong is not None:
            needed = "\n  ".join(map(str, shrink(seed, steps, wrong)))
            return (
                f"seed {seed}: {wrong}\nneeded of its steps:\n  {needed}\nreplay: make simulate SEED={seed}"
            )
    return None


if __name__ == "__main__":
    if (report := first_failure(map(int, sys.argv[1:]))) is not None:
        sys.exit(report)
    print("all promises kept")
