"""What an engine knows of one channel: where it stands, what it has kept, who sent it. Pure.

An engine places a message by ``place``, which hands out the next offset and keeps the message, in one step.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection

from sealcast.protocol.envelope import MESSAGE_START

from ..budget import Used
from ..interfaces import Author, Change, Keep, Kept, Message, Position
from ..metadata import Shelf
from .repeats import MOST, Identity, Repeats
from .ring import COST, Ring

__all__ = ["Stream", "identity_of"]


def identity_of(entry: Message) -> Identity:
    """Return what makes this message the same one when it is sent again."""
    return Identity(entry.author.user, entry.run, entry.ref)


class Stream:
    """One channel's run of messages.

    Args:
        keep: what is kept.
        used: where the bytes of metadata are counted, with other channels.
        epoch: names the run; a new one by default.

    """

    __slots__ = ("_authors", "epoch", "keep", "last_member", "offset", "repeats", "ring", "shelf")

    def __init__(self, keep: Keep, used: Used, epoch: str = "") -> None:
        self.epoch = epoch or secrets.token_hex(8)
        self.offset = 0
        self.keep = keep
        self.last_member = 0
        self.ring = Ring(keep)
        self.repeats = Repeats(max(MOST, keep.messages))
        self.shelf = Shelf(used)
        """The channel's metadata."""
        self._authors: dict[int, tuple[Author, int]] = {}
        """By member number: who it was, and how many of its messages are kept."""

    @property
    def position(self) -> Position:
        """Where the channel stands."""
        return Position(self.epoch, self.offset)

    @property
    def size(self) -> int:
        """Bytes of what is kept, roughly."""
        hellos = sum(len(author.hello or b"") + COST for author, _ in self._authors.values())
        return self.ring.size + hellos + self.shelf.cost

    @property
    def blank(self) -> bool:
        """Whether nothing has ever happened that could be continued."""
        return self.offset == 0 and self.shelf.revision == 0

    def change(self, change: Change) -> None:
        """Make a change of metadata that was planned."""
        self.shelf.make(change)
        self.last_member = max(self.last_member, change.author.member)

    def place(self, entry: Message, at: float) -> Kept:
        """Give a message the next offset, and keep it."""
        author = entry.author
        self.expire(at)
        self.offset += 1
        entry.offset = self.offset
        kept = Kept(self.offset, author.member, at, entry.data[MESSAGE_START:])
        self.restore(kept, author, identity_of(entry))
        return kept

    def restore(self, kept: Kept, author: Author, identity: Identity) -> None:
        """Keep a message that has its offset."""
        self.repeats.note(identity, kept.offset)
        self.last_member = max(self.last_member, kept.member)
        _, count = self._authors.get(kept.member, (author, 0))
        self._authors[kept.member] = (author, count + 1)
        self._release(self.ring.append(kept))

    def settled(self, entry: Message) -> bool:
        """Say whether a message was placed before, and give it the offset that it has."""
        found = self.repeats.find(identity_of(entry))
        if found is None:
            return False
        entry.offset, entry.repeated = found, True
        return True

    def allow(self, keep: Keep) -> None:
        """Let these bounds count from now on."""
        self.keep = keep
        self._release(self.ring.allow(keep))

    def expire(self, now: float) -> None:
        """Let go what is too old."""
        self._release(self.ring.expire(now))

    def erase(self, upto: int | None = None) -> int:
        """Let go what was kept up to an offset, or all of it; return how many messages."""
        gone = self.ring.erase(upto)
        self._release(gone)
        return len(gone)

    def authors(self, members: Collection[int]) -> dict[int, Author]:
        """Return who sent kept messages under these member numbers."""
        return {number: self._authors[number][0] for number in members if number in self._authors}

    def _release(self, gone: Collection[Kept]) -> None:
        for message in gone:
            author, count = self._authors[message.member]
            if count > 1:
                self._authors[message.member] = (author, count - 1)
            else:
                del self._authors[message.member]
