"""From a channel to its members: turns in order, the same bytes for all, a slice at a time.

The hot path of the relay ends here. A turn is joined once, and the *same bytes object* is written to every
member that sent nothing in it; a sender gets the same bytes with its own cut out. Members that do not keep up
get each frame by itself, through their outboxes. Nothing is awaited, parsed or copied per receiver.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from sealcast.protocol.codes import Code
from sealcast.protocol.controls import Control
from sealcast.protocol.envelope import FRAME_START
from sealcast.protocol.names import Kind

from .config import DeliveryPolicy
from .interfaces import JOINING, NOTICE, Entry
from .shedding import Waiting
from .turns import WRITE_COST

__all__ = ["FanOut", "Outlet", "frame_header"]

_MESSAGE: Final = int(Kind.MESSAGE)

_QUEUE_COST: Final = 1024
"""The work of queueing one frame for one member, as ``turns`` measures it."""

_Cuts: TypeAlias = dict[object, list[tuple[int, int]]]
"""Who sent what of a joined turn: ascending ranges of bytes that are not for that member."""


def _header(length: int) -> bytes:
    if length < 126:
        return bytes((0x82, length))
    if length < 65536:
        return b"\x82\x7e" + length.to_bytes(2, "big")
    return b"\x82\x7f" + length.to_bytes(8, "big")


_HEADERS: Final = tuple(_header(length) for length in range(4096))


def frame_header(length: int) -> bytes:
    """Return the header of an unmasked binary WebSocket frame (RFC 6455 §5.2), FIN set."""
    return _HEADERS[length] if length < 4096 else _header(length)


class Outlet(Protocol):
    """The way out to one connection."""

    def write(self, data: bytes) -> None:
        """Send ready-made WebSocket frames now."""
        ...

    def queue(self, items: Sequence[Waiting]) -> None:
        """Take what is for a connection that is slow; it is dropped or sent as the policies say."""
        ...

    def tell(self, control: Control, ref: int = 0) -> None:
        """Send a control."""
        ...

    def leave(self, channel: int, code: Code) -> None:
        """End the membership in the channel of this number."""
        ...

    def drops(self, channel: int) -> Mapping[tuple[str, str], int]:
        """Return the frames of a channel that were dropped on this way, by kind and reason."""
        ...

    def hold(self) -> None:
        """Read nothing from the connection until ``release``; calls are counted."""
        ...

    def release(self) -> None:
        """Read from the connection again."""
        ...


class _Broadcast:
    """One turn on its way to the members."""

    __slots__ = ("cuts", "items", "joined", "left", "messages", "turn")

    def __init__(self, turn: Sequence[Entry], joined: bytes, cuts: _Cuts, messages: bool) -> None:
        self.turn = turn
        self.joined = joined
        self.cuts = cuts
        self.messages = messages
        self.items: list[Waiting] | None = None
        self.left: dict[object, None] | None = None
        """The members that it has not been sent to, the next one last; None: those that there are."""


class FanOut:
    """The members of a channel, and the turns on their way to them.

    Args:
        number: the channel's number.
        delivery: what happens to frames that a member does not take in time.
        now: the present, in monotonic seconds.

    """

    __slots__ = (
        "_delivery",
        "_fast",
        "_now",
        "_number",
        "_slow",
        "_writes",
        "backlog",
        "pending",
        "sent",
        "spent",
    )

    def __init__(self, number: int, delivery: DeliveryPolicy, now: Callable[[], float]) -> None:
        self._number = number
        self._delivery = delivery
        self._now = now
        self._fast: dict[object, Callable[[bytes], None]] = {}
        self._writes: tuple[tuple[object, Callable[[bytes], None]], ...] | None = None
        """What stands in ``_fast``, for a loop during which that may change; None when it has changed."""
        self._slow: dict[object, Outlet] = {}
        self.pending: deque[_Broadcast] = deque()
        """The turns on their way, the first one first."""
        self.sent: list[Sequence[Entry]] = []
        """The turns with messages that have been sent to everybody, for ``take_sent``."""
        self.backlog = 0
        """Bytes of turns on their way, each counted once."""
        self.spent = 0
        """Work that ``put`` has done; whoever reads it sets it back."""

    # --- members ---

    def add(self, member: object, outlet: Outlet) -> None:
        """Send to this member too, but nothing that is on its way already."""
        for broadcast in self.pending:
            if broadcast.left is None:
                broadcast.left = self._everybody()
        self._fast[member] = outlet.write
        self._writes = None

    def remove(self, member: object) -> None:
        """Send to this member no more, after what is on its way."""
        self.catch_up(member)
        self._fast.pop(member, None)
        self._slow.pop(member, None)
        self._writes = None

    def slow(self, member: object, outlet: Outlet) -> None:
        """Take a member off the shared path: its connection is backed up."""
        if self._fast.pop(member, None) is not None:
            self._slow[member] = outlet
            self._writes = None

    def fast(self, member: object, outlet: Outlet) -> None:
        """Put a member back on the shared path: its backlog has gone out."""
        if self._slow.pop(member, None) is not None:
            self._fast[member] = outlet.write
            self._writes = None

    def close(self) -> None:
        """Forget what is on its way: nobody is there any more."""
        self.pending.clear()
        self.backlog = 0

    # --- turns ---

    def put(self, turn: Sequence[Entry], delivered: Callable[[Entry], bytes], most: int = 0) -> int:
        """Take a turn for all members of this moment, and return how many frames are in it.

        It is sent at once when nothing is on its way and that is no more work than *most*; ``spent`` grows.
        *delivered* makes what members get of a message.
        """
        if len(turn) == 1 and most and not self.pending and not self._slow:
            return self._put_one(turn, delivered, most)
        joined, cuts, frames, messages = _join(turn, delivered)
        self._take(turn, joined, cuts, messages, most)
        return frames

    def _put_one(self, turn: Sequence[Entry], delivered: Callable[[Entry], bytes], most: int) -> int:
        """Take a turn of one frame, as most are under light load, and send it by the shortest way."""
        entry = turn[0]
        data, sender, messages = entry.data, entry.sender, entry.kind == _MESSAGE
        if messages:
            data = entry.data = delivered(entry)
        length = len(data)
        joined = (_HEADERS[length] if length < 4096 else _header(length)) + data
        cost = (WRITE_COST + length) * len(self._fast)
        if cost > most:
            self._take(turn, joined, {sender: [(0, len(joined))]}, messages, most)
        else:
            for member, write in self._writes or self._all_writes():
                if member is not sender:
                    write(joined)
            self.spent += cost
            if messages:
                self.sent.append(turn)
        return 1 if entry.kind >= 0 else 0

    def _take(self, turn: Sequence[Entry], joined: bytes, cuts: _Cuts, messages: bool, most: int) -> None:
        """Send a joined turn now if that is no more work than *most*, else when it is its time."""
        broadcast = _Broadcast(turn, joined, cuts, messages)
        if most and not self.pending and (cost := self._cost(broadcast)) <= most:
            self.spent += cost
            self._send_all(broadcast)
            if messages:
                self.sent.append(turn)
        else:
            self.pending.append(broadcast)
            self.backlog += len(joined)

    def work(self, most: int) -> int:
        """Send the first turn that is on its way, or about *most* of it; return how much work that was."""
        if not self.pending:
            return 0
        broadcast = self.pending[0]
        if broadcast.left is None:
            cost = self._cost(broadcast)
            if cost <= most:
                self._finish(broadcast)
                self._send_all(broadcast)
                return cost
            broadcast.left = self._everybody()
        left, fast, cuts, joined = broadcast.left, self._fast, broadcast.cuts, broadcast.joined
        each = WRITE_COST + len(joined)
        cost = 0
        while left and cost < most:
            member, _ = left.popitem()
            write = fast.get(member)
            if write is not None and member not in cuts:
                write(joined)
                cost += each
            else:
                cost += self._send(member, broadcast)
        if not left:
            self._finish(broadcast)
        return cost

    def catch_up(self, member: object) -> None:
        """Send a member now what is on its way to it."""
        for broadcast in self.pending:
            if broadcast.left is None:
                broadcast.left = self._everybody()
            if member in broadcast.left:
                del broadcast.left[member]
                self._send(member, broadcast)

    def on_their_way(self) -> list[Sequence[Entry]]:
        """Return the turns with messages that have not been sent to everybody."""
        return [broadcast.turn for broadcast in self.pending if broadcast.messages]

    def take_sent(self) -> list[Sequence[Entry]]:
        """Return the turns with messages that have been sent since the last time."""
        sent, self.sent = self.sent, []
        return sent

    def _cost(self, broadcast: _Broadcast) -> int:
        """Return how much work it is to send a turn to everybody."""
        cost = (WRITE_COST + len(broadcast.joined)) * len(self._fast)
        return cost + _QUEUE_COST * len(broadcast.turn) * len(self._slow) if self._slow else cost

    def _everybody(self) -> dict[object, None]:
        return dict.fromkeys(reversed([*self._fast, *self._slow]))

    def _finish(self, broadcast: _Broadcast) -> None:
        self.pending.popleft()
        self.backlog -= len(broadcast.joined)
        if broadcast.messages:
            self.sent.append(broadcast.turn)

    def _send_all(self, broadcast: _Broadcast) -> None:
        # A write may find its connection backed up and move the member to the slow path: not for this turn.
        slow = list(self._slow.items()) if self._slow else None
        joined, cuts = broadcast.joined, broadcast.cuts
        for member, write in self._writes or self._all_writes():
            if member not in cuts:
                write(joined)
        for sender, own in cuts.items():
            # Most turns have one sender, and nothing in them but its own.
            rest = _without(joined, own)
            if rest:
                own_write = self._fast.get(sender)
                if own_write is not None:
                    own_write(rest)
        if slow:
            for member, outlet in slow:
                self._queue(member, outlet, broadcast)

    def _all_writes(self) -> tuple[tuple[object, Callable[[bytes], None]], ...]:
        self._writes = tuple(self._fast.items())
        return self._writes

    def _send(self, member: object, broadcast: _Broadcast) -> int:
        write = self._fast.get(member)
        if write is not None:
            own = broadcast.cuts.get(member)
            data = broadcast.joined if own is None else _without(broadcast.joined, own)
            if data:
                write(data)
            return WRITE_COST + len(data)
        outlet = self._slow.get(member)
        if outlet is None:
            return 0
        self._queue(member, outlet, broadcast)
        return _QUEUE_COST * len(broadcast.turn)

    def _queue(self, member: object, outlet: Outlet, broadcast: _Broadcast) -> None:
        items = broadcast.items
        if items is None:
            now = self._now()
            items = broadcast.items = [self._waiting(entry, now) for entry in broadcast.turn]
        if member not in broadcast.cuts:
            outlet.queue(items)
            return
        others: list[Waiting] = []
        for entry, item in zip(broadcast.turn, items, strict=True):
            if entry.sender is not member:
                others.append(item)
            elif entry.kind == JOINING:
                others.clear()  # what stands before its joining is not for it
        if others:
            outlet.queue(others)

    def _waiting(self, entry: Entry, now: float) -> Waiting:
        data = entry.data
        wire = frame_header(len(data)) + data
        if entry.kind == _MESSAGE or entry.kind < 0:
            return Waiting(max(entry.kind, NOTICE), wire, self._number, now)
        # Whether a remote member marks its keyframes is not known here: most do.
        keyed = bool(getattr(entry.sender, "keyed", -1) >> data[FRAME_START + 3] & 1)
        return Waiting.frame(data, wire, self._number, now, self._delivery, keyed=keyed)


def _join(turn: Sequence[Entry], delivered: Callable[[Entry], bytes]) -> tuple[bytes, _Cuts, int, bool]:
    """Return a turn's bytes, what to cut out for whom, how many frames are in it, and if messages are."""
    parts: list[bytes] = []
    cuts: _Cuts = {}
    messages = False
    size = frames = 0
    for entry in turn:
        data = entry.data
        kind = entry.kind
        if kind == _MESSAGE:
            data = entry.data = delivered(entry)
            messages = True
        if kind >= 0:
            frames += 1
        length = len(data)
        header = _HEADERS[length] if length < 4096 else _header(length)
        parts.append(header)
        parts.append(data)
        end = size + len(header) + length
        own = cuts.get(entry.sender)
        if own is None:
            cuts[entry.sender] = [(0 if kind == JOINING else size, end)]
        else:
            own.append((size, end))
        size = end
    return b"".join(parts), cuts, frames, messages


def _without(joined: bytes, cuts: list[tuple[int, int]]) -> bytes:
    """Return *joined* without these ascending, disjoint ranges."""
    if cuts == [(0, len(joined))]:
        return b""
    rest = []
    start = 0
    for cut, end in cuts:
        if cut > start:
            rest.append(joined[start:cut])
        start = end
    rest.append(joined[start:])
    return b"".join(rest)
