"""After a gap: whether all that was missed has come, and so what ``Resumed`` may say, and when.

A server that says ``recovered`` sends everything that came after this side's place, but for own messages.
It is taken at its word when the numbers agree: each offset of the gap is a message that came, or an own
one whose ack has come by now. ``Resumed`` stands before what was recovered, so its place in the inbox is
held until that is known: when the server has answered a ping that was sent right after the join, and the
own messages that were sent again have had their answers. Neither is waited for without end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .alarm import Alarm
from .events import Resumed
from .inbox import Inbox
from .position import Position

__all__ = ["OWN_WAIT", "Comeback"]

OWN_WAIT: Final = 2.0
"""Seconds that own messages may be waited for when everything else has come."""


class Comeback:
    """Decides about one membership's gaps, one after the other.

    Args:
        position: counts what comes.
        inbox: where ``Resumed`` goes.
        uncertain: tells how many own messages have been sent and have no answer yet.
        patience: tells how many seconds the server may be silent.

    """

    __slots__ = ("_alarm", "_inbox", "_loop", "_passed", "_patience", "_position", "_uncertain")

    def __init__(
        self,
        position: Position,
        inbox: Inbox,
        uncertain: Callable[[], int],
        patience: Callable[[], float],
    ) -> None:
        self._position = position
        self._inbox = inbox
        self._uncertain = uncertain
        self._patience = patience
        self._passed = False
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._settle)

    @property
    def under_way(self) -> bool:
        """Whether something is still expected."""
        return self._position.until is not None

    def begin(self) -> None:
        """Hold the place of ``Resumed``: the position expects what the server will send."""
        self._passed = False
        self._inbox.hold()
        self._wait(self._patience())

    def passed(self) -> None:
        """Note that the server has sent all that it wanted to send."""
        if self.under_way and not self._passed:
            self._passed = True
            self._wait(min(OWN_WAIT, self._patience()))
        self.consider()

    def consider(self) -> None:
        """Something has come, or will not come any more: decide, if that is enough."""
        if not self.under_way:
            return
        missing = self._position.missing
        if missing <= 0 or (self._passed and missing > self._uncertain()):
            self._settle()
        elif not self._passed:
            self._wait(self._patience())

    def _wait(self, seconds: float) -> None:
        self._alarm.set(self._loop.time() + seconds)

    def _settle(self) -> None:
        self._alarm.set(None)
        missed = self._position.settle()
        self._inbox.fill(Resumed(missed == 0, missed if missed >= 0 else None))

    def abort(self) -> bool:
        """The membership is interrupted again: say nothing; return whether something was expected."""
        if not self.under_way:
            return False
        self._alarm.set(None)
        self._position.abort()
        self._inbox.fill(None)
        return True
