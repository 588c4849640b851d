"""Usage and quality: what apps have used, in total, of late, and how well it went."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from ...hub import App
from ...tally import Tally
from ..api_keys import CallerOf
from ..errors import ApiError
from ..live_views import Figures, WindowFigures
from ..route import ApiRoute, scoped
from ..services import Services, ServicesOf
from ..views import AppIdOf

__all__ = [
    "AllUsageView",
    "TurnFigures",
    "TurnsView",
    "UsageView",
    "for_all",
    "router",
    "show_app_usage",
    "show_usage",
]

router = APIRouter(tags=["usage"], route_class=ApiRoute)


def for_all(caller: CallerOf) -> None:
    """Refuse a key that is for one app."""
    if caller.app_id is not None:
        raise ApiError("forbidden", "the key is for one app, and this is about all of them")


class UsageView(BaseModel):
    """What an app has used on this node."""

    since: float = Field(description="when it began to be counted: the start of the relay, or of the app")
    connections: int = Field(description="now")
    channels: int = Field(description="now")
    members: int = Field(description="now")
    total: Figures
    last_5_minutes: WindowFigures
    last_hour: WindowFigures


class TurnFigures(BaseModel):
    """How long turns of the event loop were, in seconds: upper bounds. null when there were none."""

    wait_p50: float | None = Field(description="what came first waited for so long until it was sent")
    wait_p99: float | None
    work_p50: float | None = Field(description="sending took so long")
    work_p99: float | None


class TurnsView(BaseModel):
    """Turns of the event loop: the load of the process."""

    total: TurnFigures
    last_5_minutes: TurnFigures
    last_hour: TurnFigures


class AllUsageView(UsageView):
    """What all apps have used on this node, and how it bears it."""

    turns: TurnsView


@router.get("/usage", openapi_extra=scoped("usage:read"), dependencies=[Depends(for_all)])
async def show_usage(services: ServicesOf) -> AllUsageView:
    """Show what all apps together have used, and how long turns of the event loop are."""
    total = await services.usage.of_all()
    apps = list(services.hub.apps())
    turns = TurnsView(
        total=_turns(services, None),
        last_5_minutes=_turns(services, 300.0),
        last_hour=_turns(services, 3600.0),
    )
    return AllUsageView(
        since=services.usage.started,
        connections=sum(app.connections for app in apps),
        channels=sum(len(app.channels) for app in apps),
        members=sum(map(_members, apps)),
        turns=turns,
        **_windows(services, total, None),
    )


@router.get("/apps/{app_id}/usage", openapi_extra=scoped("usage:read"))
async def show_app_usage(services: ServicesOf, app_id: AppIdOf) -> UsageView:
    """Show what an app has used."""
    app = services.live(app_id)
    total = await services.usage.of_app(app)
    return UsageView(
        since=services.clock.wall() - (services.clock.monotonic() - app.began),
        connections=app.connections,
        channels=len(app.channels),
        members=_members(app),
        **_windows(services, total, app),
    )


def _members(app: App) -> int:
    return sum(len(channel.members) for channel in app.channels.values())


def _windows(services: Services, total: Tally, app: App | None) -> dict[str, Any]:
    minutes, hour = (services.usage.window(span, total, app) for span in (300.0, 3600.0))
    return {
        "total": Figures.of(total),
        "last_5_minutes": WindowFigures.of_window(minutes),
        "last_hour": WindowFigures.of_window(hour),
    }


def _turns(services: Services, span: float | None) -> TurnFigures:
    lengths = services.usage.lengths
    return TurnFigures(
        wait_p50=lengths("waits", span, 0.5),
        wait_p99=lengths("waits", span, 0.99),
        work_p50=lengths("work", span, 0.5),
        work_p99=lengths("work", span, 0.99),
    )
