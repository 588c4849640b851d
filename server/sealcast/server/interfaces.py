"""The seams of the relay, as promises. Adapters (transports, engines) know these and nothing of the core."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple, Protocol

from sealcast.protocol.names import Kind

__all__ = [
    "JOINING",
    "NOTICE",
    "Author",
    "Broker",
    "Change",
    "ChannelKey",
    "EngineDown",
    "Entry",
    "Item",
    "ItemBounds",
    "Items",
    "Keep",
    "Kept",
    "Message",
    "Page",
    "Position",
    "Receiver",
    "Sink",
    "Subscription",
    "Transport",
]

_MESSAGE: Final = int(Kind.MESSAGE)

NOTICE = -1
"""The ``kind`` of an entry that is a control of this node's own, for its local members only."""
JOINING = -2
"""The ``kind`` of the notice that its sender joins: what stands before it in a turn is not for it."""


class ChannelKey(NamedTuple):
    """What names a channel everywhere: the App ID is always the first part."""

    app_id: str
    channel: str


class Position(NamedTuple):
    """A place in a channel's run of messages: offsets of different epochs cannot be compared."""

    epoch: str
    offset: int


class Author(NamedTuple):
    """Who sent a message, as it was introduced to the others then."""

    member: int
    user: str
    hello: bytes | None


class Keep(NamedTuple):
    """What a channel keeps of its messages."""

    messages: int
    """How many; 0: none."""
    bytes: int
    """How large they are together, each with its share of bookkeeping."""
    ttl: float
    """How old they get, in seconds."""


class Kept(NamedTuple):
    """A message that a channel has kept."""

    offset: int
    member: int
    """The number that its sender had then."""
    at: float
    """When it was placed, in Unix seconds."""
    data: bytes
    """``D | SFrame``."""


class Page(NamedTuple):
    """Some kept messages, in the order of their offsets."""

    messages: Sequence[Kept]
    more: bool
    """Whether there are more in the direction that was asked for."""


class Subscription(NamedTuple):
    """Where a channel stands when its turns begin to be delivered."""

    position: Position
    last_member: int
    """No member number up to this one may be given again: kept messages name their senders by it."""


class Item(NamedTuple):
    """A value of a channel's metadata, under its name."""

    name: str
    value: bytes
    revision: int
    """The number of the change that set it."""
    author: Author

    def __repr__(self) -> str:
        return f"Item({self.name!r}, {len(self.value)} bytes, revision={self.revision})"


class Items(NamedTuple):
    """A channel's metadata."""

    revision: int
    """The number of the last change: they are counted from 1."""
    items: Sequence[Item]


class Change(NamedTuple):
    """What has become of a request to change an item."""

    name: str
    value: bytes | None
    """None: the item goes away."""
    revision: int
    """The number of this change; that of the last one when ``made`` is False."""
    author: Author
    made: bool = True
    """Whether anything is different: to take away what is not there changes nothing."""

    def __repr__(self) -> str:
        size = None if self.value is None else len(self.value)
        return f"Change({self.name!r}, {size} bytes, revision={self.revision}, made={self.made})"


class ItemBounds(NamedTuple):
    """How much metadata there may be."""

    items: int
    bytes: int
    """Of one channel: names and values together."""
    together: int
    """Bytes of all channels of an app, with who set the items."""


class EngineDown(Exception):
    """The engine cannot say where a channel stands, because its storage does not answer."""


class Entry:
    """One frame, message or notice of a turn."""

    __slots__ = ("data", "kind", "offset", "ref", "sender")

    def __init__(self, sender: object, kind: int, data: bytes, ref: int = 0) -> None:
        self.sender = sender
        """The local member that sent it; fan-out skips it."""
        self.kind = kind
        self.data = data
        """The WebSocket message as it came in; for a notice, as it goes out."""
        self.ref = ref
        """The ref under which a message is acknowledged; 0 for everything else."""
        self.offset = 0
        """The place of a message, given by the broker."""


class Message(Entry):
    """A message of a turn."""

    __slots__ = ("asker", "author", "repeated", "run")

    def __init__(
        self, sender: object, data: bytes, ref: int, run: bytes, author: Author, asker: object = None
    ) -> None:
        super().__init__(sender, _MESSAGE, data, ref)
        self.asker = asker
        """Where it came from, and what is told what has become of it; not the broker's concern."""
        self.author = author
        """Who sent it."""
        self.run = run
        """With the author's user and ``ref``, what makes it the same one when it comes again; or empty."""
        self.repeated = False
        """Whether the broker has found that it was placed before."""


class Sink(Protocol):
    """What a channel is to its broker. Every message that was published comes back by one of these, once."""

    def deliver(self, turn: Sequence[Entry]) -> None:
        """Hand these entries to the local members, in this order. Every message has its offset."""
        ...

    def settle(self, entries: Sequence[Message]) -> None:
        """These messages were placed before, and have the offset of then: acknowledge them."""
        ...

    def refuse(self, entries: Sequence[Message], name: str) -> None:
        """These messages were not placed, and nobody gets them; *name* is the reply code that says why."""
        ...


class Broker(Protocol):
    """Carries turns between the nodes that have a channel, places messages, and keeps them.

    Promises: messages of a channel are delivered in offset order on every subscribed node, at most
    once; offsets of one epoch grow by one; a new epoch whenever offsets cannot be continued; placing and
    keeping a message are one step; a message that is published again with the same user, run and ref
    is settled with the offset that it has, as long as the engine remembers it; local members never wait
    for another node's frames. Placing may take time: an entry of kind MESSAGE is delivered, and
    acknowledged by the channel, only when it has its place. What else stands in its turn does not wait.
    What waits is bounded in bytes and time: messages beyond that are refused with ``not_stored``.
    Never promised: delivery while a node is cut off; the gap shows in the offsets.
    """

    def publish(self, key: ChannelKey, turn: list[Entry]) -> None:
        """Carry what one channel collected in one turn; the sink is called, now or later. Never blocks."""
        ...

    def subscribe(self, key: ChannelKey, sink: Sink, keep: Keep) -> Subscription:
        """Start delivering a channel's turns to *sink*; return where it stands now.

        Raises:
            EngineDown: that cannot be said.

        """
        ...

    def unsubscribe(self, key: ChannelKey) -> None:
        """Stop delivering. Position and messages are kept for a while, so that they can be continued."""
        ...

    def since(self, key: ChannelKey, position: Position, most: int, most_bytes: int) -> Sequence[Kept] | None:
        """Return every message after *position*; None if one is missing, or there are too many.

        The channel is subscribed. Nothing that comes after these has been delivered to its sink.
        """
        ...

    def page(
        self, key: ChannelKey, *, after: int = 0, before: int | None = None, limit: int, most_bytes: int
    ) -> Page:
        """Return the newest messages below *before*, or the oldest above *after*; at least one if there is.

        The channel is subscribed.
        """
        ...

    def held(self, key: ChannelKey) -> tuple[int, int]:
        """Return how many messages are kept of a channel that is subscribed to, and how large they are.

        Each has its share of bookkeeping, as ``Keep`` counts it.
        """
        ...

    def authors(self, key: ChannelKey, members: Collection[int]) -> dict[int, Author]:
        """Return who sent kept messages under these member numbers, as far as that is known."""
        ...

    def sent_by(self, key: ChannelKey, user: str, run: bytes) -> Collection[int]:
        """Return the offsets of the messages of one run that the engine remembers."""
        ...

    def get_items(self, key: ChannelKey) -> Items:
        """Return the metadata of a channel that is subscribed to, as far as it is kept for good."""
        ...

    def set_item(
        self,
        key: ChannelKey,
        name: str,
        value: bytes | None,
        revision: int | None,
        author: Author,
        bounds: ItemBounds,
        done: Callable[[Change | str], None],
    ) -> None:
        """Change the metadata of a channel that is subscribed to, as ``metadata.Shelf.plan`` says.

        *done* is called when the change is kept for good, at once or later, in the order of revisions; or
        with the name of the reply code that says why there is none. Metadata is kept like the channel's
        position, and no member number of an author is given again.
        """
        ...

    def erase(self, key: ChannelKey, upto: int | None = None) -> int:
        """Throw away the kept messages up to and including an offset, or all; return how many."""
        ...


class Transport(Protocol):
    """One connection, as the core sees it: bytes out, never in."""

    backed_up: bool
    """Whether what is written now only piles up."""

    def write(self, data: bytes) -> None:
        """Send ready-made WebSocket frames. Never blocks; bytes after a close are dropped."""
        ...

    def hold(self) -> None:
        """Read nothing from the peer; what has been read is still passed on."""
        ...

    def release(self) -> None:
        """Read from the peer again."""
        ...

    def ping(self) -> None:
        """Send a WebSocket ping."""
        ...

    def admitted(self) -> None:
        """Accept messages as large as the app allows: the peer is a member, and has more than controls."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Start the closing handshake; the connection is cut when the peer does not finish it in time."""
        ...


class Receiver(Protocol):
    """One connection's core, as its transport sees it."""

    def receive(self, data: bytes) -> None:
        """Take one complete binary message."""
        ...

    def heard(self) -> None:
        """Note that bytes came in."""
        ...

    def pause(self) -> None:
        """The peer does not keep up: what is written from now on only piles up."""
        ...

    def resume(self) -> None:
        """The backlog has gone out."""
        ...

    def refuse(self, name: str) -> None:
        """The peer broke a rule of the transport: end with this end code."""
        ...

    def drain(self, delay: float) -> None:
        """The process is going away: tell the peer to come back after *delay* seconds, and end."""
        ...

    def lost(self, code: int | None) -> None:
        """The connection is gone; *code* is the close code that the peer sent, if any. Called once."""
        ...
