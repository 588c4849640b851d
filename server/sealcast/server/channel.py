"""One channel on this node: its members, and the turn that is being collected.

What members send in one turn of the event loop is collected and flushed once, to the broker, which gives it
back; ``fanout`` brings it to the members. Nothing is awaited.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final

from sealcast.protocol import envelope
from sealcast.protocol.codes import reply
from sealcast.protocol.controls import (
    SERVER_CONTROL_MAX,
    Ack,
    Control,
    Error,
    MemberJoined,
    MemberLeft,
    encode,
)

from .auth import Rights
from .config import DeliveryPolicy
from .fanout import FanOut, Outlet
from .interfaces import (
    JOINING,
    NOTICE,
    Author,
    Broker,
    ChannelKey,
    Entry,
    Keep,
    Kept,
    Message,
    Page,
    Position,
)
from .member import Member
from .metrics import Metrics
from .turns import Busy, Turns
from .under_way import UnderWay

__all__ = ["Channel"]

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


class Channel:
    """A named room inside an app.

    Args:
        key: App ID and name.
        number: its number in this process, never used twice.
        encryption_required: refuse every frame without a well-formed SFrame header.
        delivery: what happens to frames that a member does not take in time.
        keep: what is kept of its messages.
        broker: places messages, keeps them and carries turns.
        metrics: where to count.
        now: the present, in monotonic seconds.
        turns: serves it in turn.
        collecting: called when it begins to collect a turn; ``turns.add`` or what delays that.
        finished: called when the last message of members that have all left has its place.

    Raises:
        EngineDown: the broker cannot say where it stands.

    """

    def __init__(
        self,
        key: ChannelKey,
        number: int,
        *,
        encryption_required: bool,
        delivery: DeliveryPolicy,
        keep: Keep,
        broker: Broker,
        metrics: Metrics,
        now: Callable[[], float],
        turns: Turns,
        collecting: Callable[[Busy], None] | None = None,
        finished: Callable[[Channel], None] = lambda channel: None,
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
        self.roster = _JOINED_COST
        """Bytes of a ``joined`` that lists all members."""
        self._finished = finished
        self._under_way = UnderWay(self.by_user)
        self.keeps = keep.messages > 0
        """Whether it keeps messages at all."""
        self.position, self._next_member = broker.subscribe(key, self, keep)

    # --- members ---

    def fits(self, user: str, hello: bytes | None) -> bool:
        """Whether the members could still be listed in one control if this one joined."""
        return self.roster + _cost(user, hello) <= SERVER_CONTROL_MAX

    def add(
        self, user: str, hello: bytes | None, rights: Rights, outlet: Outlet, now: float, run: bytes = b""
    ) -> Member:
        """Make a member and tell the others; what was sent before it joined is not for it."""
        if self._size:  # many may join at once: a turn of notices need not be told one by one
            self.flush()
        self._next_member += 1
        member = Member(self, self._next_member, user, hello, rights, outlet, run)
        member.refresh(rights, now)
        self.notify(
            MemberJoined(channel=self.number, member=member.number, user=user, hello=hello), member, JOINING
        )
        self.members[member.number] = member
        self.by_user[user] = member
        self.roster += _cost(user, hello)
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
        if not self._under_way.depart(member, reason):
            self._tell_left(member, reason)

    def _tell_left(self, member: Member, reason: str) -> None:
        self.roster -= _cost(member.user, member.hello)
        self.notify(MemberLeft(channel=self.number, member=member.number, reason=reason), member)

    def others(self, member: Member) -> list[Member]:
        """Return everybody else who is a member for the others, with those whose messages are under way.

        A departed one that is *member* itself, by its run or its hello, is not listed.
        """
        ghosts = [ghost for ghost in self._under_way.departed if not member.succeeds(ghost)]
        return [*ghosts, *(other for other in self.members.values() if other is not member)]

    @property
    def over(self) -> bool:
        """Whether nobody is there, and nothing is under way."""
        return not self.members and not self._under_way.departed

    def close(self) -> None:
        """Let the broker go; the channel is over."""
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
        if ref:
            self._under_way.add(member, len(data))
            self._turn.append(Message(member, data, ref, member.run, member.author))
        else:
            self._turn.append(Entry(member, kind, data))
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

    @property
    def storing_slowly(self) -> bool:
        """Whether so many messages have no place yet that no further one is to be taken."""
        return self._under_way.crowded

    def notify(self, control: Control, about: Member, kind: int = NOTICE) -> None:
        """Tell every member but *about*, in order with what is sent."""
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
        gone = self._under_way.end(turn) if self._under_way.waiting else ()
        frames = out.put(turn, self._delivered, self._room)
        metrics.turns += 1
        if self.members:
            metrics.deliveries += frames * (len(self.members) - 1)
        if gone:
            self._end_departures(gone)
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
        assert isinstance(entry, Message)
        self.position = Position(self.position.epoch, entry.offset)
        return envelope.delivered(
            self.number, entry.author.member, entry.offset, memoryview(entry.data)[envelope.MESSAGE_START :]
        )

    def settle(self, entries: Sequence[Message]) -> None:
        """Acknowledge messages that were placed before."""
        gone = self._under_way.end(entries)
        self._acknowledge(entries)
        self._end_departures(gone)

    def refuse(self, entries: Sequence[Message], name: str) -> None:
        """Tell the senders of messages that were not placed why."""
        gone = self._under_way.end(entries)
        self.metrics.refused[name] += len(entries)
        for entry in entries:
            sender = entry.sender
            if entry.ref and isinstance(sender, Member) and self.members.get(sender.number) is sender:
                sender.outlet.tell(Error.of(reply(name), channel=self.number), entry.ref)
        self._end_departures(gone)

    def _end_departures(self, gone: Collection[tuple[Member, str]]) -> None:
        """Tell who has left, now that their last messages have been dealt with."""
        for member, reason in gone:
            self._tell_left(member, reason)
        if gone and self.over:
            self._finished(self)

    # --- what was kept ---

    def replay(self, member: Member, since: Position | None, most: int, most_bytes: int) -> list[Kept] | None:
        """Return what a member that has just been added missed after *since*; None if it cannot be whole.

        Its own messages are left out. What comes after these reaches it by itself.
        """
        if since is None:
            return None
        found = self._broker.since(self.key, since, most, most_bytes)
        if not found:
            return None if found is None else []
        own = self._broker.sent_by(self.key, member.user, member.run) if member.run else ()
        return [kept for kept in found if kept.offset not in own]

    def page(self, *, after: int, before: int | None, limit: int, most_bytes: int) -> Page:
        """Return kept messages below *before*, or above *after*."""
        return self._broker.page(self.key, after=after, before=before, limit=limit, most_bytes=most_bytes)

    def authors(self, messages: Collection[Kept]) -> dict[int, Author]:
        """Return who sent these messages, by member number."""
        return self._broker.authors(self.key, {kept.member for kept in messages})

    def absent_authors(self, messages: Collection[Kept], member: Member) -> list[Author]:
        """Return the senders of these messages that are not listed as members when *member* joins."""
        listed = {other.number for other in self.others(member)}
        return [author for number, author in self.authors(messages).items() if number not in listed]

    def _acknowledge(self, turn: Sequence[Entry], only: Member | None = None) -> None:
        for entry in turn:
            sender = entry.sender
            if not entry.ref or not isinstance(entry, Message) or not isinstance(sender, Member):
                continue
            if only in (None, sender) and self.members.get(sender.number) is sender:
                ref, entry.ref = entry.ref, 0
                ack = Ack(channel=self.number, offset=entry.offset, repeated=entry.repeated)
                sender.outlet.tell(ack, ref)

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
