"""The whole relay at a glance, and the figures of all live pages."""

from __future__ import annotations

from typing import Final

from starlette.responses import JSONResponse, Response

from ...errors import ApiError
from ..visit import PageRoute, Section, Visit
from ..watching import Subject

__all__ = ["SECTION"]

_NAME_MAX: Final = 255


async def _overview(visit: Visit) -> Response:
    return visit.page("overview.html", watch=visit.console.watches.of(Subject()))


async def _live(visit: Visit) -> Response:
    subject = Subject(visit.asked("app"), visit.asked("channel"), visit.asked("user"))
    if max(map(len, subject)) > _NAME_MAX:
        raise ApiError("invalid")
    if subject.app_id:
        visit.services.live(subject.app_id)
    watch = visit.console.watches.of(subject)
    rows = {watch.table: watch.rows.values} if watch.table else {}
    return JSONResponse({"series": watch.series.values, "rows": rows})


SECTION: Final = Section(
    "Overview",
    "/",
    "usage:read",
    (
        PageRoute("/", _overview, "usage:read"),
        PageRoute("/live", _live, "channels:read", live=True),
    ),
)
