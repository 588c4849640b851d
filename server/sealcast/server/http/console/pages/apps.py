"""Apps: the list, one app, create, enable and disable, delete, and a token to try it with."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any, Final

from starlette.responses import Response

from sealcast.protocol import names
from sealcast.protocol.errors import InvalidName
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import AccessToken

from ...errors import ApiError
from ...paging import PageAsked
from ...routes.apps import NewApp, create_app, delete_app, disable_app, enable_app, list_apps, show_app
from ...views import AppView
from ..visit import PageRoute, Section, Visit
from ..watching import Subject

__all__ = ["SECTION"]

_IN_PAGE: Final = 100
_SETTINGS: Final = ("policy", "limits", "rates", "history", "presence")
_MINUTES_MOST: Final = 60
_SALT_MOST: Final = 99_999_999


async def _list(visit: Visit) -> Response:
    after = visit.asked("after")[:32]
    asked = PageAsked(_IN_PAGE, after if after.isalnum() else "")
    page = await list_apps(visit.services, visit.caller, asked)
    more = page.items[-1].app_id if page.next else ""
    return visit.page("apps.html", apps=page.items, more=more, kept=visit.services.store is not None)


async def _create(visit: Visit) -> Response:
    made = await create_app(
        visit.services, visit.caller, NewApp.model_validate({"name": visit.field("name")})
    )
    return visit.back(
        f"/apps/{made.app.app_id}",
        "The app is there. Your backend signs tokens with its certificate, which is shown this once:",
        secret=made.secret or "",
    )


async def _show(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.request.path_params["app_id"])
    options = {section: list(_options(app, section)) for section in _SETTINGS}
    watch = visit.console.watches.of(Subject(app.app_id))
    return visit.page("app.html", app=app, options=options, watch=watch, minutes_most=_MINUTES_MOST)


def _options(app: AppView, section: str) -> Iterator[tuple[str, Any, str, bool]]:
    """Return each option of a section: its name, value, what it is for, and whether it was set."""
    model = getattr(app, section)
    for name, about in type(model).model_fields.items():
        value = getattr(model, name)
        yield name, value, about.description or "", value != about.default


async def _enable(visit: Visit) -> Response:
    app = await enable_app(visit.services, visit.caller, visit.request.path_params["app_id"])
    return visit.back(f"/apps/{app.app_id}", "The app is enabled.")


async def _disable(visit: Visit) -> Response:
    app = await disable_app(visit.services, visit.caller, visit.request.path_params["app_id"])
    return visit.back(f"/apps/{app.app_id}", "The app is disabled, and everybody in it was put out.")


async def _delete(visit: Visit) -> Response:
    await delete_app(visit.services, visit.caller, visit.request.path_params["app_id"])
    return visit.back("/apps", "The app is gone.")


async def _token(visit: Visit) -> Response:
    app_id = visit.request.path_params["app_id"]
    channel, user, minutes = visit.field("channel"), visit.field("user"), visit.field("minutes")
    config = visit.services.directory.get(app_id)
    if config is None:
        raise ApiError("not_found", "no such app")
    if not config.certificates:
        raise ApiError("invalid", "the app has no certificate, and needs no tokens")
    try:
        names.channel_name(channel)
        names.user_id(user)
    except InvalidName as error:
        raise ApiError("invalid", problems=[str(error)]) from None
    if not minutes.isdecimal() or len(minutes) > 3 or not 1 <= int(minutes) <= _MINUTES_MOST:
        raise ApiError("invalid", problems=[f"minutes: 1 to {_MINUTES_MOST}"])
    token = AccessToken(
        app_id,
        config.certificates[0],
        issued_at=int(visit.services.clock.wall()),
        salt=1 + secrets.randbelow(_SALT_MOST),
        expire=60 * int(minutes),
    )
    text = token.add_rtc(channel, user, dict.fromkeys(Privilege, 0)).build()
    detail = {"channel": channel, "user": user, "minutes": int(minutes)}
    caller = visit.caller
    await visit.services.audit(caller.actor, "token.made", f"app {app_id}", detail, address=caller.address)
    return visit.back(
        f"/apps/{app_id}",
        f"A token for {user} in {channel}, good for {minutes} minutes. It is shown this once:",
        secret=text,
    )


_APP: Final = "/apps/{app_id}"
_OUT: Final = "Everybody in this app is put out at once, and nobody can connect."
_GONE: Final = "The app, its certificates and the API keys for it alone cannot be brought back."

SECTION: Final = Section(
    "Apps",
    "/apps",
    "apps:read",
    (
        PageRoute("/apps", _list, "apps:read"),
        PageRoute("/apps", _create, "apps:write", "POST", back="/apps"),
        PageRoute(_APP, _show, "apps:read"),
        PageRoute(f"{_APP}/enable", _enable, "apps:write", "POST", back=_APP),
        PageRoute(f"{_APP}/disable", _disable, "apps:write", "POST", ask=_OUT, back=_APP),
        PageRoute(f"{_APP}/delete", _delete, "apps:write", "POST", ask=_GONE, back=_APP),
        PageRoute(f"{_APP}/token", _token, "apps:write", "POST", back=_APP),
    ),
)
