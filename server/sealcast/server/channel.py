"""One channel on this node: its members, and the turn that is being collected.

What members send in one turn of the event loop is collected and flushed once, to the broker, which gives it
back; ``fanout`` brings it to the members. Nothing is awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from sealcast.protocol import envelope
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
from .fanout import FanOut, Outlet
from .interfaces import JOINING, NOTICE, Broker, ChannelKey, Entry
from .limits import Meter
from .metrics import Metrics
from .turns import Busy, Turns

__all__ = ["Channel", "Member"]

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

_TURN_MAX: Final = 256 * 1024
"""Bytes at which a turn is flushed before it is over: one write adds so much to a transport that may be
backed up already, and not more than that is beyond its outbox's bound."""

_BACKLOG: Final = 1024 * 1024
"""Bytes on their way to members at which whoever sends more is not read from for a while."""
_CROWDED: Final = 8 * 1024 * 1024
"""Bytes at which what has been read already is refused."""


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
        turns: serves it in turn.
        collecting: called when it begins to collect a turn; ``turns.add`` or what delays that.

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
        turns: Turns,
        collecting: Callable[[Busy], None] | None = None,
    ) -> None:
        self.key = key
        self.number = number
        self.encryption_required = encryption_required
        self.delivery: DeliveryPolicy = delivery
        self.metrics = metrics
        self.members: dict[int, Member] = {}
        self.by_user: dict[str, Member] = {}
        self.queued = False
        self._broker = broker
        self._turns = turns
        self._collecting = collecting or turns.add
        self._out = FanOut(number, delivery, now)
        self._room = 0
        """The work that may be done at once with what the broker hands over: some, while this is served."""
        self._held: set[Member] = set()
        """Members that nothing is read from until the backlog is less."""
        self._turn: list[Entry] = []
        self._size = 0
        """Bytes of frames and messages in this turn."""
        self._notices = 0
        """Bytes of notices in it."""
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
        self._out.add(member, outlet)
        return member

    def remove(self, member: Member, reason: str) -> None:
        """Forget a member and tell the others why; what was sent while it was there still reaches it."""
        if self._size:
            self.flush()
        self._out.remove(member)
        for turn in self._out.on_their_way():
            self._acknowledge(turn, member)
        if member in self._held:
            self._held.remove(member)
            member.outlet.release()
        del self.members[member.number]
        if self.by_user.get(member.user) is member:
            del self.by_user[member.user]
        self._roster -= _cost(member.user, member.hello)
        self.notify(MemberLeft(channel=self.number, member=member.number, reason=reason), member)

    def close(self) -> None:
        """Let the broker go; the channel has no members any more."""
        self._turn.clear()
        self._out.close()
        self._broker.unsubscribe(self.key)

    def slow(self, member: Member) -> None:
        """Take a member off the shared path: its connection is backed up."""
        self._out.slow(member, member.outlet)

    def fast(self, member: Member) -> None:
        """Put a member back on the shared path: its backlog has gone out."""
        self._out.fast(member, member.outlet)

    # --- a turn ---

    def collect(self, member: Member, kind: int, data: bytes, ref: int = 0) -> None:
        """Take one checked frame or message into this turn."""
        if not self._turn:
            self._collecting(self)
        self._turn.append(Entry(member, kind, data, ref))
        size = len(data)
        member.frames_in += 1
        member.bytes_in += size
        self._size += size
        if self._size > _TURN_MAX:
            self.flush()
            if self._out.backlog > _BACKLOG:
                self._hold(member)

    @property
    def crowded(self) -> bool:
        """Whether so much is on its way that nothing more is to be taken from anybody."""
        return self._out.backlog > _CROWDED

    def notify(self, control: Control, about: Member | None, kind: int = NOTICE) -> None:
        """Tell every member but *about*, if it is about one, in order with what is sent."""
        if not self._turn:
            self._collecting(self)
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

    def flush_to(self, member: Member) -> None:
        """Send a member now what was collected for it, before something that is for it alone."""
        self.flush()
        self._out.catch_up(member)

    def deliver(self, turn: Sequence[Entry]) -> None:
        """Take a turn from the broker; it goes out when it is the channel's time."""
        out, metrics = self._out, self.metrics
        frames = out.put(turn, self._delivered, self._room)
        metrics.turns += 1
        metrics.deliveries += frames * (len(self.members) - 1)
        if out.pending:
            self._turns.add(self)

    @property
    def busy(self) -> bool:
        """Whether something was collected, or is on its way to members."""
        return bool(self._turn or self._out.pending)

    def work(self, most: int) -> int:
        """Send what was collected, or about *most* of it; return how much work that was."""
        out = self._out
        done = 0
        if not out.pending:  # while something is on its way more can be collected, and goes out in one turn
            self._room = most
            try:
                self.flush()
            finally:
                self._room = 0
                done, out.spent = out.spent, 0
        if out.pending and done < most:
            done += out.work(most - done)
        if out.sent:
            for turn in out.take_sent():
                self._acknowledge(turn)
        if self._held and out.backlog <= _BACKLOG // 2:
            held, self._held = self._held, set()
            for member in held:
                member.outlet.release()
        return done

    def _delivered(self, entry: Entry) -> bytes:
        assert isinstance(entry.sender, Member)
        self.position = self.position._replace(offset=entry.offset)
        return envelope.delivered(
            self.number, entry.sender.number, entry.offset, memoryview(entry.data)[envelope.MESSAGE_START :]
        )

    def _acknowledge(self, turn: Sequence[Entry], only: Member | None = None) -> None:
        for entry in turn:
            sender = entry.sender
            if entry.ref and isinstance(sender, Member) and only in (None, sender):
                ref, entry.ref = entry.ref, 0
                sender.outlet.tell(Ack(channel=self.number, offset=entry.offset), ref)

    def _hold(self, member: Member) -> None:
        """Let a member that sends faster than it goes out wait, and when that does not help, everybody."""
        if member not in self._held:
            self._held.add(member)
            member.outlet.hold()
        if self.crowded:
            for other in self.members.values():
                other.allowance = -1  # ask before the next frame


def _cost(user: str, hello: bytes | None) -> int:
    return _MEMBER_COST + len(user) + len(hello or b"")
