"""What the sums of a load test come to: whether it passed, and whether it measured the relay at all."""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Plan
from .tally import Totals

__all__ = ["Verdict", "judge"]

_BUSY = 0.9
"""The share of a core from which a generator process counts as the limit."""
_LATE = 20_000
"""Microseconds: a generator that sends so late at p99 measures itself."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The end of a test."""

    expected: int
    """Deliveries that follow from what was accepted."""
    missing: int
    problems: tuple[str, ...]
    """Why it failed, one sentence each; none when it passed."""
    limit: str | None
    """Why the generator, and not the relay, was the limit; None when it was not."""


def judge(plan: Plan, totals: Totals) -> Verdict:
    """Say what came of it."""
    expected = totals.accepted * plan.copies
    missing = max(expected - totals.received, 0)
    problems = []
    if totals.joined < plan.members:
        causes = "; ".join(f"{text} ({count} times)" for text, count in totals.join_failures.items())
        problems.append(
            f"{plan.members - totals.joined} of {plan.members} members could not join: {causes or 'no time'}"
        )
    if missing:
        told = sum(totals.dropped.values()) + totals.unopened
        problems.append(
            f"{missing} of {expected} deliveries are missing; their receivers were told of {told} of them"
        )
    if totals.doubled:
        problems.append(f"{totals.doubled} deliveries came twice or out of order")
    if totals.strange:
        problems.append(f"{totals.strange} deliveries were not what was sent")
    if totals.lost:
        problems.append(f"{totals.lost} connections broke")
    if not totals.accepted and not problems:
        problems.append("nothing was sent")
    return Verdict(expected, missing, tuple(problems), _limit(totals))


def _limit(totals: Totals) -> str | None:
    late = totals.lateness.quantile(0.99)
    if totals.cpu > _BUSY:
        return (
            f"a generator process used {totals.cpu:.0%} of a core: add --processes, or take another machine"
        )
    if late > _LATE:
        return (
            f"1 % of what was sent left more than {late / 1000:.0f} ms late: the generator's machine is busy"
        )
    if totals.refused:
        return f"{totals.refused} were not sent, because the connection or this machine did not keep up"
    return None
