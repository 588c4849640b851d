"""API keys, for admins: list, make, delete."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ...api_keys import SCOPES
from ...errors import ApiError
from ...routes.keys import NewApiKey, create_key, delete_key, list_keys
from ..forms import seconds_of, ticked
from ..visit import PageRoute, Section, Visit

__all__ = ["SECTION"]


async def _list(visit: Visit) -> Response:
    page = await list_keys(visit.services, visit.caller, visit.paged())
    return visit.page(
        "keys.html",
        keys=page.items,
        further=visit.further(page.next),
        scopes=SCOPES,
        now=visit.services.clock.wall(),
    )


async def _create(visit: Visit) -> Response:
    scopes = ticked(visit.form, "may_", SCOPES)
    if not scopes:
        raise ApiError("invalid", problems=["tick what the key may do"])
    lasts = seconds_of(visit.field("days"), "days")
    new = NewApiKey(
        name=visit.field("name"),
        scopes=scopes,
        app_id=visit.field("app_id") or None,
        rate=None,
        expires=None if lasts is None else visit.services.clock.wall() + lasts,
    )
    made = await create_key(visit.services, visit.caller, new)
    text = f"The key {made.key.key_id} is there. It is shown this once:"
    return visit.back("/keys", text, secret=made.secret or "")


async def _delete(visit: Visit) -> Response:
    await delete_key(visit.services, visit.caller, visit.within("key_id"))
    return visit.back("/keys", "The key is good for nothing from now on.")


_NEEDS: Final = "keys:write"

SECTION: Final = Section(
    "Keys",
    "/keys",
    _NEEDS,
    (
        PageRoute("/keys", _list, _NEEDS),
        PageRoute("/keys", _create, _NEEDS, "POST", back="/keys"),
        PageRoute(
            "/keys/{key_id}/delete",
            _delete,
            _NEEDS,
            "POST",
            ask="Programs that use this key are refused from now on. It cannot be brought back.",
            back="/keys",
        ),
    ),
)
