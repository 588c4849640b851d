"""The result of a load test, for people: one row a role, a total, and what went wrong in words."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from .histogram import Histogram
from .plan import Plan
from .tally import Totals
from .verdict import Verdict

__all__ = ["show", "summary"]


def show(
    console: Console, plan: Plan, totals: Totals, verdict: Verdict, seconds: float, *, interrupted: bool
) -> None:
    """Print tables and verdict."""
    if totals.joined:
        console.print(_joins(totals))
        console.print(_roles(plan, totals, verdict, seconds))
    if interrupted:
        console.print("Interrupted: what was under way counts as missing.", style="yellow", highlight=False)
        return
    for problem in verdict.problems:
        console.print(f"FAILED: {problem}", style="red", highlight=False, soft_wrap=True)
    if verdict.limit is not None:
        text = f"The generator was the limit: {verdict.limit}."
        console.print(text, style="yellow", highlight=False, soft_wrap=True)
    if not verdict.problems:
        console.print(
            f"Everything that was accepted arrived: {totals.received:,} of {verdict.expected:,} deliveries.",
            highlight=False,
        )


def summary(plan: Plan, totals: Totals, verdict: Verdict, seconds: float) -> dict[str, object]:
    """Return all of it for machines; times in microseconds, rates per second."""
    return {
        "plan": plan.to_json(),
        "seconds": round(seconds, 3),
        "joins": {
            "joined": totals.joined,
            "failed": totals.join_failures,
            "per_second": _rate(totals.joined, totals.join_seconds),
            **_times(totals.joins),
        },
        "publishers": {
            "streams": plan.channels * plan.publishers,
            "offered": totals.offered,
            "accepted": totals.accepted,
            "refused": totals.refused,
            "per_second": _rate(totals.accepted, seconds),
        },
        "receivers": {
            "expected": verdict.expected,
            "received": totals.received,
            "missing": verdict.missing,
            "doubled": totals.doubled,
            "strange": totals.strange,
            "unopened": totals.unopened,
            "dropped": totals.dropped,
            "per_second": _rate(totals.received, seconds),
            **_times(totals.latency),
        },
        "connections_lost": totals.lost,
        "generator": {"cpu": round(totals.cpu, 3), "late_p99": totals.lateness.quantile(0.99)},
        "problems": list(verdict.problems),
        "generator_limit": verdict.limit,
    }


def _joins(totals: Totals) -> Table:
    table = Table(title="joins", title_justify="left")
    for name in ("joined", "failed", "per second", "p50", "p95", "p99", "slowest"):
        table.add_column(name, justify="right")
    failed = sum(totals.join_failures.values())
    table.add_row(
        f"{totals.joined:,}",
        f"{failed:,}",
        f"{_rate(totals.joined, totals.join_seconds):,.0f}",
        *(_ms(totals.joins.quantile(share)) for share in (0.5, 0.95, 0.99)),
        _ms(totals.joins.longest),
    )
    return table


def _roles(plan: Plan, totals: Totals, verdict: Verdict, seconds: float) -> Table:
    table = Table(title=f"{seconds:.0f} s of {plan.kind}, {plan.size} B each", title_justify="left")
    table.add_column("role", no_wrap=True, min_width=11)
    for name in ("members", "streams", "rate", "Mbit/s", "p50", "p95", "p99", "max", "dropped", "missing"):
        table.add_column(name, justify="right")
    streams = plan.channels * plan.publishers
    sent, got = _rate(totals.accepted, seconds), _rate(totals.received, seconds)
    table.add_row(
        "publishers", f"{streams:,}", f"{streams:,}", f"{sent:,.0f}/s", _megabits(sent, plan.size),
        *("",) * 4, f"{totals.refused:,}", "",
    )  # fmt: skip
    receivers = plan.channels * (plan.subscribers or plan.publishers)
    dropped = sum(totals.dropped.values()) + totals.unopened
    table.add_row(
        "subscribers" if plan.subscribers else "receivers",
        f"{receivers:,}", f"{streams * plan.copies:,}", f"{got:,.0f}/s", _megabits(got, plan.size),
        *(_ms(totals.latency.quantile(share)) for share in (0.5, 0.95, 0.99)), _ms(totals.latency.longest),
        f"{dropped:,}", f"{verdict.missing:,}",
    )  # fmt: skip
    table.add_section()
    table.add_row(
        "total", f"{plan.members:,}", "", f"{sent + got:,.0f}/s", _megabits(sent + got, plan.size),
        *("",) * 4, f"{totals.refused + dropped:,}", f"{verdict.missing:,}",
    )  # fmt: skip
    return table


def _times(times: Histogram) -> dict[str, int]:
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: times.quantile(share) for name, share in shares.items()} | {"max": times.longest}


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 1) if seconds else 0.0


def _megabits(per_second: float, size: int) -> str:
    return f"{per_second * size * 8 / 1e6:,.1f}"


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.1f} ms" if microseconds < 100_000 else f"{microseconds / 1e6:.2f} s"
