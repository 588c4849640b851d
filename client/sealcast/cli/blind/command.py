"""``sealcast verify-blind``: options in, exit status out."""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ..failure import Failure, Status, require_extra
from ..signals import leaving_on_signal

if TYPE_CHECKING:
    from .inquiry import Evidence, Plan
    from .report import Shown

__all__ = ["verify_blind"]

_STRIDES: Final = (1, 2, 4, 8, 16)


def verify_blind(
    seconds: Annotated[
        float, typer.Option(min=0.2, max=600, help="How long the members talk through the relay.")
    ] = 3.0,
    stride: Annotated[
        int, typer.Option(help="Bytes from one window of memory to the next: 1, 2, 4, 8 or 16.")
    ] = 8,
    max_candidates: Annotated[
        int, typer.Option(min=1, help="Windows of each size to try before giving up, which fails the check.")
    ] = 20_000_000,
    sabotage: Annotated[
        bool, typer.Option("--sabotage", help="Give the relay keys first: then the command must fail.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result alone, for machines.")] = False,
) -> None:
    """Prove on this installation that the relay cannot read what it carries.

    Starts a relay, lets members talk through it with every kind of key, freezes it, and searches its
    memory, files, logs and sockets for what they said and for their keys. Then every window of that
    memory is tried as a key. Ends with status 0 only if nothing was found and every control was.

    \b
    Example:  sealcast verify-blind
              sealcast verify-blind --sabotage
    """
    _check_usage(stride)
    # Only now: `sealcast --help` should not wait for the SDK.
    from .checks import Verdict, judge, took_part
    from .inquiry import Plan
    from .members import Pace
    from .report import Shown, print_json, print_table

    plan = Plan(Pace(seconds), stride=stride, most=max_candidates, sabotage=sabotage)
    begun = time.monotonic()
    with Shown(quiet=as_json) as progress:
        evidence = asyncio.run(_run(plan, progress))
    elapsed = time.monotonic() - begun
    checks, parts = judge(evidence), took_part(evidence)
    if as_json:
        print_json(checks, parts, seconds=elapsed, stride=stride, sabotage=sabotage)
    else:
        print_table(checks, parts, elapsed)
    if any(check.verdict is not Verdict.HOLDS for check in checks):
        raise typer.Exit(Status.FAILED)


async def _run(plan: Plan, progress: Shown) -> Evidence:
    """Do it in a directory that is gone afterwards."""
    from .inquiry import inquire

    with tempfile.TemporaryDirectory(prefix="sealcast-blind-", ignore_cleanup_errors=True) as directory:
        async with leaving_on_signal():
            try:
                return await inquire(plan, Path(directory), progress)
            except TimeoutError:
                raise Failure("the members did not meet in time", "again when the machine is idle") from None


def _check_usage(stride: int) -> None:
    """Raise Failure where the command cannot work, and for a stride that could miss an aligned key."""
    if sys.platform != "linux":
        problem = "verify-blind reads the relay's memory through /proc, which only Linux has"
        raise Failure(problem, "it on Linux, or in a Linux container", Status.USAGE)
    if stride not in _STRIDES:
        raise Failure("invalid value for '--stride'", "1, 2, 4, 8 or 16", Status.USAGE)
    require_extra("verify-blind")
