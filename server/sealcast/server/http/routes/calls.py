"""Calls: past and present lives of channels, and who was in them."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from sealcast.protocol import names
from sealcast.protocol.errors import InvalidName

from ...recording.addresses import ways_kept
from ...store.calls import CallsAsked, Place
from ...store.records import CallRecord, MembershipRecord
from ..api_keys import CallerOf
from ..errors import ApiError
from ..moments import SpanOf
from ..paging import Page, PageAsked, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import ServicesOf
from ..views import AppIdOf

__all__ = [
    "CallDetail",
    "CallView",
    "MembershipView",
    "list_calls",
    "router",
    "show_call",
]

router = APIRouter(tags=["calls"], route_class=ApiRoute)

_ADDRESS_MAX: Final = 64
CallIdOf = Annotated[str, Field(pattern="^[0-9a-f]{24}$")]


class CallView(BaseModel):
    """The life of a channel on one node."""

    call_id: str
    app_id: str
    channel: str
    node: str
    opened: float
    closed: float | None = Field(description="null while it goes on")
    reason: str | None = Field(description="`over`, or `node_lost` where the relay ended without warning")
    memberships: int = Field(description="how often somebody joined")
    peak: int = Field(description="members at the same time at most")

    @classmethod
    def of(cls, record: CallRecord) -> CallView:
        """Return the view of a call."""
        return cls(**{name: getattr(record, name) for name in cls.model_fields})


class MembershipView(BaseModel):
    """Somebody in a call, from joining to leaving."""

    record_id: str
    user: str
    member: int = Field(description="the number in the channel")
    address: str = Field(description="whole, a network, or empty, as `records.addresses` says")
    agent: str = Field(description="the `User-Agent`; a claim")
    system: str = Field(description="the operating system that it names, or empty")
    joined: float
    left: float | None = Field(description="null while it goes on")
    reason: str | None = Field(description="the name of an end code, or `node_lost`")
    frames_in: int = Field(description="what the member has sent; written at the end")
    bytes_in: int

    @classmethod
    def of(cls, record: MembershipRecord) -> MembershipView:
        """Return the view of a membership."""
        alike = (
            "record_id",
            "member",
            "address",
            "agent",
            "system",
            "joined",
            "reason",
            "frames_in",
            "bytes_in",
        )
        fields = {name: getattr(record, name) for name in alike}
        return cls(user=record.user_id, left=record.ended, **fields)


class CallDetail(BaseModel):
    """A call, with a page of its memberships in the order in which they began."""

    call: CallView
    members: list[MembershipView]
    next: str | None = Field(description="the cursor of the next page of memberships; null on the last one")


@router.get("/apps/{app_id}/calls", openapi_extra=scoped("sessions:read"))
async def list_calls(
    services: ServicesOf,
    caller: CallerOf,
    app_id: AppIdOf,
    asked: PageAskedOf,
    span: SpanOf,
    channel: Annotated[str | None, Query(max_length=64)] = None,
    user: Annotated[str | None, Query(max_length=255, description="was in it")] = None,
    address: Annotated[
        str | None,
        Query(max_length=_ADDRESS_MAX, description="was in it; an address, or a network that was kept"),
    ] = None,
) -> Page[CallView]:
    """Search past and present calls of an app, those that began last first."""
    problems = [*_problems(channel, user)]
    addresses = ways_kept(address) if address is not None else ()
    if address is not None and not addresses:
        problems.append("address: should be an IP address, or a network as 192.0.2.0/24")
    if problems:
        raise ApiError("invalid", problems=problems)
    what = CallsAsked(channel, user, addresses, span.since, span.until)
    store = await services.settled()
    found = await store.calls.page(app_id, what, _place(asked), asked.most)
    return Page.of(
        [CallView.of(call) for call in found], asked, lambda call: f"{call.opened!r} {call.call_id}"
    )


@router.get("/apps/{app_id}/calls/{call_id}", openapi_extra=scoped("sessions:read"))
async def show_call(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, call_id: CallIdOf, asked: PageAskedOf
) -> CallDetail:
    """Show one call, and who was in it."""
    store = await services.settled()
    call = await store.calls.get(app_id, call_id)
    found = await store.calls.members(call_id, _place(asked), asked.most)
    page = Page.of(
        [MembershipView.of(each) for each in found], asked, lambda each: f"{each.joined!r} {each.record_id}"
    )
    return CallDetail(call=CallView.of(call), members=page.items, next=page.next)


def _problems(channel: str | None, user: str | None) -> list[str]:
    found = []
    for name, given, check in (("channel", channel, names.channel_name), ("user", user, names.user_id)):
        try:
            if given is not None:
                check(given)
        except InvalidName as error:
            found.append(f"{name}: {error}")
    return found


def _place(asked: PageAsked) -> Place | None:
    if not asked.after:
        return None
    moment, _, key = asked.after.partition(" ")
    try:
        return Place(float(moment), key)
    except ValueError:
        raise ApiError("invalid", problems=["cursor: should be the `next` of another page"]) from None
