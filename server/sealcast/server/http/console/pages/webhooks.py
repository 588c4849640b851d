"""Webhooks of an app: list, make, change, rotate, try, delete; and deliveries that were given up."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from ....hooks.event import Kind
from ...errors import ApiError
from ...routes.apps import show_app
from ...routes.webhooks import (
    change_webhook,
    create_webhook,
    delete_dead_letter,
    delete_webhook,
    list_dead_letters,
    list_webhooks,
    revive_dead_letter,
    revive_dead_letters,
    rotate_webhook_secret,
    show_webhook,
    test_webhook,
)
from ...webhook_views import DeadLetterView, NewWebhook, Rotation, WebhookChange
from ..forms import seconds_of, ticked
from ..visit import PageRoute, Section, Visit

__all__ = ["SECTION"]

_KINDS: Final = tuple(kind.value for kind in Kind if kind is not Kind.WEBHOOK_TEST)
_DELIVERY_DIGITS: Final = 18


async def _list(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.within("app_id"))
    page = await list_webhooks(visit.services, app.app_id, visit.paged())
    return visit.page(
        "webhooks.html", app=app, webhooks=page.items, further=visit.further(page.next), kinds=_KINDS
    )


async def _create(visit: Visit) -> Response:
    new = NewWebhook(url=visit.field("url"), kinds=_kinds(visit))
    made = await create_webhook(visit.services, visit.caller, visit.within("app_id"), new)
    return visit.back(
        f"/apps/{made.webhook.app_id}/webhooks/{made.webhook.webhook_id}",
        "The webhook is there. Deliveries are signed with this secret, which is shown this once:",
        secret=made.secret or "",
    )


async def _show(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.within("app_id"))
    webhook_id, asked = visit.within("webhook_id"), visit.paged()
    webhook = await show_webhook(visit.services, app.app_id, webhook_id)
    dead = await list_dead_letters(visit.services, app.app_id, webhook_id, asked)
    return visit.page(
        "webhook.html",
        app=app,
        webhook=webhook,
        dead=dead.items,
        further=visit.further(dead.next),
        kinds=_KINDS,
        about=_about,
    )


async def _change(visit: Visit) -> Response:
    await _changed(visit, WebhookChange(url=visit.field("url"), kinds=_kinds(visit)))
    return _back(visit, "The webhook is changed.")


async def _enable(visit: Visit) -> Response:
    await _changed(visit, WebhookChange(kinds=None, enabled=True))
    return _back(visit, "The webhook is enabled.")


async def _disable(visit: Visit) -> Response:
    await _changed(visit, WebhookChange(kinds=None, enabled=False))
    return _back(visit, "The webhook is disabled: what waits for it waits on.")


async def _rotate(visit: Visit) -> Response:
    overlap = seconds_of(visit.field("hours"), "hours")
    how = Rotation() if overlap is None else Rotation(overlap=overlap)
    made = await rotate_webhook_secret(visit.services, visit.caller, *_ids(visit), how)
    return _back(visit, "There is a new secret, which is shown this once:", made.secret or "")


async def _test(visit: Visit) -> Response:
    result = await test_webhook(visit.services, *_ids(visit))
    app_id, webhook_id = _ids(visit)
    said = "arrived" if result.delivered else "did not arrive"
    text = f"The test event {said}; the answer: {result.answer}"
    return visit.back(f"/apps/{app_id}/webhooks/{webhook_id}", text, error=not result.delivered)


async def _delete(visit: Visit) -> Response:
    app_id, webhook_id = _ids(visit)
    await delete_webhook(visit.services, visit.caller, app_id, webhook_id)
    return visit.back(f"/apps/{app_id}/webhooks", "The webhook is gone.")


async def _revive_all(visit: Visit) -> Response:
    revived = await revive_dead_letters(visit.services, visit.caller, *_ids(visit))
    return _back(visit, f"Deliveries that are tried again: {revived.revived}.")


async def _revive(visit: Visit) -> Response:
    await revive_dead_letter(visit.services, visit.caller, *_ids(visit), _delivery(visit))
    return _back(visit, "The delivery is tried again.")


async def _forget(visit: Visit) -> Response:
    await delete_dead_letter(visit.services, visit.caller, *_ids(visit), _delivery(visit))
    return _back(visit, "The delivery is deleted.")


async def _changed(visit: Visit, change: WebhookChange) -> None:
    await change_webhook(visit.services, visit.caller, *_ids(visit), change)


def _kinds(visit: Visit) -> Any:
    return ticked(visit.form, "told_", _KINDS)


def _ids(visit: Visit) -> tuple[str, str]:
    return visit.within("app_id"), visit.within("webhook_id")


def _delivery(visit: Visit) -> str:
    found = visit.within("delivery_id")
    if not found.isdecimal() or len(found) > _DELIVERY_DIGITS:
        raise ApiError("not_found")
    return found


def _about(letter: DeadLetterView) -> str:
    """Say whom an event is about."""
    data = letter.event["data"]
    return " in ".join(str(data[name]) for name in ("user", "channel") if data.get(name)) or str(
        data.get("address", "")
    )


def _back(visit: Visit, text: str, secret: str = "") -> Response:
    app_id, webhook_id = _ids(visit)
    return visit.back(f"/apps/{app_id}/webhooks/{webhook_id}", text, secret=secret)


_ALL: Final = "/apps/{app_id}/webhooks"
_ONE: Final = f"{_ALL}/{{webhook_id}}"
_DEAD: Final = f"{_ONE}/dead/{{delivery_id}}"
_NEEDS: Final = "webhooks:write"
_DISABLED: Final = "Nothing is told to it while it is disabled. What happens meanwhile is never told."
_ROTATED: Final = "Deliveries are signed with a new secret, and with the old one too for as long as you said."
_GONE: Final = "The webhook and all its deliveries are deleted, those that wait too."
_FORGOTTEN: Final = "The delivery is never made."

SECTION: Final = Section(
    "",
    "/apps",
    _NEEDS,
    (
        PageRoute(_ALL, _list, _NEEDS),
        PageRoute(_ALL, _create, _NEEDS, "POST", back=_ALL),
        PageRoute(_ONE, _show, _NEEDS),
        PageRoute(f"{_ONE}/change", _change, _NEEDS, "POST", back=_ONE),
        PageRoute(f"{_ONE}/enable", _enable, _NEEDS, "POST", back=_ONE),
        PageRoute(f"{_ONE}/disable", _disable, _NEEDS, "POST", ask=_DISABLED, back=_ONE),
        PageRoute(f"{_ONE}/rotate", _rotate, _NEEDS, "POST", ask=_ROTATED, back=_ONE),
        PageRoute(f"{_ONE}/test", _test, _NEEDS, "POST", back=_ONE, whole=False),
        PageRoute(f"{_ONE}/delete", _delete, _NEEDS, "POST", ask=_GONE, back=_ALL),
        PageRoute(f"{_ONE}/revive", _revive_all, _NEEDS, "POST", back=_ONE),
        PageRoute(f"{_DEAD}/revive", _revive, _NEEDS, "POST", back=_ONE),
        PageRoute(f"{_DEAD}/delete", _forget, _NEEDS, "POST", ask=_FORGOTTEN, back=_ONE),
    ),
)
