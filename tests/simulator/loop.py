"""An event loop whose time is an argument: nothing waits, and every run of a seed is the same run."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Stuck", "VirtualLoop", "run"]

_T = TypeVar("_T")

_TOO_MANY = 2_000_000
"""Rounds of the loop after which a simulation has gone round in circles."""


class Stuck(Exception):
    """The simulation waits for something that cannot come, or never ends."""


class _Selector(selectors.SelectSelector):
    """Instead of waiting for time to pass, lets it pass."""

    loop: VirtualLoop
    rounds = 0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.rounds += 1
        if self.rounds > _TOO_MANY:
            raise Stuck("the simulation goes round in circles")
        if timeout is None:
            raise Stuck("everything waits, and nothing is going to happen")
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in the order of their times, at once."""

    def __init__(self) -> None:
        selector = _Selector()
        super().__init__(selector)
        selector.loop = self
        self.now = 0.0

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self.now


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run *work* to its end in a loop of its own; anything left over or gone wrong on the way fails."""
    loop = VirtualLoop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: faults.append(context))
    try:
        result = loop.run_until_complete(work)
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if left or faults:
            raise Stuck(f"left over: {left}; went wrong: {faults}")
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
