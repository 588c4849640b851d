"""Webhooks of an app: list, create, show, change, rotate, try, delete; and deliveries that were given up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Response

from ...hooks.sender import check_url
from ...hooks.service import Hooks
from ...hooks.signature import new_secret
from ...store.hook_records import WebhookRecord
from ..api_keys import Caller, CallerOf
from ..errors import ApiError
from ..paging import Page, PageAsked, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import Services, ServicesOf
from ..views import AppIdOf
from ..webhook_views import (
    DeadLetterView,
    DeliveryIdOf,
    MadeWebhook,
    NewWebhook,
    Revived,
    Rotation,
    TestResult,
    WebhookChange,
    WebhookIdOf,
    WebhookView,
    kind_names,
)

__all__ = [
    "change_webhook",
    "create_webhook",
    "delete_dead_letter",
    "delete_webhook",
    "list_dead_letters",
    "list_webhooks",
    "revive_dead_letter",
    "revive_dead_letters",
    "rotate_webhook_secret",
    "router",
    "show_webhook",
    "test_webhook",
]

router = APIRouter(tags=["webhooks"], route_class=ApiRoute)

_ALL = "/apps/{app_id}/webhooks"
_ONE = "/apps/{app_id}/webhooks/{webhook_id}"
_DEAD = "/apps/{app_id}/webhooks/{webhook_id}/dead-letters"
_SCOPE = scoped("webhooks:write")


@router.get(_ALL, openapi_extra=_SCOPE)
async def list_webhooks(services: ServicesOf, app_id: AppIdOf, asked: PageAskedOf) -> Page[WebhookView]:
    """List the webhooks of an app, in the order of their ids."""
    await _known(services, app_id)
    records = await services.kept.webhooks.page(app_id, asked.after, asked.most)
    return Page.of(await _views(services, records), asked, lambda webhook: webhook.webhook_id)


@router.post(_ALL, status_code=201, openapi_extra=_SCOPE)
async def create_webhook(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, new: NewWebhook
) -> MadeWebhook:
    """Make a webhook with its secret, which is shown this once. It is told what happens from now on."""
    await _known(services, app_id)
    hooks = _hooks(services)
    _check(hooks, new.url)
    secret = new_secret()
    record = await services.kept.webhooks.create(
        app_id,
        new.url,
        secret,
        kinds=kind_names(new.kinds),
        enabled=new.enabled,
        most=hooks.config.per_app,
    )
    await _done(services, caller, "webhook.created", record, _shown(new.model_dump(mode="json")))
    return MadeWebhook(webhook=await _view(services, record), secret=secret)


@router.get(_ONE, openapi_extra=_SCOPE)
async def show_webhook(services: ServicesOf, app_id: AppIdOf, webhook_id: WebhookIdOf) -> WebhookView:
    """Show one webhook, with how many deliveries wait and how many were given up."""
    return await _view(services, await services.kept.webhooks.get(app_id, webhook_id))


@router.patch(_ONE, openapi_extra=_SCOPE)
async def change_webhook(
    services: ServicesOf,
    caller: CallerOf,
    app_id: AppIdOf,
    webhook_id: WebhookIdOf,
    change: WebhookChange,
) -> WebhookView:
    """Change a webhook. While it is disabled nothing is told, and what waits for it waits on."""
    if change.url is not None:
        _check(_hooks(services), change.url)
    record = await services.kept.webhooks.update(
        app_id,
        webhook_id,
        url=change.url,
        kinds=None if change.kinds is None else kind_names(change.kinds),
        enabled=change.enabled,
    )
    given = change.model_dump(mode="json", exclude_none=True)
    await _done(services, caller, "webhook.changed", record, _shown(given))
    return await _view(services, record)


@router.post(f"{_ONE}/rotate", openapi_extra=_SCOPE)
async def rotate_webhook_secret(
    services: ServicesOf,
    caller: CallerOf,
    app_id: AppIdOf,
    webhook_id: WebhookIdOf,
    how: Rotation | None = None,
) -> MadeWebhook:
    """Make a new secret, which is shown this once. Deliveries are signed with the old one too for a while."""
    secret = new_secret()
    overlap = (how or Rotation()).overlap
    record = await services.kept.webhooks.rotate(app_id, webhook_id, secret, overlap)
    await _done(services, caller, "webhook.rotated", record, {"overlap": overlap})
    return MadeWebhook(webhook=await _view(services, record), secret=secret)


@router.post(f"{_ONE}/test", openapi_extra=_SCOPE)
async def test_webhook(services: ServicesOf, app_id: AppIdOf, webhook_id: WebhookIdOf) -> TestResult:
    """Send an event of the type `webhook.test`, once and now, and say what came of it."""
    record = await services.kept.webhooks.get(app_id, webhook_id)
    answer = await _hooks(services).test(record)
    return TestResult(delivered=answer.good, answer=answer.said)


@router.delete(_ONE, status_code=204, openapi_extra=_SCOPE)
async def delete_webhook(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, webhook_id: WebhookIdOf
) -> Response:
    """Delete a webhook with all its deliveries."""
    store = services.kept.webhooks
    record = await store.get(app_id, webhook_id)
    await store.delete(app_id, webhook_id)
    await _done(services, caller, "webhook.deleted", record, {})
    return Response(status_code=204)


@router.get(_DEAD, openapi_extra=_SCOPE)
async def list_dead_letters(
    services: ServicesOf, app_id: AppIdOf, webhook_id: WebhookIdOf, asked: PageAskedOf
) -> Page[DeadLetterView]:
    """List the deliveries of a webhook that were given up, the newest first."""
    found = await services.kept.webhooks.dead(app_id, webhook_id, _before(asked), asked.most)
    return Page.of([DeadLetterView.of(each) for each in found], asked, lambda each: each.delivery_id)


@router.post(f"{_ONE}/revive", openapi_extra=_SCOPE)
async def revive_dead_letters(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, webhook_id: WebhookIdOf
) -> Revived:
    """Try everything again that was given up."""
    store = services.kept.webhooks
    revived = await store.revive(app_id, webhook_id)
    record = await store.get(app_id, webhook_id)
    await _done(services, caller, "webhook.revived", record, {"deliveries": revived})
    return Revived(revived=revived)


@router.post(f"{_DEAD}/{{delivery_id}}/revive", openapi_extra=_SCOPE)
async def revive_dead_letter(
    services: ServicesOf,
    caller: CallerOf,
    app_id: AppIdOf,
    webhook_id: WebhookIdOf,
    delivery_id: DeliveryIdOf,
) -> Revived:
    """Try one delivery again that was given up."""
    store = services.kept.webhooks
    revived = await store.revive(app_id, webhook_id, int(delivery_id))
    record = await store.get(app_id, webhook_id)
    await _done(services, caller, "webhook.revived", record, {"delivery": delivery_id})
    return Revived(revived=revived)


@router.delete(f"{_DEAD}/{{delivery_id}}", status_code=204, openapi_extra=_SCOPE)
async def delete_dead_letter(
    services: ServicesOf,
    caller: CallerOf,
    app_id: AppIdOf,
    webhook_id: WebhookIdOf,
    delivery_id: DeliveryIdOf,
) -> Response:
    """Delete a delivery that was given up."""
    store = services.kept.webhooks
    await store.forget(app_id, webhook_id, int(delivery_id))
    record = await store.get(app_id, webhook_id)
    await _done(services, caller, "webhook.dead_letter_deleted", record, {"delivery": delivery_id})
    return Response(status_code=204)


async def _known(services: Services, app_id: str) -> None:
    """Look that there is such an app, of the configuration or of the database. Raises Missing."""
    if services.directory.get(app_id) is None:
        await services.kept.apps.get(app_id)


def _hooks(services: Services) -> Hooks:
    if services.hooks is None:
        raise ApiError("file_configured", "there is no database, so there are no webhooks")
    return services.hooks


def _check(hooks: Hooks, url: str) -> None:
    if problem := check_url(url, insecure=hooks.config.insecure):
        raise ApiError("invalid", problems=[f"url: {problem}"])


def _shown(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the audit log may hold: of the address its host, for the rest can be a secret."""
    return {**given, "url": urlsplit(given["url"]).hostname} if "url" in given else dict(given)


async def _views(services: Services, records: Iterable[WebhookRecord]) -> list[WebhookView]:
    records = list(records)
    counts = await services.kept.webhooks.counts(record.webhook_id for record in records)
    return [WebhookView.of(record, counts[record.webhook_id]) for record in records]


async def _view(services: Services, record: WebhookRecord) -> WebhookView:
    (view,) = await _views(services, [record])
    return view


def _before(asked: PageAsked) -> int | None:
    if not asked.after:
        return None
    if not asked.after.isascii() or not asked.after.isdigit() or len(asked.after) > 18:
        raise ApiError("invalid", problems=["cursor: should be the `next` of another page"])
    return int(asked.after)


async def _done(
    services: Services, caller: Caller, action: str, record: WebhookRecord, detail: Mapping[str, Any]
) -> None:
    if services.hooks is not None:
        await services.hooks.refresh()
    await services.audit(
        caller.actor,
        action,
        f"app {record.app_id}",
        {"webhook": record.webhook_id, "change": dict(detail)},
        address=caller.address,
    )
