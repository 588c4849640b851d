"""Being told to stop, so that a channel is left and a terminal given back; and telling children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from typing import Final

import typer

__all__ = ["KILL", "leaving_on_signal", "signal_child"]

KILL: Final[signal.Signals] = getattr(signal, "SIGKILL", signal.SIGTERM)
"""What nobody can ignore."""


@contextlib.asynccontextmanager
async def leaving_on_signal() -> AsyncIterator[None]:
    """End the block on SIGTERM and SIGHUP, cleanly, and the process with 128 + the signal's number."""
    task = asyncio.current_task()
    assert task is not None, "this runs in a task"
    loop = asyncio.get_running_loop()
    told: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        told.append(number)
        task.cancel()

    numbers = [number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None))]
    with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
        for number in numbers:
            loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        task.uncancel()
        raise typer.Exit(128 + told[0]) from None
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in numbers:
                loop.remove_signal_handler(number)


def signal_child(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal to a child that asyncio waits for; nothing happens to one that has ended.

    Its own ``send_signal``, ``terminate`` and ``kill`` look first whether it has ended, and when it just
    has, they take its exit status away from asyncio, which then says 255.
    """
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
