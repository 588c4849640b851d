"""Nodes: this one, as a list, since a cluster has more."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from sealcast.protocol.version import __version__

from ..paging import Page, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import ServicesOf
from .usage import for_all

__all__ = ["NodeView", "list_nodes", "router"]

router = APIRouter(tags=["nodes"], route_class=ApiRoute)


class NodeView(BaseModel):
    """A relay's process."""

    node: str = Field(description="its name, which clients are told too")
    version: str
    started: float
    uptime: float = Field(description="seconds")
    connections: int = Field(description="handshakes included")
    apps: int
    channels: int
    members: int
    loop: str = Field(description="what turns its event loop")
    draining: bool = Field(description="whether it goes down, and takes nobody")


@router.get("/nodes", openapi_extra=scoped("nodes:read"), dependencies=[Depends(for_all)])
async def list_nodes(services: ServicesOf, asked: PageAskedOf) -> Page[NodeView]:
    """List the nodes that this one knows: itself."""
    hub = services.hub
    apps = list(hub.apps())
    channels = [channel for app in apps for channel in app.channels.values()]
    now = services.clock.wall()
    node = NodeView(
        node=services.config.server.node,
        version=__version__,
        started=services.usage.started,
        uptime=round(now - services.usage.started, 3),
        connections=hub.metrics.connections,
        apps=len(apps),
        channels=len(channels),
        members=sum(len(channel.members) for channel in channels),
        loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
        draining=hub.draining,
    )
    found = [node] if node.node > asked.after else []
    return Page.of(found, asked, lambda view: view.node)
