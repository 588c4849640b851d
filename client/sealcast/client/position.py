"""Where in the channel's messages this side is, and so what it has missed."""

from __future__ import annotations

__all__ = ["Position"]


class Position:
    """Counts the messages of one epoch that were seen: those delivered, and own ones acknowledged.

    Offsets grow by one per message, so what was missed is a difference of counts; the order in which
    acks and deliveries come in does not matter.
    """

    __slots__ = ("_base", "_seen", "epoch")

    def __init__(self) -> None:
        self.epoch = ""
        self._base = 0
        self._seen = 0

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
        self.epoch, self._base, self._seen = epoch, offset, 0
        return missed if missed is None or missed >= 0 else None
