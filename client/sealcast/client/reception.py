"""What comes in on a channel: opened, told to the application, counted.

Nothing here causes any traffic: a frame that does not open is counted and told to the application, and
whoever sent it, the relay included, learns nothing from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from sealcast.protocol.controls import MemberInfo
from sealcast.protocol.descriptor import CLEAR, END_OF_GROUP
from sealcast.protocol.names import Kind
from sealcast.protocol.parts import Place

from .e2ee import ChannelCrypto, Received, alerts, notices
from .errors import IdentityChanged, SealError
from .events import (
    Authentic,
    Event,
    Frame,
    KeyChanged,
    KeySwitched,
    Left,
    MemberJoined,
    MemberLeft,
    Message,
    RosterSplit,
    SealFailure,
    Stalled,
    Suppressed,
    TrustEnded,
    Unauthentic,
)
from .failures import REPORT_EVERY, FailureCounts, reason_of
from .inbox import Inbox
from .options import Options
from .position import Position
from .reasons import plain_name
from .roster import Change, Member, Roster, check_user
from .sealing import Clocked
from .stats import Stats

__all__ = ["Reception"]


class Reception:
    """The receiving half of a membership.

    Args:
        crypto: opens what comes in.
        options: the bounds of the inbox.
        since: where in the channel's messages an earlier run of the program was.

    """

    def __init__(self, crypto: ChannelCrypto, options: Options, since: Place | None = None) -> None:
        self.position = Position(since)
        self.roster = Roster(Clocked(crypto), sealed=crypto.version != CLEAR)
        self.inbox = Inbox(options.inbox_events, options.inbox_bytes)
        self.stats = Stats()
        self.stirred: Callable[[], None] = self.settle
        """Called when something that came in has to be followed by more than being delivered."""
        self._authors: dict[int, Member] = {}
        self._crypto = crypto
        self._loop = asyncio.get_running_loop()
        self._failures = FailureCounts()
        self._report: asyncio.TimerHandle | None = None

    def tell(self, event: Event) -> None:
        """Put an event before the application."""
        self.stats.dropped_by_client += self.inbox.put(event)

    def end(self, final: Left) -> None:
        """Let *final* be the last event."""
        if self._report is not None:
            self._report.cancel()
        for failures in self._failures.due(float("inf")):
            self.tell(SealFailure(*failures))
        self.inbox.end(final)

    # --- who is there ---

    def replace_members(self, infos: Iterable[MemberInfo]) -> Change:
        """Let the channel's members be exactly these; raises RemoteProtocolError when they cannot be."""
        change = self.roster.replace(infos)
        self._report_hellos()
        return change

    def recall(self, infos: Iterable[MemberInfo]) -> None:
        """Take the senders of what will be recovered that are no members; they replace those of before.

        Raises:
            RemoteProtocolError: one has a name that no user can have.

        """
        authors = [info for info in infos if info.member not in self.roster]
        for author in authors:
            check_user(author.user)
        self._authors = {author.member: Member(author.member, author.user, False) for author in authors}
        self._crypto.recall((author.member, author.user, author.hello) for author in authors)

    def tell_change(self, change: Change) -> None:
        """Tell the application who came and went during a gap."""
        for member in change.left:
            self.tell(MemberLeft(member.number, member.user, "unknown"))
        for member in change.joined:
            self.tell(MemberJoined(member.number, member.user, member.verified))

    def member_joined(self, number: int, user: str, hello: bytes | None) -> None:
        """Somebody joined; raises RemoteProtocolError when the number is taken by somebody else.

        In a large channel who speaks is introduced to all, also to those who know it from ``joined``.
        """
        if self.roster.knows(number, user, hello):
            return
        member = self.roster.add(number, user, hello)
        self.tell(MemberJoined(member.number, member.user, member.verified))
        self._report_hellos()

    def member_left(self, number: int, reason: str) -> None:
        """Somebody left."""
        member = self.roster.remove(number)
        if member is not None:
            self.tell(MemberLeft(member.number, member.user, plain_name(reason)))

    # --- frames and messages ---

    def frame(self, number: int, data: bytes) -> None:
        """A frame of member *number*: ``D | SFrame``."""
        self._receive(number, data, None)

    def message(self, number: int, offset: int, data: bytes) -> None:
        """A message of member *number* at its place in the channel."""
        until = self.position.until
        self.position.delivered(offset)
        self._receive(number, data, offset, recovered=until is not None and offset <= until)

    def _receive(self, number: int, data: bytes, offset: int | None, recovered: bool = False) -> None:
        member = self.roster.get(number)
        if member is None and recovered:
            member = self._authors.get(number)
        if member is None:
            self.stats.unknown_senders += 1
            return
        # A message is one in both its envelope and its descriptor, or it is refused unopened.
        if data and (data[0] & 15 == Kind.MESSAGE) != (offset is not None):
            self._fail(member, "wrong_envelope")
            return
        try:
            # It may be held back, and come out when the channel has moved to another epoch.
            mark = None if offset is None else self.position.mark(offset)
            now = self._loop.time()
            if recovered and mark is not None:
                received = self._crypto.recover(number, data, now, mark)
            else:
                received = self._crypto.receive(number, data, now, mark)
        except SealError as error:
            self._fail(member, reason_of(error))
        else:
            for each in received:
                self._deliver(each)
        if self._crypto.stirred:
            self.stirred()

    def _deliver(self, received: Received) -> None:
        number, user, opened, mark, historical = received
        descriptor, payload = opened.descriptor, opened.payload
        # In clear text nobody but the relay says whose it is.
        user = user or self._member(number).user
        if mark is not None:
            epoch, offset = self.position.at(mark)
            self.stats.messages_received += 1
            self.tell(Message(number, user, payload, offset, epoch, historical))
            return
        if descriptor.kind is Kind.CONTROL:
            return
        self.stats.frames_received += 1
        self.tell(
            Frame(
                member=number,
                user=user,
                kind=descriptor.kind.name.lower(),
                stream=descriptor.stream,
                data=payload,
                keyframe=descriptor.keyframe,
                discardable=descriptor.discardable,
                end_of_group=bool(descriptor.flags & END_OF_GROUP),
                temporal=descriptor.temporal,
                spatial=descriptor.spatial,
                priority=descriptor.priority,
            )
        )

    @property
    def taken(self) -> Place | None:
        """The last place up to which the application has taken everything; None before the first join."""
        unread, held = self.inbox.first_message, self._crypto.held
        if unread is not None:
            return Place(epoch=unread.epoch, offset=unread.offset - 1)
        if held is not None:
            epoch, offset = self.position.at(held)
            return Place(epoch=epoch, offset=offset - 1)
        return self.position.place

    # --- what the encryption has to tell ---

    def settle(self) -> None:
        """Deliver what had to wait, and tell what has happened."""
        for received in self._crypto.take_ready():
            self._deliver(received)
        for notice in self._crypto.notices():
            self._tell_notice(notice)

    def refused_direct(self, number: int, error: SealError) -> None:
        """Something that a member sent to this one alone was not accepted."""
        member = self.roster.get(number)
        if member is None:
            self.stats.unknown_senders += 1
        else:
            self._fail(member, reason_of(error))

    def refused_kept(self, number: int, user: str, error: SealError) -> None:
        """A message that the channel has kept was not accepted."""
        self._fail(Member(number, user, False), reason_of(error))

    def _tell_notice(self, notice: notices.Notice) -> None:
        match notice:
            case notices.KeySwitched(epoch, step):
                self.tell(KeySwitched(epoch, step))
            case notices.OldWrapIgnored(number):
                self._fail(self._member(number), "old_wrap_ignored")
            case notices.TrustEnded(number, user):
                self.roster.verify(number, False)
                self.tell(TrustEnded(number, user))
            case alerts.Lost(number, reason, count):
                self._fail(self._member(number), reason_of(reason), count)
            case alerts.Stalled(number, user):
                self.tell(Stalled(number, user))
            case alerts.Suppressed(number, user, stream, missing):
                self.tell(Suppressed(number, user, stream, missing))
            case alerts.RosterSplit(number, user):
                self.tell(RosterSplit(number, user))
            case alerts.Authentic(number, user, stream):
                self.tell(Authentic(number, user, stream))
            case alerts.Unauthentic(number, user, stream, count):
                self.tell(Unauthentic(number, user, stream, count))

    def _member(self, number: int) -> Member:
        return self.roster.get(number) or self._authors.get(number) or Member(number, "", False)

    # --- failures ---

    def _report_hellos(self) -> None:
        refused, self.roster.refused = self.roster.refused, []
        for member, error in refused:
            self._fail(member, reason_of(error))
            if isinstance(error, IdentityChanged):
                self.tell(KeyChanged(member.number, member.user))

    def _fail(self, member: Member, reason: str, times: int = 1) -> None:
        self.stats.seal_failures[reason] += times
        failures = self._failures.note(member.number, member.user, reason, self._loop.time(), times)
        if failures is not None:
            self.tell(SealFailure(*failures))
        elif self._report is None:
            self._report = self._loop.call_later(REPORT_EVERY, self._on_report)

    def _on_report(self) -> None:
        self._report = None
        for failures in self._failures.due(self._loop.time()):
            self.tell(SealFailure(*failures))
        if self._failures.waiting:
            self._report = self._loop.call_later(REPORT_EVERY, self._on_report)
