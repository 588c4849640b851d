"""Webhooks and their deliveries as the rest of the relay sees them. An event is a mapping, fit for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["DeliveryRecord", "EventRecord", "NodeRecord", "OpenRecord", "WebhookCounts", "WebhookRecord"]


@dataclass(frozen=True, slots=True)
class WebhookRecord:
    """Where an app wants to be told."""

    webhook_id: str
    app_id: str
    url: str = field(repr=False)
    """Can hold what its owner takes for a secret."""
    kinds: tuple[str, ...]
    """Empty for all, those too that come with later versions."""
    secret: str = field(repr=False)
    old_secret: str | None = field(repr=False)
    """The one before, which signs too until ``old_until``."""
    old_until: float | None
    enabled: bool
    created: float
    updated: float


@dataclass(frozen=True, slots=True)
class WebhookCounts:
    """How many deliveries a webhook has."""

    waiting: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True)
class EventRecord:
    """An event to be written down."""

    event_id: str
    app_id: str
    kind: str
    lane: str
    """What its order is kept for."""
    sequence: int
    at: float
    event: Mapping[str, Any]
    opens: bool = False
    """Whether it begins something whose end has to be told."""
    closes: str = ""
    """The event that began what this one ends. When that is over by now, this one is not told."""


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """An event on its way to a webhook, or one that was given up."""

    delivery_id: int
    webhook: WebhookRecord
    event: Mapping[str, Any]
    failures: int
    since: float
    """When it began to wait, or to wait again."""
    due: float
    dead: bool
    died: float | None
    answer: str


@dataclass(frozen=True, slots=True)
class OpenRecord:
    """Something whose beginning was told, and whose end was not."""

    event_id: str
    node: str
    event: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A process that tells."""

    node: str
    seen: float
    sequence: int
