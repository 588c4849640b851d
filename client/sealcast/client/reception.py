"""What comes in on a channel: opened, told to the application, counted.

Nothing here causes any traffic: a frame that does not open is counted and told to the application, and
whoever sent it, the relay included, learns nothing from it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from sealcast.protocol.controls import MemberInfo
from sealcast.protocol.descriptor import CLEAR, END_OF_GROUP
from sealcast.protocol.names import Kind

from .e2ee import ChannelCrypto, Opened
from .errors import SealError
from .events import Event, Frame, Left, MemberJoined, MemberLeft, Message, SealFailure
from .failures import REPORT_EVERY, FailureCounts, reason_of
from .inbox import Inbox
from .options import Options
from .position import Position
from .reasons import plain_name
from .roster import Change, Member, Roster
from .stats import Stats

__all__ = ["Reception"]


class Reception:
    """The receiving half of a membership.

    Args:
        crypto: opens what comes in.
        options: the bounds of the inbox.

    """

    def __init__(self, crypto: ChannelCrypto, options: Options) -> None:
        self.position = Position()
        self.roster = Roster(crypto, sealed=crypto.version != CLEAR)
        self.inbox = Inbox(options.inbox_events, options.inbox_bytes)
        self.stats = Stats()
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

    def tell_change(self, change: Change) -> None:
        """Tell the application who came and went during a gap."""
        for member in change.left:
            self.tell(MemberLeft(member.number, member.user, "unknown"))
        for member in change.joined:
            self.tell(MemberJoined(member.number, member.user, member.verified))

    def member_joined(self, number: int, user: str, hello: bytes | None) -> None:
        """Somebody joined; raises RemoteProtocolError when the number is taken."""
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
        opened = self._open(number, data)
        if opened is None:
            return
        member, (descriptor, payload, _) = opened
        kind = descriptor.kind
        if kind is Kind.MESSAGE:
            self._fail(member, "wrong_envelope")
        elif kind is Kind.CONTROL:
            self.stats.controls_received += 1
        else:
            self.stats.frames_received += 1
            self.tell(
                Frame(
                    member=number,
                    user=member.user,
                    kind=kind.name.lower(),
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

    def message(self, number: int, offset: int, data: bytes) -> None:
        """A message of member *number* at its place in the channel."""
        self.position.saw(offset)
        opened = self._open(number, data)
        if opened is None:
            return
        member, (descriptor, payload, _) = opened
        if descriptor.kind is not Kind.MESSAGE:
            self._fail(member, "wrong_envelope")
            return
        self.stats.messages_received += 1
        self.tell(Message(number, member.user, payload, offset, self.position.epoch))

    def _open(self, number: int, data: bytes) -> tuple[Member, Opened] | None:
        member = self.roster.get(number)
        if member is None:
            self.stats.unknown_senders += 1
            return None
        try:
            return member, self._crypto.open(number, data)
        except SealError as error:
            self._fail(member, reason_of(error))
            return None

    # --- failures ---

    def _report_hellos(self) -> None:
        refused, self.roster.refused = self.roster.refused, []
        for member, error in refused:
            self._fail(member, reason_of(error))

    def _fail(self, member: Member, reason: str) -> None:
        self.stats.seal_failures[reason] += 1
        failures = self._failures.note(member.number, member.user, reason, self._loop.time())
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
