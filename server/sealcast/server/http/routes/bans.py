"""Ban rules of an app: list, make, show, change, lift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...access import new_rule_id
from ...bans import PRIVILEGES, Ban
from ...prefixes import NETWORK_MAX, network
from ..api_keys import Caller, CallerOf
from ..errors import ApiError
from ..paging import Page, PageAskedOf
from ..route import ApiRoute, scoped
from ..rules import AddressRule, ChannelRule, Kept, Reason, RuleId, UserRule, app_of, kept_in
from ..services import Services, ServicesOf
from ..views import AppIdOf

__all__ = [
    "BanChange",
    "BanView",
    "NewBan",
    "PrivilegeName",
    "change_ban",
    "create_ban",
    "lift_ban",
    "list_bans",
    "router",
    "show_ban",
]

router = APIRouter(tags=["bans"], route_class=ApiRoute)

PrivilegeName = Literal["join", "audio", "video", "data"]
_LONGEST = 100 * 366 * 86_400.0

Filter = Annotated[str, Query(max_length=255)]


class NewBan(BaseModel):
    """A rule to be made. Of address, channel and user, those that are given all have to match."""

    model_config = ConfigDict(extra="forbid", strict=True)

    address: AddressRule | None = None
    channel: ChannelRule | None = None
    user: UserRule | None = None
    privileges: list[PrivilegeName] = Field(
        ["join"],
        min_length=1,
        max_length=4,
        description="what it takes away; without `join` a member stays, and may not publish these kinds",
    )
    duration: float | None = Field(
        None,
        ge=0,
        le=_LONGEST,
        allow_inf_nan=False,
        description="seconds; null: until it is lifted; 0: put out now, and let come back at once",
    )
    reason: Reason = ""

    @model_validator(mode="after")
    def _names_somebody(self) -> NewBan:
        if self.address is None and self.channel is None and self.user is None:
            raise ValueError("names nobody: give address, channel, user, or several")
        if self.duration == 0 and "join" not in self.privileges:
            raise ValueError("a duration of 0 puts out, so it takes away `join`")
        return self


class BanChange(BaseModel):
    """What to change of a rule."""

    model_config = ConfigDict(extra="forbid", strict=True)

    duration: float | None = Field(
        gt=0,
        le=_LONGEST,
        allow_inf_nan=False,
        description="seconds from now on; null: until it is lifted",
    )


class BanView(BaseModel):
    """A rule."""

    ban_id: str
    app_id: str
    address: str | None
    channel: str | None
    user: str | None
    privileges: list[PrivilegeName]
    created: float
    until: float | None = Field(description="null: until it is lifted")
    reason: str
    creator: str
    kept: Kept = Field(description="a rule that is in memory only is gone when the relay restarts")

    @classmethod
    def of(cls, ban: Ban, services: Services) -> BanView:
        """Return the view of a rule."""
        return cls(
            ban_id=ban.ban_id,
            app_id=ban.app_id,
            address=ban.address,
            channel=ban.channel,
            user=ban.user,
            privileges=[name for name in _PRIVILEGES if name in ban.privileges],
            created=ban.created,
            until=ban.until,
            reason=ban.reason,
            creator=ban.creator,
            kept=kept_in(services.hub.access.bans.kept),
        )


_PRIVILEGES: tuple[PrivilegeName, ...] = ("join", "audio", "video", "data")
assert set(_PRIVILEGES) == set(PRIVILEGES)


@router.get("/apps/{app_id}/bans", openapi_extra=scoped("bans:write"))
async def list_bans(
    services: ServicesOf,
    app_id: AppIdOf,
    asked: PageAskedOf,
    address: Annotated[
        str, Query(max_length=NETWORK_MAX, description="rules that name this address, or its network")
    ] = "",
    channel: Filter = "",
    user: Filter = "",
) -> Page[BanView]:
    """List the ban rules of an app that have not ended, the oldest first."""
    app_of(services, app_id)
    if address:
        try:
            network(address)
        except ValueError as error:
            raise ApiError("invalid", problems=[f"address: {error}"]) from None
    found = [
        ban
        for ban in services.hub.access.bans.of(app_id)
        if ban.ban_id > asked.after
        and (not channel or ban.channel == channel)
        and (not user or ban.user == user)
        and (not address or ban.address == str(network(address)) or ban.covers(address.partition("/")[0]))
    ]
    views = [BanView.of(ban, services) for ban in found[: asked.most]]
    return Page.of(views, asked, lambda ban: ban.ban_id)


@router.post("/apps/{app_id}/bans", status_code=201, openapi_extra=scoped("bans:write"))
async def create_ban(services: ServicesOf, caller: CallerOf, app_id: AppIdOf, new: NewBan) -> BanView:
    """Ban an address, a channel, a user, or a user in a channel. It holds at once, for who is there too."""
    app = app_of(services, app_id)
    now = services.clock.wall()
    ban = Ban(
        ban_id=new_rule_id(now),
        app_id=app_id,
        address=new.address,
        channel=new.channel,
        user=new.user,
        privileges=tuple(name for name in _PRIVILEGES if name in new.privileges),
        until=None if new.duration is None else now + new.duration,
        reason=new.reason,
        creator=caller.actor,
        created=now,
    )
    bans = services.hub.access.bans
    if new.duration == 0:
        await services.announce(*_entry(caller, "ban.kicked", ban), address=caller.address)
        bans.kick(ban)
    else:
        await bans.add(ban, app.limits.bans)
        await _done(services, caller, "ban.created", ban)
    return BanView.of(ban, services)


@router.get("/apps/{app_id}/bans/{ban_id}", openapi_extra=scoped("bans:write"))
async def show_ban(services: ServicesOf, app_id: AppIdOf, ban_id: RuleId) -> BanView:
    """Show one ban rule."""
    app_of(services, app_id)
    return BanView.of(services.hub.access.bans.get(app_id, ban_id), services)


@router.patch("/apps/{app_id}/bans/{ban_id}", openapi_extra=scoped("bans:write"))
async def change_ban(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, ban_id: RuleId, change: BanChange
) -> BanView:
    """Let a ban rule end at another time."""
    app_of(services, app_id)
    until = None if change.duration is None else services.clock.wall() + change.duration
    ban = await services.hub.access.bans.change(app_id, ban_id, until)
    await _done(services, caller, "ban.changed", ban)
    return BanView.of(ban, services)


@router.delete("/apps/{app_id}/bans/{ban_id}", status_code=204, openapi_extra=scoped("bans:write"))
async def lift_ban(services: ServicesOf, caller: CallerOf, app_id: AppIdOf, ban_id: RuleId) -> Response:
    """Lift a ban rule: what it took away is given back at once."""
    app_of(services, app_id)
    await _done(services, caller, "ban.lifted", await services.hub.access.bans.lift(app_id, ban_id))
    return Response(status_code=204)


async def _done(services: Services, caller: Caller, action: str, ban: Ban) -> None:
    await services.audit(*_entry(caller, action, ban), address=caller.address)


def _entry(caller: Caller, action: str, ban: Ban) -> tuple[str, str, str, Mapping[str, Any]]:
    rule = {
        "app": ban.app_id,
        "address": ban.address,
        "channel": ban.channel,
        "user": ban.user,
        "privileges": list(ban.privileges),
        "until": ban.until,
        "reason": ban.reason,
    }
    return caller.actor, action, f"ban {ban.ban_id}", {"rule": rule}
