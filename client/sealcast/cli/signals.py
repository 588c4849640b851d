"""Being told to stop: a channel is left and a terminal given back before the process ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import typer

__all__ = ["leaving_on_signal"]


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
