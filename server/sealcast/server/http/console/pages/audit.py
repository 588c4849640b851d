"""The audit log: who changed what, and the head that somebody should keep elsewhere."""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.responses import Response

from ...errors import ApiError
from ...moments import Span
from ...routes.audit import audit_head, list_audit
from ..forms import moment_of
from ..rendering import moment
from ..visit import PageRoute, Section, Visit

__all__ = ["SECTION"]

_MOMENTS: Final = ("until", "issued_before", "expires")
"""What is a time where it stands in an entry."""
_LATEST: Final = 2e11
_NAMED: Final = ("actor", "action", "target", "from", "to")


async def _list(visit: Visit) -> Response:
    search = {name: visit.asked(name).strip()[:255] for name in _NAMED}
    found, further, problem = [], "", ""
    try:
        span = Span(moment_of(search["from"], "from"), moment_of(search["to"], "to"))
        page = await list_audit(
            visit.services,
            visit.caller,
            visit.paged(),
            span,
            actor=search["actor"] or None,
            action=search["action"] or None,
            target=search["target"] or None,
        )
        found, further = page.items, visit.further(page.next)
    except ApiError as error:
        if error.problem.name != "invalid":
            raise
        problem = "; ".join(error.problems)
    return visit.page(
        "audit.html",
        status=422 if problem else 200,
        entries=found,
        ends=await audit_head(visit.services, visit.caller),
        further=further,
        problem=problem,
        search=search,
        told=_told,
    )


def _told(detail: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what an entry says in detail, a name and a text each; of what is nested its own lines."""
    lines = []
    for name, value in detail.items():
        if isinstance(value, dict):
            lines += _told(value)
        elif name in _MOMENTS and isinstance(value, int | float) and 0 < value < _LATEST:
            lines.append((name, moment(value)))
        elif isinstance(value, list) and all(isinstance(each, str) for each in value):
            lines.append((name, ", ".join(value)))
        elif value is not None and value != "":
            lines.append((name, value if isinstance(value, str) else json.dumps(value)))
    return [(name, text) for name, text in lines if text]


SECTION: Final = Section(
    "Audit",
    "/audit",
    "audit:read",
    (PageRoute("/audit", _list, "audit:read"),),
)
