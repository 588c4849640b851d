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
    MemberState,
    encode,
)

from .archive import Archive
from .auth import Rights
from .clock import TimingWheel
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
    Position,
)
from .member import Member
from .metrics import Metrics
from .presence import Presence, PresencePolicy, listed_cost
from .tally import Traffic
from .turns import Busy, Turns
from .under_way import UnderWay

__all__ = ["Channel"]

_JOINED_COST: Final = 1024
"""Bytes of ``joined`` beside its members."""

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
        presence: when it is told who comes and goes.
        wheel: wakes it when that is told at intervals.
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
        presence: PresencePolicy,
        wheel: TimingWheel,
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
        self.traffic = Traffic(now())
        self.members: dict[int, Member] = {}
        self.by_user: dict[str, Member] = {}
        self.queued = False
        self.due: float | None = None
        self.policy = presence
        self._presence = Presence(number, presence)
        self._wheel = wheel
        self._now = now
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
        self.archive = Archive(broker, key)
        """What it has kept of its messages."""
        self.keeps = keep.messages > 0
        """Whether it keeps messages at all."""
        self.position, self._next_member = broker.subscribe(key, self, keep)

    # --- members ---

    def fits(self, user: str, hello: bytes | None) -> bool:
        """Whether the members could still be listed in one control if this one joined."""
        return self.roster + listed_cost(user, hello) <= SERVER_CONTROL_MAX

    def add(
        self, user: str, hello: bytes | None, rights: Rights, outlet: Outlet, now: float, run: bytes = b""
    ) -> Member:
        """Make a member and tell the others; what was sent before it joined is not for it."""
        self._next_member += 1
        member = Member(self, self._next_member, user, hello, rights, outlet, run)
        member.refresh(rights, now)
        self._presence.counted(len(self.members) + 1)
        notice = self._presence.came(member.info)
        # Many may join at once: a turn of notices need not be told one by one. What stands before its own
        # notice is not for the newcomer; without one, nothing may stand there.
        if self._size or (notice is None and self._turn):
            self.flush()
        if notice is not None:
            self.notify(notice, member, JOINING)
        else:
            self._wheel.sooner(self, self._now() + self.policy.interval)
        self.members[member.number] = member
        self.by_user[user] = member
        self.roster += listed_cost(user, hello)
        self._out.add(member, outlet)
        return member

    def introduce(self, member: Member) -> None:
        """Tell the others of a member that is about to be heard, if they have not been told."""
        member.spoke = True
        notice = self._presence.speaks(member.number)
        if notice is not None:
            self.notify(notice, member)

    def set_state(self, member: Member, state: bytes | None) -> bool:
        """Let a member be introduced with this state from now on, and tell the others; False: no room."""
        more = len(state or b"") - len(member.state or b"")
        if more > 0 and self.roster + more > SERVER_CONTROL_MAX:
            return False
        self.roster += more
        member.state = state
        if self._presence.changed(member.info):
            self.notify(MemberState(channel=self.number, member=member.number, data=state), member)
        return True

    def part(self, member: Member, outlet: Outlet) -> None:
        """Let a member be away: it is sent nothing, and nobody is told."""
        self._out.remove(member)
        self._under_way.release(member)
        if member in self._held:
            self._held.remove(member)
            member.outlet.release()
        member.outlet = outlet

    def back(self, member: Member, rights: Rights, outlet: Outlet, now: float) -> None:
        """Let a member be there again on another connection, as if it had never been away."""
        if self._turn:  # what was collected meanwhile is not for it
            self.flush()
        member.outlet = outlet
        member.meter, member.allowance = None, -1
        member.refresh(rights, now)
        self._out.add(member, outlet)

    def on_time(self, now: float) -> float | None:
        """Tell who came and went since the last time; called by the wheel."""
        summary = self._presence.summary(len(self.members))
        if summary is not None:
            self.notify(summary, None)
        return now + self.policy.interval if self._presence.collecting and self.members else None

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
        self._presence.counted(len(self.members))
        if not self._under_way.depart(member, reason):
            self._tell_left(member, reason)

    def _tell_left(self, member: Member, reason: str) -> None:
        self.roster -= listed_cost(member.user, member.hello) + len(member.state or b"")
        notice = self._presence.went(member.number, reason, spoke=member.spoke)
        if notice is not None:
            self.notify(notice, member)
        elif self._presence.waits:
            self._wheel.sooner(self, self._now() + self.policy.interval)

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
        self._wheel.schedule(self, None)
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
            self._turn.append(Message(member, data, ref, member.run, member.author, member.outlet))
        else:
            self._turn.append(Entry(member, kind, data))
        size = len(data)
        member.bytes_in += size
        counts = member.kinds[kind]
        counts[0] += 1
        counts[1] += size
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
            sender = self._asker(entry)
            if sender is not None:
                sender.outlet.tell(Error.of(reply(name), channel=self.number), entry.ref)
        self._end_departures(gone)

    def _end_departures(self, gone: Collection[tuple[Member, str]]) -> None:
        """Tell who has left, now that their last messages have been dealt with."""
        for member, reason in gone:
            self._tell_left(member, reason)
        if gone and self.over:
            self._finished(self)

    def absent_authors(self, messages: Collection[Kept], member: Member) -> list[Author]:
        """Return the senders of these messages that are not listed as members when *member* joins."""
        listed = {other.number for other in self.others(member)}
        return [author for number, author in self.archive.authors(messages).items() if number not in listed]

    def _acknowledge(self, turn: Sequence[Entry], only: Member | None = None) -> None:
        for entry in turn:
            if not entry.ref or not isinstance(entry, Message):
                continue
            sender = self._asker(entry)
            if sender is not None and only in (None, sender):
                ref, entry.ref = entry.ref, 0
                ack = Ack(channel=self.number, offset=entry.offset, repeated=entry.repeated)
                sender.outlet.tell(ack, ref)

    def _asker(self, entry: Message) -> Member | None:
        """Return who sent a message, if it is there on the connection on which it sent it."""
        sender = entry.sender
        if not isinstance(sender, Member) or sender.outlet is not entry.asker:
            return None
        return sender if self.members.get(sender.number) is sender else None

    def _hold(self, member: Member) -> None:
        """Let a member that sends faster than it goes out wait, and when that does not help, everybody."""
        if member not in self._held:
            self._held.add(member)
            member.outlet.hold()
        if self.crowded:
            for other in self.members.values():
                other.allowance = -1  # ask before the next frame
