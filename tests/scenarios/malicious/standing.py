"""An event loop with real sockets whose time stands still until a test moves it."""

from __future__ import annotations

import asyncio
import time

__all__ = ["StandingLoop", "the_loop"]

_DAYS_AGO = 2 * 86400


class StandingLoop(asyncio.SelectorEventLoop):
    """Timers are due when ``now`` has reached them, and I/O happens whenever it does.

    It is also the clock of a relay, and the wall clock of everybody.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        # So that a meeting, and another one a day later, both lie within the life of a certificate.
        self._epoch = time.time() - _DAYS_AGO - self.now
        super().__init__()

    def time(self) -> float:
        """Return the seconds that timers go by."""
        return self.now

    monotonic = time

    def wall(self) -> float:
        """Return Unix seconds."""
        return self._epoch + self.now


def the_loop() -> StandingLoop:
    """Return the loop of the running test."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StandingLoop)
    return loop
