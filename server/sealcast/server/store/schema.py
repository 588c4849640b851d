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
    Integer,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

__all__ = [
    "Account",
    "AddressBlock",
    "AnsweredRequest",
    "ApiKey",
    "App",
    "BanRow",
    "Certificate",
    "RevocationRow",
    "RuleVersion",
    "Table",
    "Webhook",
    "WebhookDelivery",
    "WebhookNode",
    "WebhookOpen",
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


class RuleVersion(Table):
    """How many changes of rules of a kind there have been; whoever changes one holds the row."""

    __tablename__ = "rule_versions"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    version: Mapped[int]
    purged: Mapped[int]
    """The newest change of those that cannot be read any more."""


class _RuleRow:
    """What ban rules and revocations have in common. Apps of the configuration have some, too: no key."""

    rule_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    app_id: Mapped[str] = mapped_column(String(32), index=True)
    channel: Mapped[str | None] = mapped_column(String(64))
    user: Mapped[str | None] = mapped_column(String(255))
    until: Mapped[float | None]
    reason: Mapped[str] = mapped_column(String(256))
    creator: Mapped[str] = mapped_column(String(320))
    created: Mapped[float]
    version: Mapped[int] = mapped_column(index=True)
    """The number of its last change."""
    lifted: Mapped[float | None]


class BanRow(_RuleRow, Table):
    """A ban rule."""

    __tablename__ = "bans"

    address: Mapped[str | None] = mapped_column(String(64))
    privileges: Mapped[list[str]]


class RevocationRow(_RuleRow, Table):
    """A revocation."""

    __tablename__ = "revocations"

    token_id: Mapped[str | None] = mapped_column(String(32))
    issued_before: Mapped[float | None]


_BIG = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only when their key is a plain INTEGER, which holds 64 bits there."""


class Webhook(Table):
    """Where an app wants to be told of what happens. The secrets stand in clear: deliveries are signed."""

    __tablename__ = "webhooks"

    webhook_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    app_id: Mapped[str] = mapped_column(String(32), index=True)  # of the configuration too: no foreign key
    url: Mapped[str] = mapped_column(String(2048))
    kinds: Mapped[list[str]]
    secret: Mapped[str] = mapped_column(String(64))
    old_secret: Mapped[str | None] = mapped_column(String(64))
    old_until: Mapped[float | None]
    enabled: Mapped[bool]
    created: Mapped[float]
    updated: Mapped[float]


class WebhookDelivery(Table):
    """An event on its way to a webhook, or one that was given up."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("ix_webhook_deliveries_due", "webhook_id", "dead", "due"),
        Index("ix_webhook_deliveries_lane", "webhook_id", "lane", "sequence"),
    )

    delivery_id: Mapped[int] = mapped_column(_BIG, primary_key=True, autoincrement=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.webhook_id", ondelete="CASCADE"))
    lane: Mapped[str] = mapped_column(String(32))
    sequence: Mapped[int] = mapped_column(_BIG)
    event: Mapped[dict[str, Any]]
    failures: Mapped[int]
    since: Mapped[float]
    due: Mapped[float]
    claimed_by: Mapped[str] = mapped_column(String(64))
    claimed_until: Mapped[float]
    dead: Mapped[bool]
    died: Mapped[float | None]
    answer: Mapped[str] = mapped_column(String(255))


class WebhookOpen(Table):
    """A channel or membership whose beginning was told, and whose end was not yet."""

    __tablename__ = "webhook_open"

    event_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    node: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    event: Mapped[dict[str, Any]]


class WebhookNode(Table):
    """A process that tells: when it was alive last, and the highest sequence that it used."""

    __tablename__ = "webhook_nodes"

    node: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen: Mapped[float]
    sequence: Mapped[int] = mapped_column(_BIG)


class AddressBlock(Table):
    """A network that an operator keeps out."""

    __tablename__ = "address_blocks"

    network: Mapped[str] = mapped_column(String(64), primary_key=True)
    reason: Mapped[str] = mapped_column(String(200))
    created: Mapped[float]
    until: Mapped[float | None]
    actor: Mapped[str] = mapped_column(String(128))
