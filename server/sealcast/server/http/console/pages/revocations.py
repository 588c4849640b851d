"""Revoked tokens of an app: list, revoke, lift."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from ...routes.apps import show_app
from ...routes.revocations import (
    NewRevocation,
    RevocationView,
    create_revocation,
    lift_revocation,
    list_revocations,
)
from ..forms import moment_of
from ..visit import PageRoute, Section, Visit

__all__ = ["SECTION"]

_NAMED: Final = ("user", "channel", "token_id")


async def _list(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.within("app_id"))
    search = {name: visit.asked(name).strip() for name in _NAMED}
    known = {name: visit.asked(f"of_{name}")[:255] for name in _NAMED}
    page = await list_revocations(visit.services, app.app_id, visit.paged(), **search)
    return visit.page(
        "revocations.html",
        app=app,
        revocations=page.items,
        further=visit.further(page.next),
        search=search,
        known=known,
        which=_which,
    )


async def _create(visit: Visit) -> Response:
    app_id = visit.within("app_id")
    named: dict[str, Any] = {name: visit.field(name) or None for name in _NAMED}
    before = moment_of(visit.field("issued_before"), "issued before")
    new = NewRevocation(**named, issued_before=before, reason=visit.field("reason"))
    made = await create_revocation(visit.services, visit.caller, app_id, new)
    return visit.back(f"/apps/{app_id}/revocations", f"Revoked: {_which(made)}.")


async def _lift(visit: Visit) -> Response:
    app_id, revocation_id = visit.within("app_id"), visit.within("revocation_id")
    await lift_revocation(visit.services, visit.caller, app_id, revocation_id)
    return visit.back(f"/apps/{app_id}/revocations", "The revocation is lifted.")


def _which(one: RevocationView) -> str:
    """Say which tokens one is about."""
    if one.token_id:
        return f"token {one.token_id}"
    parts = [f"of user {one.user}"] if one.user else []
    if one.channel:
        parts.append(f"for channel {one.channel}")
    return f"tokens {' '.join(parts)}" if parts else "all tokens"


_ALL: Final = "/apps/{app_id}/revocations"
_NEEDS: Final = "revocations:write"
_REVOKE: Final = "Who is in by such a token is put out at once, and it is refused from now on."
_LIFTED: Final = "The tokens that this is about are good again, as far as they have not ended."

SECTION: Final = Section(
    "",
    "/apps",
    _NEEDS,
    (
        PageRoute(_ALL, _list, _NEEDS),
        PageRoute(_ALL, _create, _NEEDS, "POST", ask=_REVOKE, back=_ALL),
        PageRoute(f"{_ALL}/{{revocation_id}}/lift", _lift, _NEEDS, "POST", ask=_LIFTED, back=_ALL),
    ),
)
