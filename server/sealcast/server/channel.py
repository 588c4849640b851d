"""One channel on this node: its members, the turn that is being collected, and the fan-out.

The hot path of the relay is here. What members send in one turn of the event loop is collected and
flushed once: joined once, and the *same bytes object* written to every member that sent nothing in the
turn; a sender gets the same bytes with its own cut out. Nothing is awaited, parsed or copied per receiver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

from sealcast.protocol import envelope
from sealcast.protocol.codes import Code
from sealcast.protocol.controls import (
    SERVER_CONTROL_MAX,
    Ack,
    Control,
    Joined,
    MemberInfo,
    MemberJoined,
    MemberLeft,
    Renewed,
    encode,
)
from sealcast.protocol.descriptor import KEYFRAME, RESERVED
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import LEAST, HeaderError, read_header

from .auth import Rights, kinds_until
from .config import DeliveryPolicy
from .interfaces import JOINING, NOTICE, Broker, ChannelKey, Entry
from .limits import Meter
from .metrics import Metrics
from .shedding import Waiting

__all__ = ["Channel", "Member", "Outlet", "frame_header"]

_MESSAGE: Final = int(Kind.MESSAGE)
_KINDS: Final = frozenset(map(int, Kind))

_COUNTERS_MAX: Final = 256
"""Keys of one member whose counters the relay remembers; the oldest is forgotten first."""

_HEAD: Final = 7
"""Bytes of descriptor, config and a key id of two bytes: alike in all frames of a stream under one key."""
_HEADS_MAX: Final = 64
_TWO_BYTE_KID: Final = 0x9
"""The high half of a config byte that says so (RFC 9605 §4.3)."""
_Head: TypeAlias = tuple[list[int], int, int]
"""The counter that has to grow, where its bytes end, and the least value that takes so many."""

_MEMBER_COST: Final = 32
"""Bytes of a member in ``joined``, beside its name and hello; and of the rest of ``joined``, _JOINED_COST."""
_JOINED_COST: Final = 1024

_Cuts: TypeAlias = dict[object, list[tuple[int, int]]]
"""Who sent what of a joined turn: ascending ranges of bytes that are not for that member."""

_TURN_MAX: Final = 256 * 1024
"""Bytes at which a turn is flushed before it is over: one write adds so much to a transport that may be
backed up already, and not more than that is beyond its outbox's bound."""


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


class Member:
    """A user joined to a channel through a session."""

    __slots__ = (
        "_counters",
        "_heads",
        "allowance",
        "allowed",
        "bytes_in",
        "changes",
        "channel",
        "frames_in",
        "hello",
        "keyed",
        "meter",
        "number",
        "outlet",
        "rights",
        "user",
    )

    def __init__(
        self, channel: Channel, number: int, user: str, hello: bytes | None, rights: Rights, outlet: Outlet
    ) -> None:
        self.channel = channel
        self.number = number
        self.user = user
        self.hello = hello
        self.outlet = outlet
        self.frames_in = 0
        self.bytes_in = 0
        self.meter: Meter | None = None
        """What it may send; made when it sends something."""
        self.allowance = -1
        """The number of ``bytes_in`` up to which its meter need not be asked."""
        self.keyed = 0
        """A bit mask of its streams that have carried a keyframe."""
        self._counters: dict[int, list[int]] = {}
        """The last counter of each key id."""
        self._heads: dict[bytes, _Head] = {}
        """What stood before the counter of frames that were let through, and what it says of the next."""
        self.rights = rights
        self.allowed = 0
        self.changes: float | None = None
        """When, in Unix seconds, the mask of allowed kinds changes next."""

    def refresh(self, rights: Rights, now: float) -> None:
        """Let these rights count from now on."""
        self.rights = rights
        self._heads.clear()
        self.allowed, self.changes = kinds_until(rights, now)

    def joined(self, now: float, policy: dict[str, str]) -> Joined:
        """Return what the member is told: its numbers, the others, and its rights at *now* (Unix seconds)."""
        channel = self.channel
        return Joined(
            channel=channel.number,
            member=self.number,
            epoch=channel.position.epoch,
            offset=channel.position.offset,
            members=tuple(
                MemberInfo(member=other.number, user=other.user, hello=other.hello)
                for other in channel.members.values()
                if other is not self
            ),
            grant=self.rights.left(now),
            expires_in=max(self.rights.expires - now, 0),
            policy=policy,
        )

    def renewed(self, now: float) -> Renewed:
        """Return what the member is told of its new rights at *now* (Unix seconds)."""
        rights = self.rights
        return Renewed(
            channel=self.channel.number, grant=rights.left(now), expires_in=max(rights.expires - now, 0)
        )

    def check(self, data: bytes, start: int) -> str | None:
        """Check what the relay may know of a frame or message whose descriptor is at *start*.

        Returns the name of the reply code to refuse it with, or None; only a None moves the counter.
        """
        known = self._heads.get(data[start : start + _HEAD])
        if known is None:
            return self._check_any(data, start)
        counter, end, least = known
        value = int.from_bytes(data[start + _HEAD : start + end], "big")
        if len(data) < start + end or value < least:
            return "encryption_required"
        if value <= counter[0]:
            return "counter_repeated"
        counter[0] = value
        return None

    def _check_any(self, data: bytes, start: int) -> str | None:
        """Check a frame whose first bytes are not known yet, and remember them."""
        first = data[start]
        kind = first & 15
        if not self.allowed >> kind & 1:
            return "not_permitted" if kind in _KINDS else "bad_frame"
        flags = data[start + 1]
        if flags & (RESERVED | KEYFRAME):  # seldom
            if flags & RESERVED:
                return "bad_frame"
            self.keyed |= 1 << data[start + 3]
        if first >> 4 == 1:
            return self._check_counter(data, start)
        if first >> 4 != 2 or self.channel.encryption_required:
            return "encryption_required"
        self.channel.metrics.clear_frames += 1
        return None

    def _check_counter(self, data: bytes, start: int) -> str | None:
        try:
            key_id, value, end = read_header(data, start + 4)
        except HeaderError:
            return "encryption_required"
        counter = self._counters.get(key_id)
        if counter is None:
            if len(self._counters) >= _COUNTERS_MAX:
                del self._counters[next(iter(self._counters))]
                self._heads.clear()
            counter = self._counters[key_id] = [-1]
        if value <= counter[0]:
            return "counter_repeated"
        counter[0] = value
        size = end - start - _HEAD
        if data[start + 4] >> 4 == _TWO_BYTE_KID and size > 0:
            if len(self._heads) >= _HEADS_MAX:
                self._heads.clear()
            self._heads[data[start : start + _HEAD]] = (counter, end - start, LEAST[size])
        return None


class Channel:
    """A named room inside an app.

    Args:
        key: App ID and name.
        number: its number in this process, never used twice.
        encryption_required: refuse every frame without a well-formed SFrame header.
        delivery: what happens to frames that a member does not take in time.
        broker: places messages and carries turns.
        metrics: where to count.
        now: the present, in monotonic seconds.
        call_soon: runs a callable once, later in this turn of the event loop.

    """

    def __init__(
        self,
        key: ChannelKey,
        number: int,
        *,
        encryption_required: bool,
        delivery: DeliveryPolicy,
        broker: Broker,
        metrics: Metrics,
        now: Callable[[], float],
        call_soon: Callable[[Callable[[], None]], object],
    ) -> None:
        self.key = key
        self.number = number
        self.encryption_required = encryption_required
        self.delivery: DeliveryPolicy = delivery
        self.metrics = metrics
        self.members: dict[int, Member] = {}
        self.by_user: dict[str, Member] = {}
        self._broker = broker
        self._now = now
        self._call_soon = call_soon
        self._turn: list[Entry] = []
        self._size = 0
        """Bytes of frames and messages in this turn."""
        self._notices = 0
        """Bytes of notices in it."""
        self._fast: dict[object, Callable[[bytes], None]] = {}
        self._writes: tuple[tuple[object, Callable[[bytes], None]], ...] | None = None
        """What stands in ``_fast``, for a loop during which that may change; None when it has changed."""
        self._slow: dict[Member, Outlet] = {}
        self._next_member = 0
        self._roster = _JOINED_COST
        """Bytes of a ``joined`` that lists all members."""
        self.position = broker.subscribe(key, self)

    # --- members ---

    def fits(self, user: str, hello: bytes | None) -> bool:
        """Whether the members could still be listed in one control if this one joined."""
        return self._roster + _cost(user, hello) <= SERVER_CONTROL_MAX

    def add(self, user: str, hello: bytes | None, rights: Rights, outlet: Outlet, now: float) -> Member:
        """Make a member and tell the others; what was sent before it joined is not for it."""
        if self._size:  # many may join at once: a turn of notices need not be told one by one
            self.flush()
        self._next_member += 1
        member = Member(self, self._next_member, user, hello, rights, outlet)
        member.refresh(rights, now)
        self.notify(
            MemberJoined(channel=self.number, member=member.number, user=user, hello=hello), member, JOINING
        )
        self.members[member.number] = member
        self.by_user[user] = member
        self._roster += _cost(user, hello)
        self._fast[member] = outlet.write
        self._writes = None
        return member

    def remove(self, member: Member, reason: str) -> None:
        """Forget a member and tell the others why; what was sent while it was there still reaches it."""
        if self._size:
            self.flush()
        del self.members[member.number]
        if self.by_user.get(member.user) is member:
            del self.by_user[member.user]
        self._roster -= _cost(member.user, member.hello)
        self._fast.pop(member, None)
        self._slow.pop(member, None)
        self._writes = None
        self.notify(MemberLeft(channel=self.number, member=member.number, reason=reason), member)

    def close(self) -> None:
        """Let the broker go; the channel has no members any more."""
        self._turn.clear()
        self._broker.unsubscribe(self.key)

    def slow(self, member: Member) -> None:
        """Take a member off the shared path: its connection is backed up."""
        if self._fast.pop(member, None) is not None:
            self._slow[member] = member.outlet
            self._writes = None

    def fast(self, member: Member) -> None:
        """Put a member back on the shared path: its backlog has gone out."""
        if self._slow.pop(member, None) is not None:
            self._fast[member] = member.outlet.write
            self._writes = None

    # --- a turn ---

    def collect(self, member: Member, kind: int, data: bytes, ref: int = 0) -> None:
        """Take one checked frame or message into this turn."""
        if not self._turn:
            self._call_soon(self.flush)
        self._turn.append(Entry(member, kind, data, ref))
        size = len(data)
        member.frames_in += 1
        member.bytes_in += size
        self._size += size
        if self._size > _TURN_MAX:
            self.flush()

    def notify(self, control: Control, about: Member, kind: int = NOTICE) -> None:
        """Tell every member but *about*, in order with what is sent."""
        if not self._turn:
            self._call_soon(self.flush)
        data = encode(control)
        self._turn.append(Entry(about, kind, data))
        self._notices += len(data)
        if self._notices > _TURN_MAX:
            self.flush()

    def flush(self) -> None:
        """Give what was collected to the broker, which delivers it."""
        if self._turn:
            turn, self._turn = self._turn, []
            self._size = self._notices = 0
            self._broker.publish(self.key, turn)

    def deliver(self, turn: Sequence[Entry]) -> None:
        """Write a turn to all members, and acknowledge the messages in it."""
        metrics = self.metrics
        metrics.turns += 1
        # A write may find its connection backed up and move the member to the slow path: not for this turn.
        slow = list(self._slow.items()) if self._slow else None
        joined, cuts, frames, messages = self._joined(turn)
        self._write(joined, cuts)
        if slow:
            self._queue(turn, slow)
        metrics.deliveries += frames * (len(self.members) - 1)
        if messages:
            self._acknowledge(turn)

    def _joined(self, turn: Sequence[Entry]) -> tuple[bytes, _Cuts, int, bool]:
        """Join a turn's bytes; return them, what to cut out for whom, how many frames, and if messages."""
        parts: list[bytes] = []
        cuts: _Cuts = {}
        messages = False
        size = frames = 0
        for entry in turn:
            data = entry.data
            kind = entry.kind
            if kind == _MESSAGE:
                data = entry.data = self._delivered(entry)
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

    def _write(self, joined: bytes, cuts: _Cuts) -> None:
        writes = self._writes
        if writes is None:
            writes = self._writes = tuple(self._fast.items())
        for member, write in writes:
            if member not in cuts:
                write(joined)
        for sender, own in cuts.items():
            # Most turns have one sender, and nothing in them but its own.
            rest = _without(joined, own)
            if rest:
                own_write = self._fast.get(sender)
                if own_write is not None:
                    own_write(rest)

    def _queue(self, turn: Sequence[Entry], slow: list[tuple[Member, Outlet]]) -> None:
        now = self._now()
        items = [self._waiting(entry, now) for entry in turn]
        starts = {entry.sender: index for index, entry in enumerate(turn) if entry.kind == JOINING}
        senders = {entry.sender for entry in turn}
        for member, outlet in slow:
            if member not in senders:
                outlet.queue(items)
                continue
            start = starts.get(member, 0)
            others = [
                item
                for entry, item in zip(turn[start:], items[start:], strict=True)
                if entry.sender is not member
            ]
            if others:
                outlet.queue(others)

    def _waiting(self, entry: Entry, now: float) -> Waiting:
        data, sender = entry.data, entry.sender
        wire = frame_header(len(data)) + data
        if entry.kind == _MESSAGE or entry.kind < 0:
            return Waiting(max(entry.kind, NOTICE), wire, self.number, now)
        # Whether a remote member marks its keyframes is not known here: most do.
        keyed = not isinstance(sender, Member) or bool(sender.keyed >> data[envelope.FRAME_START + 3] & 1)
        return Waiting.frame(data, wire, self.number, now, self.delivery, keyed=keyed)

    def _delivered(self, entry: Entry) -> bytes:
        assert isinstance(entry.sender, Member)
        self.position = self.position._replace(offset=entry.offset)
        return envelope.delivered(
            self.number, entry.sender.number, entry.offset, memoryview(entry.data)[envelope.MESSAGE_START :]
        )

    def _acknowledge(self, turn: Sequence[Entry]) -> None:
        for entry in turn:
            if entry.kind == _MESSAGE and isinstance(entry.sender, Member) and entry.ref:
                entry.sender.outlet.tell(Ack(channel=self.number, offset=entry.offset), entry.ref)


def _cost(user: str, hello: bytes | None) -> int:
    return _MEMBER_COST + len(user) + len(hello or b"")


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
