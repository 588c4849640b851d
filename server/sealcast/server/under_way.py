"""Messages of one channel that have no place yet: an engine may take its time to store them.

Meanwhile frames go on, members come and go, and what waits is bounded: a member that has much under way is
not read from, and when a channel has too much, further messages are refused. Who leaves is a member for the
others until the last of its messages has its place, so that nobody gets a message of somebody unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from .interfaces import Entry, Message
from .member import Member

__all__ = ["UnderWay"]

_HOLD: Final = 1024 * 1024
"""Bytes under way at which their sender is not read from, until half of them have their places."""
_CROWDED: Final = 8 * 1024 * 1024
"""Bytes under way in a channel at which no further message is taken."""


class UnderWay:
    """Counts what is under way, by sender.

    Args:
        by_user: the members that the channel has, by user.

    """

    __slots__ = ("_by_user", "_held", "departed", "size", "waiting")

    def __init__(self, by_user: Mapping[str, Member]) -> None:
        self._by_user = by_user
        self.waiting: dict[Member, list[int]] = {}
        """By sender: how many messages, and their bytes. Empty when nothing is under way."""
        self._held: set[Member] = set()
        """Members that nothing is read from."""
        self.departed: dict[Member, str] = {}
        """Members that have left, and why: it is told when nothing of theirs is under way any more."""
        self.size = 0
        """Bytes of messages under way."""

    @property
    def crowded(self) -> bool:
        """Whether so much is under way that no further message is to be taken."""
        return self.size > _CROWDED

    def add(self, sender: Member, size: int) -> None:
        """Count a message that was taken."""
        waiting = self.waiting.get(sender)
        if waiting is None:
            waiting = self.waiting[sender] = [0, 0]
        waiting[0] += 1
        waiting[1] += size
        self.size += size
        if waiting[1] > _HOLD and sender not in self._held:
            self._held.add(sender)
            sender.outlet.hold()

    def depart(self, member: Member, reason: str) -> bool:
        """Note that a member has left; return whether that is to be told later, by ``end``."""
        self.release(member)
        if member not in self.waiting:
            return False
        self.departed[member] = reason
        return True

    def end(self, entries: Sequence[Entry]) -> list[tuple[Member, str]]:
        """Take it that the messages among these are under way no more; return who has left, with reasons.

        A message of somebody who is back is made its own again: it is not for its sender.
        """
        gone: list[tuple[Member, str]] = []
        for entry in entries:
            sender = entry.sender
            if not isinstance(entry, Message) or not isinstance(sender, Member):
                continue
            waiting = self.waiting[sender]
            size = len(entry.data)
            waiting[0] -= 1
            waiting[1] -= size
            self.size -= size
            if sender in self.departed:
                self._pass_on(entry, sender)
            if not waiting[0]:
                del self.waiting[sender]
                if sender in self.departed:
                    gone.append((sender, self.departed.pop(sender)))
            if waiting[1] <= _HOLD // 2:
                self.release(sender)
        return gone

    def _pass_on(self, entry: Message, sender: Member) -> None:
        heir = self._by_user.get(sender.user)
        if heir is not None and heir.succeeds(sender):
            entry.sender = heir

    def release(self, member: Member) -> None:
        """Read from a member's connection again, if it is held for this; or it has none any more."""
        if member in self._held:
            self._held.remove(member)
            member.outlet.release()
