"""The notes of a witness: which calls and memberships there are, and which of them are to be written.

Nothing here waits. What is to be written is bounded: when the database is away for long, new records are
lost, and counted; those that are noted already only get newer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from ..interfaces import ChannelKey
from ..member import Member
from ..store.records import CallRecord, MembershipRecord
from ..visitor import Visitor
from .addresses import Kept, kept_address
from .agents import system_of

__all__ = ["Batch", "Ledger"]

Record = CallRecord | MembershipRecord


class Batch:
    """Some records that are to be written."""

    def __init__(self, records: dict[str, Record]) -> None:
        self.records = records
        self.calls = [each for each in records.values() if isinstance(each, CallRecord)]
        self.members = [each for each in records.values() if isinstance(each, MembershipRecord)]

    def __bool__(self) -> bool:
        return bool(self.records)


class Ledger:
    """A witness that takes notes.

    Args:
        run_id: this process's, from its start to its end.
        node: its name.
        now: Unix time.
        addresses: how much of an address is kept.
        most: records that may wait to be written.

    """

    def __init__(
        self, run_id: str, node: str, now: Callable[[], float], addresses: Kept = "whole", most: int = 20_000
    ) -> None:
        self.lost = 0
        """Notes that there was no room for."""
        self._run_id = run_id
        self._node = node
        self._now = now
        self._addresses = addresses
        self._most = most
        self._calls: dict[int, CallRecord] = {}
        self._members: dict[tuple[int, int], MembershipRecord] = {}
        self._waiting: dict[str, Record] = {}

    @property
    def waiting(self) -> int:
        """How many records wait to be written."""
        return len(self._waiting)

    # --- the witness ---

    def channel_opened(self, key: ChannelKey, number: int) -> None:
        """Begin a call."""
        call = CallRecord(
            call_id=secrets.token_hex(12),
            run_id=self._run_id,
            node=self._node,
            app_id=key.app_id,
            channel=key.channel,
            opened=self._now(),
        )
        self._calls[number] = call
        self._note(call.call_id, call)

    def channel_closed(self, key: ChannelKey, number: int) -> None:
        """End a call."""
        call = self._calls.pop(number, None)
        if call is not None:
            call.closed, call.reason = self._now(), "over"
            self._note(call.call_id, call)

    def member_joined(self, member: Member) -> None:
        """Begin a membership."""
        number = member.channel.number
        call = self._calls.get(number)
        if call is None:
            return
        visitor = member.visitor or Visitor(0, call.app_id, "")
        record = MembershipRecord(
            record_id=secrets.token_hex(12),
            call=call,
            call_id=call.call_id,
            run_id=self._run_id,
            app_id=call.app_id,
            user_id=member.user,
            member=member.number,
            address=kept_address(visitor.address, self._addresses),
            agent=visitor.agent,
            system=system_of(visitor.agent),
            joined=self._now(),
        )
        self._members[number, member.number] = record
        call.memberships += 1
        call.present += 1
        call.peak = max(call.peak, call.present)
        self._note(record.record_id, record)
        self._note(call.call_id, call)

    def member_left(self, member: Member, reason: str) -> None:
        """End a membership."""
        record = self._members.pop((member.channel.number, member.number), None)
        if record is None:
            return
        record.ended, record.reason = self._now(), reason
        record.frames_in, record.bytes_in = member.frames_in, member.bytes_in
        if record.call is not None:
            record.call.present -= 1
        self._note(record.record_id, record)

    def token_refused(self, visitor: Visitor, channel: str, user: str, reason: str) -> None:
        """Do nothing: nobody has proved to be that user."""

    def address_blocked(self, app_id: str, address: str, reason: str, seconds: float) -> None:
        """Do nothing: no session has begun or ended."""

    # --- the writer ---

    def take(self, most: int) -> Batch:
        """Return what has waited longest, and hold it for written."""
        ids = list(self._waiting)[:most] if len(self._waiting) > most else list(self._waiting)
        return Batch({each: self._waiting.pop(each) for each in ids})

    def give_back(self, batch: Batch) -> None:
        """Let what could not be written wait again, in front of the others."""
        self._waiting = {**batch.records, **self._waiting}

    def _note(self, key: str, record: Record) -> None:
        if key not in self._waiting and len(self._waiting) >= self._most:
            self.lost += 1
        else:
            self._waiting[key] = record
