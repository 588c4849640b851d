"""The tables. A change here needs a migration beside it; a test compares the two.

Times are Unix seconds. Certificates stand in clear, because a token is verified with the certificate itself;
of API keys there is only a hash, which is enough to recognize them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Double,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

__all__ = [
    "Account",
    "AnsweredRequest",
    "ApiKey",
    "App",
    "AuditEntry",
    "AuditHead",
    "Call",
    "CallMember",
    "Certificate",
    "Chore",
    "Run",
    "Table",
]


class Table(DeclarativeBase):
    """What every table stands on."""

    # Named by rule, so that a migration can name what it changes on every database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {float: Double(), dict[str, Any]: JSON(), list[str]: JSON(), bytes: LargeBinary()}  # noqa: RUF012 - read by SQLAlchemy


class App(Table):
    """An app."""

    __tablename__ = "apps"

    app_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    enabled: Mapped[bool]
    settings: Mapped[dict[str, Any]]
    version: Mapped[int]
    created: Mapped[float]
    updated: Mapped[float]
    certificates: Mapped[list[Certificate]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", passive_deletes=True
    )


class Certificate(Table):
    """A certificate of an app."""

    __tablename__ = "certificates"
    __table_args__ = (UniqueConstraint("app_id", "role"),)

    certificate_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"))
    secret: Mapped[str] = mapped_column(String(32))
    role: Mapped[str] = mapped_column(String(16))
    enabled: Mapped[bool]
    created: Mapped[float]


class ApiKey(Table):
    """An API key."""

    __tablename__ = "api_keys"

    key_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    digest: Mapped[bytes]
    scopes: Mapped[list[str]]
    app_id: Mapped[str | None] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"), index=True)
    rate: Mapped[int | None]
    created: Mapped[float]
    expires: Mapped[float | None]
    last_used: Mapped[float | None]


class Account(Table):
    """An account of the console."""

    __tablename__ = "accounts"

    account_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    disabled: Mapped[bool]
    created: Mapped[float]


class AnsweredRequest(Table):
    """A request that came with an idempotency key, and how it was answered."""

    __tablename__ = "answered_requests"

    caller: Mapped[str] = mapped_column(String(64), primary_key=True)
    request_key: Mapped[str] = mapped_column(String(128), primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int | None]
    body: Mapped[bytes | None]
    created: Mapped[float] = mapped_column(index=True)


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
