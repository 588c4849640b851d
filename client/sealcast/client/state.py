"""The states of a client's connection, and who is told when they change, and why."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

__all__ = ["State", "StateChange", "States"]

_WAITING_MAX: Final = 64
"""Changes that wait for a reader that takes none; the oldest go first, the latest is always right."""


class State(enum.StrEnum):
    """The state of a client's connection."""

    DISCONNECTED = "disconnected"
    """There is none, and none is being made: nothing needs one."""
    CONNECTING = "connecting"
    """The first one is being made."""
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    """It was lost, and another one is being made or waited for."""
    CLOSED = "closed"
    """The client was closed; it makes no other."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """The state of a client's connection from now on."""

    state: State
    reason: str = ""
    """Why: the name of the code with which the connection ended; ``unreachable`` or ``http_503`` and the like
    when an attempt failed; ``asked`` for ``Client.reconnect``. Empty when nothing went wrong."""
    attempt: int = 0
    """While reconnecting: how many attempts have failed in a row."""
    wait: float | None = None
    """While reconnecting: seconds until the next attempt; None when they are not drawn yet."""


class _Reader:
    __slots__ = ("changes", "filled")

    def __init__(self, first: StateChange) -> None:
        self.changes = deque([first], maxlen=_WAITING_MAX)
        self.filled = asyncio.Event()


class States:
    """The present state, and those who follow it."""

    __slots__ = ("_readers", "latest")

    def __init__(self) -> None:
        self.latest = StateChange(State.DISCONNECTED)
        self._readers: set[_Reader] = set()

    def become(self, change: StateChange) -> None:
        """Be in another state, or in the same one for another reason. Nothing follows ``closed``."""
        if self.latest.state is State.CLOSED or change == self.latest:
            return
        self.latest = change
        for reader in self._readers:
            reader.changes.append(change)
            reader.filled.set()

    async def follow(self) -> AsyncIterator[StateChange]:
        """Yield the present state and each later one, up to ``closed``."""
        reader = _Reader(self.latest)
        self._readers.add(reader)
        try:
            while True:
                while not reader.changes:
                    reader.filled.clear()
                    await reader.filled.wait()
                change = reader.changes.popleft()
                yield change
                if change.state is State.CLOSED:
                    return
        finally:
            self._readers.discard(reader)
