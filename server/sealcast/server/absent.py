"""A member whose connection was lost, for the moment in which it may come back as if nothing had been.

Nobody is told of it. What others send to it alone is kept, since keys come that way; frames are not, and
messages it gets from the channel's history.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sealcast.protocol.codes import Code
from sealcast.protocol.controls import Control, Directed

from .clock import TimingWheel
from .member import Member
from .shedding import Waiting

__all__ = ["Absent"]

KEPT_MOST: Final = 256
KEPT_BYTES: Final = 64 * 1024


class Absent:
    """The outlet of a member that is away.

    Args:
        member: who.
        wheel: wakes this when it has been away for too long.
        until: when that is, in monotonic seconds.
        gone: ends the membership, with the name of an end code.

    """

    __slots__ = ("_gone", "_kept", "_member", "_size", "_wheel", "due")

    def __init__(
        self, member: Member, wheel: TimingWheel, until: float, gone: Callable[[Member, str], None]
    ) -> None:
        self.due: float | None = None
        self._member = member
        self._wheel = wheel
        self._gone = gone
        self._kept: list[Directed] = []
        self._size = 0
        wheel.schedule(self, until)

    def take(self) -> list[Directed]:
        """Return what was sent to the member alone: it is back."""
        self._wheel.schedule(self, None)
        kept, self._kept = self._kept, []
        return kept

    def on_time(self, now: float) -> float | None:
        """End the membership: the member has not come back."""
        self._end("connection_lost")
        return None

    # --- what every outlet does ---

    def write(self, data: bytes) -> None:
        """Lose frames: nobody reads them."""

    def queue(self, items: Sequence[Waiting]) -> None:
        """Lose frames: nobody reads them."""

    def tell(self, control: Control, ref: int = 0) -> None:
        """Keep what is for the member alone; when there is too much, it is as if it had left."""
        if not isinstance(control, Directed):
            return
        self._kept.append(control)
        self._size += len(control.data)
        if len(self._kept) > KEPT_MOST or self._size > KEPT_BYTES:
            # The sender is in the middle of something: the membership ends when the wheel turns.
            self._kept.clear()
            self._wheel.schedule(self, 0.0)

    def leave(self, channel: int, code: Code) -> None:
        """End the membership."""
        self._end(code.name)

    def drops(self, channel: int) -> Mapping[tuple[str, str], int]:
        """Frames of this moment are not counted: nobody is there to miss them."""
        return {}

    def hold(self) -> None:
        """Nothing is read from it anyway."""

    def release(self) -> None:
        """Nothing is read from it anyway."""

    def _end(self, reason: str) -> None:
        self._wheel.schedule(self, None)
        self._kept.clear()
        self._gone(self._member, reason)
