"""A channel and who is in it, one member, and putting it out."""

from __future__ import annotations

from typing import Final

from starlette.responses import RedirectResponse, Response

from ....config import AppConfig
from ...errors import ApiError
from ...live_views import ChannelDetail, MemberDetail
from ...routes.apps import show_app
from ...routes.members import Kick, kick_members
from ..visit import PageRoute, Section, Visit
from ..watching import ROWS_MOST, Subject, ban_path, channel_path, lasted, member_path

__all__ = ["SECTION"]


async def _channel(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.request.path_params["app_id"])
    name = visit.asked("name")
    live = visit.services.live(app.app_id)
    found = live.channels.get(name)
    detail = None
    if found is not None:
        config: AppConfig = live.config
        detail = ChannelDetail.of_all(found, config, visit.services.clock.monotonic())
    elif not name or len(name) > 64:
        raise ApiError("not_found", "there is no channel of that name")
    return visit.page(
        "channel.html",
        app=app,
        channel=name,
        detail=detail,
        most=ROWS_MOST,
        watch=visit.console.watches.of(Subject(app.app_id, name)),
        now=visit.services.clock.wall(),
        lasted=lasted,
    )


async def _member(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.request.path_params["app_id"])
    channel, user = visit.asked("channel"), visit.asked("user")
    found = visit.services.live(app.app_id).channels.get(channel)
    member = found.by_user.get(user) if found is not None else None
    if member is None:
        raise ApiError("not_found", "that user is not in that channel", hint="it may have left")
    return visit.page(
        "member.html",
        app=app,
        channel=channel,
        channel_path=channel_path(app.app_id, channel),
        ban_path=ban_path(app.app_id, channel, user),
        member=MemberDetail.of_all(member),
        watch=visit.console.watches.of(Subject(app.app_id, channel, user)),
        now=visit.services.clock.wall(),
        lasted=lasted,
    )


async def _find(visit: Visit) -> Response:
    """Go to a member by its name."""
    app_id = visit.request.path_params["app_id"]
    path = member_path(app_id, visit.asked("channel"), visit.asked("user").strip())
    return RedirectResponse(path, 303)


async def _kick(visit: Visit) -> Response:
    app_id = visit.request.path_params["app_id"]
    channel, user = visit.field("channel"), visit.form.get("user", "")
    done = await kick_members(visit.services, visit.caller, app_id, Kick(channel=channel, user=user))
    text = f"{user} was put out." if done.kicked else f"{user} was not there any more."
    path = channel_path(app_id, channel).removeprefix("/console")
    return visit.back(path, text)


_APP: Final = "/apps/{app_id}"

SECTION: Final = Section(
    "",
    "/apps",
    "channels:read",
    (
        PageRoute(f"{_APP}/channel", _channel, "channels:read"),
        PageRoute(f"{_APP}/member", _member, "channels:read"),
        PageRoute(f"{_APP}/find", _find, "channels:read"),
        PageRoute(
            f"{_APP}/kick",
            _kick,
            "members:write",
            "POST",
            ask="This member is put out. It may come back as long as its token is good.",
            back=_APP,
        ),
    ),
)
