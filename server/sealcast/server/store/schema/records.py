"""The audit log, the records of sessions, and chores."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from .apps import Table

__all__ = ["AuditEntry", "AuditHead", "Call", "CallMember", "Chore", "Run"]


class AuditEntry(Table):
    """An entry of the audit log. Triggers refuse to change one, or to delete one that is not purged."""

    __tablename__ = "audit_entries"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    actor: Mapped[str] = mapped_column(String(255))
    address: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(255))
    target: Mapped[str] = mapped_column(Text)
    detail: Mapped[str] = mapped_column(Text)
    previous: Mapped[bytes]
    hash: Mapped[bytes]


class AuditHead(Table):
    """Both ends of the audit log: one row, which triggers let go forward only."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[bytes]
    begin_seq: Mapped[int] = mapped_column(BigInteger)
    begin_hash: Mapped[bytes]


class Run(Table):
    """A process that records sessions, from its start to its end."""

    __tablename__ = "runs"

    run_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    node: Mapped[str] = mapped_column(String(64))
    started: Mapped[float]
    alive: Mapped[float]
    ended: Mapped[float | None]


class Call(Table):
    """The life of a channel on one node."""

    __tablename__ = "calls"
    __table_args__ = (Index("ix_calls_app_id", "app_id", "opened"),)

    call_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    run_id: Mapped[str] = mapped_column(String(32), index=True)
    node: Mapped[str] = mapped_column(String(64))
    app_id: Mapped[str] = mapped_column(String(32))
    channel: Mapped[str] = mapped_column(String(64))
    opened: Mapped[float]
    closed: Mapped[float | None] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(String(32))
    memberships: Mapped[int]
    peak: Mapped[int]


class CallMember(Table):
    """A membership: a user in a channel, from joining to leaving."""

    __tablename__ = "call_members"
    __table_args__ = (
        Index("ix_call_members_app_id", "app_id", "user_id"),
        Index("ix_call_members_address", "address", "app_id"),
        Index("ix_call_members_call_id", "call_id", "joined"),
    )

    record_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("calls.call_id", ondelete="CASCADE"))
    run_id: Mapped[str] = mapped_column(String(32), index=True)
    app_id: Mapped[str] = mapped_column(String(32))
    user_id: Mapped[str] = mapped_column(String(255))
    member: Mapped[int]
    address: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str] = mapped_column(String(256))
    system: Mapped[str] = mapped_column(String(16))
    joined: Mapped[float]
    ended: Mapped[float | None] = mapped_column(index=True)
    reason: Mapped[str | None] = mapped_column(String(32))
    frames_in: Mapped[int] = mapped_column(BigInteger)
    bytes_in: Mapped[int] = mapped_column(BigInteger)


class Chore(Table):
    """Something that one process does for all, now and then: who holds it, and what came of it."""

    __tablename__ = "chores"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    holder: Mapped[str] = mapped_column(String(64))
    until: Mapped[float]
    last: Mapped[float | None]
    said: Mapped[dict[str, Any]]
