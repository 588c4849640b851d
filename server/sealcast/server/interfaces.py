"""The seams of the relay, as promises. Adapters (transports, engines) know these and nothing of the core."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from .author import Author
from .metadata import Change, ItemBounds, Items

__all__ = [
    "JOINING",
    "NOTICE",
    "Author",
    "Broker",
    "ChannelKey",
    "Entry",
    "Position",
    "Receiver",
    "Sink",
    "Transport",
]

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


class Sink(Protocol):
    """What a channel is to its broker."""

    def deliver(self, turn: Sequence[Entry]) -> None:
        """Hand these entries to the local members, in this order. Every message has its offset."""
        ...


class Broker(Protocol):
    """Carries turns between the nodes that have a channel, and places messages.

    Promises: messages of a channel are delivered in offset order on every subscribed node, at most
    once; offsets of one epoch grow by one; a new epoch whenever offsets cannot be continued; local
    members never wait for another node's frames. Placing may take time: an entry of kind MESSAGE is
    delivered, and acknowledged by the channel, only when it has its place.
    Never promised: delivery while a node is cut off; the gap shows in the offsets.
    """

    def publish(self, key: ChannelKey, turn: list[Entry]) -> None:
        """Carry what one channel collected in one loop turn. Never blocks; ``Sink.deliver`` follows."""
        ...

    def subscribe(self, key: ChannelKey, sink: Sink) -> Position:
        """Start delivering a channel's turns to *sink*; return its position now."""
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
        """Change the metadata of a channel that is subscribed to, as ``Items.plan`` says.

        *done* is called when the change is kept for good, at once or later, in the order of revisions; or
        with the name of the reply code that says why there is none.
        """
        ...

    def unsubscribe(self, key: ChannelKey) -> None:
        """Stop delivering. The channel's position is kept for a while, so that it can be continued."""
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
