"""Past and present calls of an app: search, and who was in one."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ...errors import ApiError
from ...moments import Span
from ...routes.apps import show_app
from ...routes.calls import list_calls, show_call
from ..forms import moment_of
from ..visit import PageRoute, Section, Visit
from ..watching import lasted

__all__ = ["SECTION"]

_NAMED: Final = ("channel", "user", "address", "from", "to")


async def _search(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.within("app_id"))
    search = {name: visit.asked(name).strip()[:255] for name in _NAMED}
    found, further, problem = [], "", ""
    try:
        span = Span(moment_of(search["from"], "from"), moment_of(search["to"], "to"))
        page = await list_calls(
            visit.services,
            visit.caller,
            app.app_id,
            visit.paged(),
            span,
            channel=search["channel"] or None,
            user=search["user"] or None,
            address=search["address"] or None,
        )
        found, further = page.items, visit.further(page.next)
    except ApiError as error:
        if error.problem.name != "invalid":
            raise
        problem = "; ".join(error.problems)
    return visit.page(
        "calls.html",
        status=422 if problem else 200,
        app=app,
        calls=found,
        further=further,
        problem=problem,
        search=search,
        recorded=visit.services.config.records.sessions,
        now=visit.services.clock.wall(),
        lasted=lasted,
    )


async def _call(visit: Visit) -> Response:
    app = await show_app(visit.services, visit.within("app_id"))
    detail = await show_call(visit.services, visit.caller, app.app_id, visit.within("call_id"), visit.paged())
    return visit.page(
        "call.html",
        app=app,
        call=detail.call,
        members=detail.members,
        further=visit.further(detail.next),
        now=visit.services.clock.wall(),
        lasted=lasted,
    )


_ALL: Final = "/apps/{app_id}/calls"
_NEEDS: Final = "sessions:read"

SECTION: Final = Section(
    "",
    "/apps",
    _NEEDS,
    (
        PageRoute(_ALL, _search, _NEEDS),
        PageRoute(f"{_ALL}/{{call_id}}", _call, _NEEDS),
    ),
)
