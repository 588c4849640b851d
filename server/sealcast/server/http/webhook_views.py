"""Webhooks and dead letters as the API takes and shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from ..hooks.event import Kind, of_mapping
from ..hooks.sender import URL_MAX
from ..store.hook_records import DeliveryRecord, WebhookCounts, WebhookRecord

__all__ = [
    "DeadLetterView",
    "DeliveryIdOf",
    "MadeWebhook",
    "NewWebhook",
    "Revived",
    "Rotation",
    "TestResult",
    "WebhookChange",
    "WebhookIdOf",
    "WebhookView",
    "kind_names",
]

WebhookIdOf = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
DeliveryIdOf = Annotated[str, Field(pattern="^[1-9][0-9]{0,17}$")]

_DAY: Final = 86_400.0
Told = Kind
_KINDS: Final = "what it is told; empty for everything, what later versions tell too"
Url = Annotated[str, Field(max_length=URL_MAX, pattern="^https?://", description="where events are posted")]


class WebhookView(BaseModel):
    """A webhook, without its secret."""

    webhook_id: str
    app_id: str
    url: str
    kinds: list[str] = Field(description=_KINDS)
    enabled: bool
    old_secret_until: float | None = Field(description="when the secret before this one stops to sign")
    waiting: int = Field(description="deliveries that have not been made yet")
    dead: int = Field(description="deliveries that were given up")
    created: float
    updated: float

    @classmethod
    def of(cls, record: WebhookRecord, counts: WebhookCounts) -> WebhookView:
        """Return the view of a webhook."""
        return cls(
            webhook_id=record.webhook_id,
            app_id=record.app_id,
            url=record.url,
            kinds=list(record.kinds),
            enabled=record.enabled,
            old_secret_until=record.old_until,
            waiting=counts.waiting,
            dead=counts.dead,
            created=record.created,
            updated=record.updated,
        )


class NewWebhook(BaseModel):
    """A webhook to be made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Url
    kinds: list[Annotated[Told, Field(strict=False)]] = Field([], max_length=32, description=_KINDS)
    enabled: bool = True


class WebhookChange(BaseModel):
    """What to change of a webhook."""

    model_config = ConfigDict(extra="forbid", strict=True)

    url: Url | None = None
    kinds: list[Annotated[Told, Field(strict=False)]] | None = Field(None, max_length=32, description=_KINDS)
    enabled: bool | None = None


class MadeWebhook(BaseModel):
    """A webhook that was made, or whose secret was changed, a moment ago."""

    webhook: WebhookView
    secret: str | None = Field(
        description="what deliveries are signed with, which is not shown again; null in a second answer"
    )


class Rotation(BaseModel):
    """How to change a secret."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap: float = Field(
        default=_DAY,
        ge=0,
        le=30 * _DAY,
        description="seconds for which deliveries are signed with the old one too",
    )


class TestResult(BaseModel):
    """What came of an event that was sent to try a webhook."""

    delivered: bool
    answer: str = Field(description="the status, or why there was none")


class DeadLetterView(BaseModel):
    """A delivery that was given up."""

    delivery_id: str
    event: dict[str, Any] = Field(description="the body of the request")
    failures: int
    answer: str = Field(description="what the last try came to")
    died: float | None = Field(description="when it was given up")

    @classmethod
    def of(cls, record: DeliveryRecord) -> DeadLetterView:
        """Return the view of a delivery."""
        return cls(
            delivery_id=str(record.delivery_id),
            event=of_mapping(record.event).told,
            failures=record.failures,
            answer=record.answer,
            died=record.died,
        )


class Revived(BaseModel):
    """What is tried again."""

    revived: int


def kind_names(kinds: Iterable[Kind]) -> list[str]:
    """Return kinds as they are kept: each once."""
    return list(dict.fromkeys(kind.value for kind in kinds))
