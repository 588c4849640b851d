"""One appointment by the loop's clock, which can be moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Alarm"]


class Alarm:
    """Calls *ring* once, when it is *due*; until it is set again there is nothing due."""

    __slots__ = ("_handle", "_loop", "_ring", "due")

    def __init__(self, ring: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring = ring
        # When it rings is kept here: uvloop's handle for what is due at once does not know it.
        self._handle: asyncio.Handle | None = None
        self.due: float | None = None
        """When it rings, in the seconds of the loop's clock; None while it is not set."""

    def set(self, due: float | None) -> None:
        """Let it ring at *due* and at no other time; None: not at all."""
        if due == self.due:
            return
        if self._handle is not None:
            self._handle.cancel()
        self.due = due
        self._handle = None if due is None else self._loop.call_at(due, self.ring)

    def ring(self) -> None:
        """Do now what was to be done later."""
        self.set(None)
        self._ring()
