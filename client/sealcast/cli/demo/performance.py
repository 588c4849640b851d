"""The demo from curtain to curtain: run it, show it, judge it, and say how it went."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.text import Text

from ..children import ChildFailed
from ..failure import Status
from . import wav
from .checks import Check
from .conductor import Conductor, Phase, Plan
from .figures import percentile
from .invitation import invitation
from .screen import checks_table, picture, plain_checks, plain_lines
from .verdict import conclude

__all__ = ["perform"]

_FRAME_TIME: Final = 0.2
_LINE_TIME: Final = 1.0
_SWITCH_INTERVAL: Final = 0.0005
"""Seconds for which drawing may hold the tap up."""
_ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def perform(plan: Plan, *, as_json: bool) -> int:
    """Run the demo and show it; return the exit status."""
    console = Console(highlight=False, quiet=as_json)
    errors = Console(highlight=False, stderr=True)
    told: list[signal.Signals] = []
    try:
        conductor, checks = asyncio.run(_perform(plan, console, errors if as_json else console, told))
    except (ChildFailed, OSError) as error:
        return _broken_off(str(error), errors, as_json)
    except asyncio.CancelledError:
        _broken_off("interrupted before anything was proven", errors, as_json)
        return 128 + told[-1] if told else Status.INTERRUPTED
    failed = [check for check in checks if not check.holds]
    if as_json:
        sys.stdout.write(json.dumps(_summary(conductor, checks), indent=2) + "\n")
    else:
        _print_verdict(console, checks, failed)
    return Status.FAILED if failed else Status.OK


def _broken_off(why: str, errors: Console, as_json: bool) -> int:
    errors.print(Text(f"the demo was broken off: {why}", "red"), soft_wrap=True)
    if as_json:
        sys.stdout.write(json.dumps({"ok": False, "error": why}) + "\n")
    return Status.FAILED


async def _perform(
    plan: Plan, console: Console, notices: Console, told: list[signal.Signals]
) -> tuple[Conductor, list[Check]]:
    stop = asyncio.Event()
    conductor = Conductor(plan, stop)
    with _interrupts(conductor, stop, told):
        showing = asyncio.create_task(_show(conductor, console, notices))
        try:
            await conductor.run()
            checks = await asyncio.to_thread(conclude, conductor)
            conductor.phase = Phase.OVER
        finally:
            showing.cancel()
            (ended,) = await asyncio.gather(showing, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended
    return conductor, checks


@contextlib.contextmanager
def _interrupts(conductor: Conductor, stop: asyncio.Event, told: list[signal.Signals]) -> Iterator[None]:
    """Let the first Ctrl-C end a conversation without an end, and any other break the demo off.

    The signal that broke it off is added to *told*.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def interrupted(number: signal.Signals) -> None:
        if conductor.phase is Phase.TALKING and not conductor.plan.seconds and not stop.is_set():
            stop.set()
        elif not told:
            told.append(number)
            task.cancel()

    for number in _ENDINGS:
        loop.add_signal_handler(number, interrupted, number)
    try:
        yield
    finally:
        for number in _ENDINGS:
            loop.remove_signal_handler(number)


async def _show(conductor: Conductor, console: Console, notices: Console) -> None:
    if console.quiet:
        if not conductor.plan.seconds:
            await conductor.gathered.wait()
            notices.print(invitation(conductor), soft_wrap=True)
    elif console.is_terminal:
        await _show_picture(conductor, console)
    else:
        await _show_lines(conductor, console)


async def _show_picture(conductor: Conductor, console: Console) -> None:
    invited = False
    interval = sys.getswitchinterval()
    with Live(console=console, auto_refresh=False) as live:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        try:
            while True:
                if conductor.gathered.is_set() and not invited:
                    invited = True
                    console.print(invitation(conductor), soft_wrap=True)
                # In a thread: drawing takes as long as a frame of sound lasts, and the tap runs in this one.
                await asyncio.to_thread(live.update, picture(conductor, console.width), refresh=True)
                await asyncio.sleep(_FRAME_TIME)
        finally:
            sys.setswitchinterval(interval)
            live.update(picture(conductor, console.width), refresh=True)


async def _show_lines(conductor: Conductor, console: Console) -> None:
    """Print each phase as it begins, and how the conversation goes: every second, and when it is over."""
    phase: Phase | None = None
    next_line = 0.0
    while True:
        talking, news = phase is Phase.TALKING, conductor.phase is not phase
        if talking and (news or time.monotonic() >= next_line):
            next_line += _LINE_TIME
            _print_plain(console, plain_lines(conductor))
        if news:
            phase = conductor.phase
            _print_plain(console, phase.value)
            if phase is Phase.TALKING:
                next_line = time.monotonic() + _LINE_TIME
                console.print(invitation(conductor), soft_wrap=True)
        await asyncio.sleep(_FRAME_TIME)


def _print_plain(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)


def _print_verdict(console: Console, checks: list[Check], failed: list[Check]) -> None:
    if console.is_terminal:
        console.print(checks_table(checks, console.width))
    else:
        _print_plain(console, plain_checks(checks))
    if failed:
        text = f"\nNOT PROVEN: {failed[0].claim} ({failed[0].detail})"
        console.print(Text(text, "bold red"), soft_wrap=True)
    else:
        console.print(Text(f"\nAll {len(checks)} checks hold.", "bold green"))


def _summary(conductor: Conductor, checks: list[Check]) -> dict[str, Any]:
    talk = conductor.conversation
    assert talk is not None
    ledger = talk.ledger
    latencies = ledger.latencies()
    parties = talk.witness.parties.values()
    return {
        "ok": all(check.holds for check in checks),
        "failed": [check.name for check in checks if not check.holds],
        "participants": len(ledger.members),
        "seconds": ledger.frames_sent / wav.FRAMES_PER_SECOND,
        "sha256": ledger.speaker.sha256,
        "frames": {
            "sent": ledger.frames_sent,
            "delivered": sum(party.sound_down for party in parties),
            "opened": ledger.frames_heard,
        },
        "messages": {
            "sent": ledger.lines_sent,
            "delivered": sum(party.messages_down for party in parties),
            "opened": ledger.lines_read,
        },
        "dropped": ledger.drops,
        "latency_us": {"p50": percentile(latencies, 50), "p99": percentile(latencies, 99)},
        "relay": {
            name: value for name, value in conductor.relay_metrics.items() if isinstance(value, int | dict)
        },
        "checks": [
            {"name": check.name, "claim": check.claim, "ok": check.holds, "detail": check.detail}
            for check in checks
        ],
    }
