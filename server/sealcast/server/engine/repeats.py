"""Which messages have been placed already: a message that is sent again is the same one. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Set
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

    __slots__ = ("_most", "_offsets", "_runs")

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._offsets: OrderedDict[Identity, int] = OrderedDict()
        self._runs: dict[tuple[str, bytes], set[int]] = {}
        """The offsets of each run's messages: whoever comes back asks for its own."""

    def __len__(self) -> int:
        return len(self._offsets)

    def find(self, identity: Identity) -> int | None:
        """Return the offset of a message that was placed before, or None."""
        return self._offsets.get(identity) if identity.run else None

    def note(self, identity: Identity, offset: int) -> None:
        """Remember a message that was placed."""
        if not identity.run:
            return
        self._offsets[identity] = offset
        self._runs.setdefault(identity[:2], set()).add(offset)
        if len(self._offsets) > self._most:
            oldest, offset = self._offsets.popitem(last=False)
            run = self._runs[oldest[:2]]
            run.discard(offset)
            if not run:
                del self._runs[oldest[:2]]

    def of_run(self, user: str, run: bytes) -> Set[int]:
        """Return the offsets of one run's messages, to look at."""
        return self._runs.get((user, run), frozenset())

    def items(self) -> Iterable[tuple[Identity, int]]:
        """Return everything that is remembered, the oldest first."""
        return self._offsets.items()
