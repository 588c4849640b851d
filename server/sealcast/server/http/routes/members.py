"""Members: list, show, who is there, where a user is; and kick."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...channel import Channel
from ...kicking import kick, memberships
from ...member import Member
from ..api_keys import CallerOf
from ..errors import ApiError
from ..live_views import (
    ChannelName,
    ChannelOf,
    MemberDetail,
    MemberView,
    PresenceView,
    UserName,
    UserOf,
)
from ..paging import Page, PageAsked, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import ServicesOf
from ..views import AppIdOf

__all__ = [
    "Kick",
    "Kicked",
    "kick_members",
    "list_members",
    "list_memberships",
    "list_presence",
    "router",
    "show_member",
]

router = APIRouter(tags=["members"], route_class=ApiRoute)


@router.get("/apps/{app_id}/members", openapi_extra=scoped("channels:read"))
async def list_members(
    services: ServicesOf, app_id: AppIdOf, asked: PageAskedOf, channel: ChannelOf
) -> Page[MemberView]:
    """List the members of a channel, in the order in which they joined."""
    found = _page(services.channel(app_id, channel), asked)
    return Page.of([MemberView.of(each) for each in found], asked, lambda view: str(view.member))


@router.get("/apps/{app_id}/member", openapi_extra=scoped("channels:read"))
async def show_member(
    services: ServicesOf, app_id: AppIdOf, channel: ChannelOf, user: UserOf
) -> MemberDetail:
    """Show one member of a channel, with all that is counted of it."""
    member = services.channel(app_id, channel).by_user.get(user)
    if member is None:
        raise ApiError("not_found", "that user is not in that channel")
    return MemberDetail.of_all(member)


@router.get("/apps/{app_id}/presence", openapi_extra=scoped("channels:read"))
async def list_presence(
    services: ServicesOf, app_id: AppIdOf, asked: PageAskedOf, channel: ChannelOf
) -> Page[PresenceView]:
    """List who is in a channel, in short, with what somebody needs to know who seals a message for them."""
    found = _page(services.channel(app_id, channel), asked)
    return Page.of([PresenceView.of(each) for each in found], asked, lambda view: str(view.member))


@router.get("/apps/{app_id}/memberships", openapi_extra=scoped("channels:read"))
async def list_memberships(
    services: ServicesOf, app_id: AppIdOf, asked: PageAskedOf, user: UserOf
) -> Page[MemberView]:
    """List the channels that a user is in on this node, in the order of their names."""
    members: Iterable[Member] = memberships(services.live(app_id), None, user)
    found = heapq.nsmallest(
        asked.most,
        (member for member in members if member.channel.key.channel > asked.after),
        key=lambda member: member.channel.key.channel,
    )
    return Page.of([MemberView.of(each) for each in found], asked, lambda view: view.channel)


class Kick(BaseModel):
    """Whom to put out: a user of a channel, a user everywhere, or all of a channel."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"anyOf": [{"required": ["channel"]}, {"required": ["user"]}]},
    )

    channel: ChannelName | None = None
    user: UserName | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Kick:
        if self.channel is None and self.user is None:
            raise ValueError("should name a channel, a user, or both")
        return self


class Kicked(BaseModel):
    """How many memberships were ended."""

    kicked: int = Field(description="0 when there was nobody, as the second time")


@router.post("/apps/{app_id}/kick", openapi_extra=scoped("members:write"))
async def kick_members(services: ServicesOf, caller: CallerOf, app_id: AppIdOf, whom: Kick) -> Kicked:
    """End memberships with the code `kicked`, those that linger too. Who has a token may join again."""
    app = services.live(app_id)
    found = len(memberships(app, whom.channel, whom.user))
    detail = {"channel": whom.channel, "user": whom.user, "kicked": found}
    await services.announce(caller.actor, "members.kicked", f"app {app_id}", detail, address=caller.address)
    return Kicked(kicked=await kick(app, whom.channel, whom.user))


def _page(channel: Channel, asked: PageAsked) -> list[Member]:
    if not asked.after.isascii() or not (asked.after.isdigit() or not asked.after) or len(asked.after) > 20:
        raise ApiError("invalid", problems=["cursor: should be the `next` of another page"])
    after = int(asked.after or 0)
    numbers = heapq.nsmallest(asked.most, (number for number in channel.members if number > after))
    return [channel.members[number] for number in numbers]
