"""A channel's metadata: named values, each with the number of the change that set it.

No I/O and no clock. Engines keep channels in this class, so that all of them agree on what is refused. A
change is planned first, which checks it, and made afterwards: in between an engine may store it.
"""

from __future__ import annotations

from collections.abc import Iterable

from sealcast.protocol.parts import NAME_MAX, VALUE_MAX

from .budget import Used
from .interfaces import Author, Change, Item, ItemBounds, Items

__all__ = ["Refused", "Shelf", "cost_of", "is_name", "size_of"]

_SPACE, _DELETE = 0x20, 0x7F


class Refused(Exception):
    """A change that is not made; ``name`` is the reply code that says why."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Shelf:
    """The items of one channel.

    Args:
        used: where this channel counts the bytes that it takes, with others.
        revision: the number of the last change; changes are counted from 1.
        items: what there is already, as it was stored; no bound applies to it.
        counted: whether *used* has these items already.

    """

    __slots__ = ("_items", "_used", "cost", "revision", "size")

    def __init__(
        self, used: Used, revision: int = 0, items: Iterable[Item] = (), *, counted: bool = False
    ) -> None:
        self.revision = revision
        self.size = 0
        """Bytes of names and values."""
        self.cost = 0
        """Bytes with who set them."""
        self._used = used
        self._items: dict[str, Item] = {}
        for item in items:
            self._put(item)
        if counted:
            used.amount -= self.cost

    def __repr__(self) -> str:
        return f"Shelf({len(self)} items, {self.size} bytes, revision={self.revision})"

    def __len__(self) -> int:
        """How many there are."""
        return len(self._items)

    @property
    def items(self) -> Items:
        """All of them, in the order of their revisions."""
        return Items(self.revision, tuple(self._items.values()))

    def get(self, name: str) -> Item | None:
        """Return the item of that name, if there is one."""
        return self._items.get(name)

    def plan(
        self, name: str, value: bytes | None, revision: int | None, author: Author, bounds: ItemBounds
    ) -> Change:
        """Return the change that a request comes to now. Nothing has changed yet.

        Args:
            name: 1-64 printable ASCII characters.
            value: what to set; None takes the item away.
            revision: only if this is the item's present one, 0: only if there is no such item.
            author: who asks.
            bounds: how much there may be.

        Raises:
            Refused: ``invalid_name``, ``too_big``, ``revision_conflict`` or ``too_many_items``.

        """
        if not is_name(name):
            raise Refused("invalid_name")
        present = self._items.get(name)
        if revision is not None and revision != (0 if present is None else present.revision):
            raise Refused("revision_conflict")
        if value is None:
            made = present is not None
            return Change(name, None, self.revision + made, author, made)
        if len(value) > VALUE_MAX:
            raise Refused("too_big")
        if not self._has_room(Item(name, value, self.revision + 1, author), present, bounds):
            raise Refused("too_many_items")
        return Change(name, value, self.revision + 1, author)

    def make(self, change: Change) -> None:
        """Make a planned change; it has to be the only one that was planned since the last was made."""
        if not change.made:
            return
        if change.revision != self.revision + 1:
            raise ValueError("a change was planned before another one was made")
        self.revision = change.revision
        if change.value is None:
            self._take(change.name)
        else:
            self._put(Item(change.name, change.value, change.revision, change.author))

    def clear(self) -> None:
        """Forget everything, and take up nothing more."""
        for name in tuple(self._items):
            self._take(name)

    def _has_room(self, item: Item, present: Item | None, bounds: ItemBounds) -> bool:
        if present is None and len(self._items) >= bounds.items:
            return False
        size, cost = _more(item, present)
        # Something over its bound may still be made smaller.
        fits_channel = size <= 0 or self.size + size <= bounds.bytes
        return fits_channel and (cost <= 0 or self._used.amount + cost <= bounds.together)

    def _put(self, item: Item) -> None:
        self._count(*_more(item, self._items.pop(item.name, None)))
        self._items[item.name] = item

    def _take(self, name: str) -> None:
        item = self._items.pop(name)
        size, cost = size_of(item), cost_of(item)
        self._count(-size, -cost)

    def _count(self, size: int, cost: int) -> None:
        self.size += size
        self.cost += cost
        self._used.amount += cost


def is_name(name: str) -> bool:
    """Whether something may be called so: 1-64 printable ASCII characters, spaces included."""
    return 0 < len(name) <= NAME_MAX and all(_SPACE <= ord(character) < _DELETE for character in name)


def size_of(item: Item) -> int:
    """Return the bytes that count for an item in its channel: name and value."""
    return len(item.name) + len(item.value)


def cost_of(item: Item) -> int:
    """Return the bytes that an item takes: who set it has to be remembered too."""
    return size_of(item) + len(item.author.user) + len(item.author.hello or b"")


def _more(item: Item, present: Item | None) -> tuple[int, int]:
    """Return how much more *item* is than what it replaces: in its channel, and altogether."""
    if present is None:
        return size_of(item), cost_of(item)
    return size_of(item) - size_of(present), cost_of(item) - cost_of(present)
