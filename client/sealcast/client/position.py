"""Where in the channel's messages this side is, and so what it has missed."""

from __future__ import annotations

from typing import Final

from sealcast.protocol.parts import Place

__all__ = ["Position"]

_OFFSET_BITS: Final = 64
_OFFSET_MASK: Final = 2**_OFFSET_BITS - 1
_EPOCHS: Final = 16
"""Epochs that are remembered: what was received may be held for a moment, and come out in the next one."""
_AHEAD_MAX: Final = 4096
"""Acks that may be ahead of what was delivered; what is beyond only makes the next replay longer."""


class Position:
    """Counts the messages of one epoch that were seen: those delivered, and own ones acknowledged.

    Offsets grow by one per message, so what was missed is a difference of counts; the order in which
    acks and deliveries come in does not matter for that.

    It matters for ``place``, up to which this side has everything: messages of others are delivered in
    order, so whoever has one has all before it. An own message that is acknowledged says nothing about those
    before it; one that is not will be sent again, and so is no gap.

    Args:
        since: where an earlier run of the program was.

    """

    __slots__ = ("_above", "_ahead", "_base", "_epochs", "_floor", "_run", "_seen", "epoch", "until")

    def __init__(self, since: Place | None = None) -> None:
        self.epoch = ""
        self.until: int | None = None
        """While messages are recovered: the offset of the last of them."""
        self._base = 0
        self._seen = 0
        self._above = 0
        self._floor = 0
        self._ahead: set[int] = set()
        self._run = 0
        self._epochs: dict[int, str] = {}
        if since is not None:
            self._begin(since.epoch, since.offset)

    def _begin(self, epoch: str, offset: int) -> None:
        self._run += 1
        self._epochs[self._run] = epoch
        self._epochs.pop(self._run - _EPOCHS, None)
        self.epoch = epoch
        self._above = self._floor = 0
        self._ahead.clear()
        self._rest_at(offset)

    def _rest_at(self, offset: int) -> None:
        """Let what is up to *offset* be settled."""
        self.until = None
        self._base, self._seen, self._above = offset, self._above, 0
        self._raise(max(offset, self._floor))

    @property
    def place(self) -> Place | None:
        """The last place up to which this side has everything; None before the first join."""
        return Place(epoch=self.epoch, offset=self._floor) if self.epoch else None

    def mark(self, offset: int) -> int:
        """Return a number for *offset* in the present epoch: it sorts behind those of earlier epochs."""
        return self._run << _OFFSET_BITS | offset

    def at(self, mark: int) -> tuple[str, int]:
        """Return epoch and offset of a ``mark`` of this epoch or one of the last few before it."""
        return self._epochs.get(mark >> _OFFSET_BITS, ""), mark & _OFFSET_MASK

    def delivered(self, offset: int) -> None:
        """Note a message of another member at *offset*."""
        self._see(offset)
        if offset > self._floor:
            self._raise(offset)

    def acknowledged(self, offset: int) -> None:
        """Note that an own message stands at *offset*."""
        self._see(offset)
        if offset > self._floor and len(self._ahead) < _AHEAD_MAX:
            self._ahead.add(offset)
            self._raise(self._floor)

    def _see(self, offset: int) -> None:
        if self.until is not None and offset > self.until:
            self._above += 1
        elif offset > self._base:
            self._seen += 1

    def _raise(self, floor: int) -> None:
        if floor > self._floor:
            self._ahead = {offset for offset in self._ahead if offset > floor}
        self._floor = floor
        while self._floor + 1 in self._ahead:
            self._floor += 1
            self._ahead.discard(self._floor)

    # --- over a gap ---

    @property
    def missing(self) -> int:
        """While messages are recovered: how many of them have not been seen yet."""
        return 0 if self.until is None else self.until - self._base - self._seen

    def move_to(self, epoch: str, offset: int, recovered: bool = False) -> int | None:
        """Go on from a join's epoch and offset; return how many messages were missed up to it.

        None when that cannot be known: at the first join, in another epoch, or when the server's
        numbers contradict what it has delivered. When it says that it sends them all again
        (*recovered*), they are ``missing`` until they have come, or ``settle`` gives up the rest.
        """
        if epoch != self.epoch:
            self._begin(epoch, offset)
            return None
        missed = offset - self._base - self._seen
        if recovered and missed > 0:
            self.until = offset
        else:
            self._floor = min(self._floor, offset)
            self._rest_at(offset)
        return missed if missed >= 0 else None

    def settle(self) -> int:
        """Expect no more messages to be recovered; return how many have not come."""
        missing = self.missing
        if self.until is not None:
            self._rest_at(self.until)
        return missing

    def abort(self) -> None:
        """The connection ended before all was recovered: what has not come is missed still."""
        self._seen += self._above
        self._above, self.until = 0, None
