"""Which messages have been placed already: a message that is sent again is the same one. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = ["MOST", "Identity", "Repeats"]

MOST: Final = 1_000
"""Messages of a channel that are recognised when they come again, the newest."""


class Identity(NamedTuple):
    """What makes a message the same one when it is sent again."""

    user: str
    run: bytes
    ref: int


class Repeats:
    """The identities of a channel's newest messages, with the offsets that they have.

    Args:
        most: how many are remembered.

    """

    __slots__ = ("_most", "_offsets")

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._offsets: OrderedDict[Identity, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._offsets)

    def find(self, identity: Identity) -> int | None:
        """Return the offset of a message that was placed before, or None."""
        return self._offsets.get(identity) if identity.run else None

    def note(self, identity: Identity, offset: int) -> None:
        """Remember a message that was placed."""
        if identity.run:
            self._offsets[identity] = offset
            if len(self._offsets) > self._most:
                self._offsets.popitem(last=False)

    def of_run(self, user: str, run: bytes) -> set[int]:
        """Return the offsets of one run's messages."""
        return {
            offset
            for identity, offset in self._offsets.items()
            if identity.run == run and identity.user == user
        }

    def items(self) -> Iterable[tuple[Identity, int]]:
        """Return everything that is remembered, the oldest first."""
        return self._offsets.items()
