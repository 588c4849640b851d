"""What a persistent engine writes down, as records: the seam between its logic and a database."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from ..interfaces import Author, Change, ChannelKey, Item, Kept
from .repeats import Identity

__all__ = ["Batch", "Journal", "Loaded", "Mark", "Part", "Row"]


class Row(NamedTuple):
    """A message."""

    kept: Kept
    author: Author
    identity: Identity


class Mark(NamedTuple):
    """Where a channel stands."""

    epoch: str
    offset: int
    last_member: int
    revision: int
    ttl: float
    """How long its messages are kept, in seconds."""
    floor: int
    """Messages up to this offset are kept no more."""


class Part(NamedTuple):
    """What is written of one channel."""

    mark: Mark
    """Where it stands with all of this."""
    rows: Sequence[Row]
    """New messages, in order."""
    changes: Sequence[Change]
    """Changes of its metadata, in order."""


Batch: TypeAlias = Mapping[ChannelKey, Part]
"""What is written in one transaction: all of it, or nothing."""


class Loaded(NamedTuple):
    """A channel as it was written down."""

    mark: Mark
    rows: Sequence[Row]
    """The kept messages, in order."""
    repeats: Sequence[tuple[Identity, int]]
    """The newest messages, kept or not, with their offsets, in order."""
    items: Sequence[Item]


class Journal(Protocol):
    """A place that outlives the process.

    Promises: what ``commit`` has reported without an error is there after a crash of process or
    machine; a batch that failed has left no trace; batches are written in order.
    """

    def commit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        """Write a batch; *done* is called later, in the event loop, once. Never blocks."""
        ...

    def load(self, key: ChannelKey, repeats: int) -> Loaded | None:
        """Return a channel, None when it was never written down; may take milliseconds.

        Raises:
            EngineDown: it cannot be read.

        """
        ...

    def metadata(self) -> dict[str, int]:
        """Return the bytes that the metadata of each app takes, as ``metadata.cost_of`` counts them."""
        ...

    async def close(self) -> None:
        """Write what is waiting, and let go."""
        ...
