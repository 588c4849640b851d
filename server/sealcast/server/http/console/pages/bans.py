"""Bans of an app: list, make, let end at another time, lift."""

from __future__ import annotations

from typing import Any, Final, get_args

from starlette.responses import Response

from ...routes.apps import show_app
from ...routes.bans import (
    BanChange,
    BanView,
    NewBan,
    PrivilegeName,
    change_ban,
    create_ban,
    lift_ban,
    list_bans,
    show_ban,
)
from ..forms import UNITS, seconds_of, ticked
from ..visit import PageRoute, Section, Visit

__all__ = ["SECTION"]

_PRIVILEGES: Final[tuple[PrivilegeName, ...]] = get_args(PrivilegeName)
_NAMED: Final = ("user", "channel", "address")


async def _list(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.within("app_id"))
    search = {name: visit.asked(name).strip() for name in _NAMED}
    page = await list_bans(visit.services, app.app_id, visit.paged(), **search)
    return visit.page(
        "bans.html", app=app, bans=page.items, further=visit.further(page.next), search=search, whom=_whom
    )


async def _new(visit: Visit) -> Response:
    """Show the form, with what the page that it was asked for from knows already."""
    app = await show_app(visit.services, visit.within("app_id"))
    known = {name: visit.asked(name)[:255] for name in _NAMED}
    return visit.page("ban_new.html", app=app, known=known, privileges=_PRIVILEGES, units=list(UNITS))


async def _create(visit: Visit) -> Response:
    app_id = visit.within("app_id")
    named: dict[str, Any] = {name: visit.field(name) or None for name in _NAMED}
    new = NewBan(
        **named,
        privileges=ticked(visit.form, "takes_", _PRIVILEGES),
        duration=seconds_of(visit.field("amount"), visit.field("unit")),
        reason=visit.field("reason"),
    )
    ban = await create_ban(visit.services, visit.caller, app_id, new)
    if new.duration == 0:
        return visit.back(f"/apps/{app_id}/bans", f"Put out once: {_whom(ban)}.")
    return visit.back(f"/apps/{app_id}/bans", f"Banned: {_whom(ban)}.")


async def _show(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.within("app_id"))
    ban = await show_ban(visit.services, app.app_id, visit.within("ban_id"))
    return visit.page("ban.html", app=app, ban=ban, units=list(UNITS), whom=_whom)


async def _change(visit: Visit) -> Response:
    app_id, ban_id = visit.within("app_id"), visit.within("ban_id")
    change = BanChange(duration=seconds_of(visit.field("amount"), visit.field("unit")))
    await change_ban(visit.services, visit.caller, app_id, ban_id, change)
    return visit.back(f"/apps/{app_id}/bans/{ban_id}", "The ban ends at another time.")


async def _lift(visit: Visit) -> Response:
    app_id, ban_id = visit.within("app_id"), visit.within("ban_id")
    ban = await show_ban(visit.services, app_id, ban_id)
    await lift_ban(visit.services, visit.caller, app_id, ban_id)
    return visit.back(f"/apps/{app_id}/bans", f"The ban is lifted: {_whom(ban)}.")


def _whom(ban: BanView) -> str:
    """Say whom a ban is for."""
    parts = [f"user {ban.user}"] if ban.user else []
    if ban.channel:
        parts.append(f"channel {ban.channel}")
    if ban.address:
        parts.append(f"address {ban.address}")
    return ", ".join(parts)


_BANS: Final = "/apps/{app_id}/bans"
_ONE: Final = f"{_BANS}/{{ban_id}}"
_NEEDS: Final = "bans:write"
_BAN: Final = "Who is there now is put out, or loses what is taken away, at once."
_LIFTED: Final = "What the ban took away is given back at once."

SECTION: Final = Section(
    "",
    "/apps",
    _NEEDS,
    (
        PageRoute(_BANS, _list, _NEEDS),
        PageRoute(f"{_BANS}/new", _new, _NEEDS),
        PageRoute(_BANS, _create, _NEEDS, "POST", ask=_BAN, back=f"{_BANS}/new"),
        PageRoute(_ONE, _show, _NEEDS),
        PageRoute(f"{_ONE}/change", _change, _NEEDS, "POST", back=_ONE),
        PageRoute(f"{_ONE}/lift", _lift, _NEEDS, "POST", ask=_LIFTED, back=_BANS),
    ),
)
