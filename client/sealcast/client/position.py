"""Where in the channel's messages this side is, and so what it has missed."""

from __future__ import annotations

from typing import Final

__all__ = ["Position"]

_OFFSET_BITS: Final = 64
_OFFSET_MASK: Final = 2**_OFFSET_BITS - 1
_EPOCHS: Final = 16
"""Epochs that are remembered: what was received may be held for a moment, and come out in the next one."""


class Position:
    """Counts the messages of one epoch that were seen: those delivered, and own ones acknowledged.

    Offsets grow by one per message, so what was missed is a difference of counts; the order in which
    acks and deliveries come in does not matter.
    """

    __slots__ = ("_base", "_epochs", "_run", "_seen", "epoch")

    def __init__(self) -> None:
        self.epoch = ""
        self._base = 0
        self._seen = 0
        self._run = 0
        self._epochs: dict[int, str] = {}

    def place(self, offset: int) -> int:
        """Return a number for *offset* in the present epoch: it sorts behind those of earlier epochs."""
        return self._run << _OFFSET_BITS | offset

    def at(self, place: int) -> tuple[str, int]:
        """Return epoch and offset of a ``place`` of this epoch or one of the last few before it."""
        return self._epochs.get(place >> _OFFSET_BITS, ""), place & _OFFSET_MASK

    def saw(self, offset: int) -> None:
        """Note a message at *offset*; one from before the join is not counted."""
        if offset > self._base:
            self._seen += 1

    def move_to(self, epoch: str, offset: int) -> int | None:
        """Go on from a join's epoch and offset; return how many messages were missed.

        None when that cannot be known: at the first join, in another epoch, or when the server's
        numbers contradict what it has delivered.
        """
        missed = offset - self._base - self._seen if epoch == self.epoch else None
        if epoch != self.epoch:
            self._run += 1
            self._epochs[self._run] = epoch
            self._epochs.pop(self._run - _EPOCHS, None)
        self.epoch, self._base, self._seen = epoch, offset, 0
        return missed if missed is None or missed >= 0 else None
