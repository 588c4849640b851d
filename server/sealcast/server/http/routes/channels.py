"""Channels that somebody is in: list and show; the history of any channel: delete."""

from __future__ import annotations

import heapq
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ...interfaces import ChannelKey
from ..api_keys import CallerOf
from ..live_views import ChannelDetail, ChannelOf, ChannelView
from ..paging import Page, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import ServicesOf
from ..views import AppIdOf

__all__ = ["ErasedView", "delete_history", "list_channels", "router", "show_channel"]

router = APIRouter(tags=["channels"], route_class=ApiRoute)

_PREFIX = r"^[a-zA-Z0-9 !#$%&()+\-:;<=.>?@\[\]^_{}|~,]{0,64}$"


class ErasedView(BaseModel):
    """What was deleted."""

    erased: int = Field(description="messages that are not there any more")


@router.get("/apps/{app_id}/channels", openapi_extra=scoped("channels:read"))
async def list_channels(
    services: ServicesOf,
    app_id: AppIdOf,
    asked: PageAskedOf,
    prefix: Annotated[str, Query(pattern=_PREFIX, description="what the names begin with")] = "",
) -> Page[ChannelView]:
    """List the channels that somebody is in on this node, in the order of their names."""
    channels = services.live(app_id).channels
    found = heapq.nsmallest(
        asked.most, (name for name in channels if name > asked.after and name.startswith(prefix))
    )
    return Page.of([ChannelView.of(channels[name]) for name in found], asked, lambda view: view.channel)


@router.get("/apps/{app_id}/channel", openapi_extra=scoped("channels:read"))
async def show_channel(services: ServicesOf, app_id: AppIdOf, channel: ChannelOf) -> ChannelDetail:
    """Show one channel that somebody is in, with all that is counted of it."""
    found = services.channel(app_id, channel)
    return ChannelDetail.of_all(found, services.live(app_id).config, services.clock.monotonic())


@router.delete("/apps/{app_id}/channel/history", openapi_extra=scoped("history:write"))
async def delete_history(
    services: ServicesOf,
    caller: CallerOf,
    app_id: AppIdOf,
    channel: ChannelOf,
    upto: Annotated[
        int | None, Query(ge=1, le=2**63 - 1, description="the offset of the last message that goes")
    ] = None,
) -> ErasedView:
    """Delete what a channel has kept of its messages, whether somebody is in it or not. Offsets go on."""
    services.live(app_id)
    target = f"app {app_id} channel {channel}"
    await services.announce(caller.actor, "history.deleted", target, {"upto": upto}, address=caller.address)
    return ErasedView(erased=services.hub.erase(ChannelKey(app_id, channel), upto))
