"""Webhooks and what is on its way to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from .apps import Table

__all__ = ["Webhook", "WebhookDelivery", "WebhookNode", "WebhookOpen"]


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
