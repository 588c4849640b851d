"""``/metrics``: the relay's numbers, for Prometheus and what understands its format."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request, Response

from .errors import ApiError, ErrorBody
from .route import Gate
from .services import ServicesOf

__all__ = ["router"]

_SCOPE: Final = "metrics:read"
_TYPES: Final[dict[str, Any]] = {
    name: {"schema": {"type": "string"}} for name in ("text/plain", "application/openmetrics-text")
}

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": _TYPES}, "default": {"model": ErrorBody}},
)
async def metrics(request: Request, services: ServicesOf) -> Response:
    """Show the numbers of docs/metrics.md; where `metrics.open` is off, to keys with `metrics:read`."""
    if services.figures is None:
        raise ApiError("not_found", "there are no metrics here")
    if not services.config.metrics.open:
        gate: Gate = request.app.state.gate
        caller = await gate.admit(request, _SCOPE)
        if caller.app_id is not None:
            raise ApiError("forbidden", "the key is for one app, and this is about all")
    text, media_type = await services.figures.text(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": media_type})
