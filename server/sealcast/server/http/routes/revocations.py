"""Revoked tokens of an app: list, make, show, lift."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sealcast.protocol.tokens import LIFE_MAX

from ...access import new_rule_id
from ...revocations import Revocation, needed_until
from ..api_keys import Caller, CallerOf
from ..errors import ApiError
from ..paging import Page, PageAskedOf
from ..route import ApiRoute, scoped
from ..rules import ChannelRule, Kept, Reason, RuleId, UserRule, app_of, kept_in
from ..services import Services, ServicesOf
from ..views import AppIdOf

__all__ = [
    "NewRevocation",
    "RevocationView",
    "create_revocation",
    "lift_revocation",
    "list_revocations",
    "router",
]

router = APIRouter(tags=["revocations"], route_class=ApiRoute)

Filter = Annotated[str, Query(max_length=255)]


class NewRevocation(BaseModel):
    """A revocation to be made: of one token, or of those that were issued before a time."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = Field(
        None, description="of one token, as `sealcast token inspect` shows it; alone"
    )
    channel: ChannelRule | None = None
    user: UserRule | None = None
    issued_before: float | None = Field(
        None,
        ge=0,
        le=1e11,
        allow_inf_nan=False,
        description="Unix seconds, exclusive; by default the next full second, so that all tokens that there"
        " are now are revoked. Alone it revokes them for the whole app",
    )
    reason: Reason = ""

    @model_validator(mode="after")
    def _names_something(self) -> NewRevocation:
        others = (self.channel, self.user, self.issued_before)
        if self.token_id is not None and any(each is not None for each in others):
            raise ValueError("token_id names one token: give nothing else with it")
        if self.token_id is None and all(each is None for each in others):
            raise ValueError("names nothing: give token_id, or channel, user, issued_before or several")
        return self


class RevocationView(BaseModel):
    """A revocation."""

    revocation_id: str
    app_id: str
    token_id: str | None
    channel: str | None
    user: str | None
    issued_before: float | None
    created: float
    until: float = Field(description="when no such token is valid any more, so that this is forgotten")
    reason: str
    creator: str
    kept: Kept = Field(description="one that is in memory only is gone when the relay restarts")

    @classmethod
    def of(cls, revocation: Revocation, services: Services) -> RevocationView:
        """Return the view of a revocation."""
        return cls(
            revocation_id=revocation.revocation_id,
            app_id=revocation.app_id,
            token_id=revocation.token_id,
            channel=revocation.channel,
            user=revocation.user,
            issued_before=revocation.issued_before,
            created=revocation.created,
            until=revocation.until,
            reason=revocation.reason,
            creator=revocation.creator,
            kept=kept_in(services.hub.access.revocations.kept),
        )


@router.get("/apps/{app_id}/revocations", openapi_extra=scoped("revocations:write"))
async def list_revocations(
    services: ServicesOf,
    app_id: AppIdOf,
    asked: PageAskedOf,
    token_id: Filter = "",
    channel: Filter = "",
    user: Filter = "",
) -> Page[RevocationView]:
    """List the revocations of an app that are still needed, the oldest first."""
    app_of(services, app_id)
    found = [
        each
        for each in services.hub.access.revocations.of(app_id)
        if each.revocation_id > asked.after
        and (not token_id or each.token_id == token_id)
        and (not channel or each.channel == channel)
        and (not user or each.user == user)
    ]
    views = [RevocationView.of(each, services) for each in found[: asked.most]]
    return Page.of(views, asked, lambda each: each.revocation_id)


@router.post("/apps/{app_id}/revocations", status_code=201, openapi_extra=scoped("revocations:write"))
async def create_revocation(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, new: NewRevocation
) -> RevocationView:
    """Revoke tokens: who is in by one is put out at once, and it is refused from now on."""
    app, now = app_of(services, app_id), services.clock.wall()
    before = new.issued_before
    if before is None and new.token_id is None:
        before = math.floor(now) + 1.0
    until = needed_until(now, before, app.policy.clock_skew)
    if before is not None and before > now + LIFE_MAX:
        raise ApiError("invalid", problems=["issued_before: should be no more than a day from now"])
    if before is not None and before + LIFE_MAX <= now:
        raise ApiError("invalid", problems=["issued_before: such tokens have all ended by themselves"])
    revocation = Revocation(
        revocation_id=new_rule_id(now),
        app_id=app_id,
        token_id=new.token_id,
        channel=new.channel,
        user=new.user,
        issued_before=before,
        until=until,
        reason=new.reason,
        creator=caller.actor,
        created=now,
    )
    await services.hub.access.revocations.add(revocation, app.limits.revocations)
    await _done(services, caller, "revocation.created", revocation)
    return RevocationView.of(revocation, services)


@router.get("/apps/{app_id}/revocations/{revocation_id}", openapi_extra=scoped("revocations:write"))
async def show_revocation(services: ServicesOf, app_id: AppIdOf, revocation_id: RuleId) -> RevocationView:
    """Show one revocation."""
    app_of(services, app_id)
    return RevocationView.of(services.hub.access.revocations.get(app_id, revocation_id), services)


@router.delete(
    "/apps/{app_id}/revocations/{revocation_id}",
    status_code=204,
    openapi_extra=scoped("revocations:write"),
)
async def lift_revocation(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, revocation_id: RuleId
) -> Response:
    """Lift a revocation: the tokens that it was about are good again, as far as they have not ended."""
    app_of(services, app_id)
    revocation = await services.hub.access.revocations.lift(app_id, revocation_id)
    await _done(services, caller, "revocation.lifted", revocation)
    return Response(status_code=204)


async def _done(services: Services, caller: Caller, action: str, revocation: Revocation) -> None:
    rule = {
        "app": revocation.app_id,
        "token_id": revocation.token_id,
        "channel": revocation.channel,
        "user": revocation.user,
        "issued_before": revocation.issued_before,
        "reason": revocation.reason,
    }
    target = f"revocation {revocation.revocation_id}"
    await services.audit(caller.actor, action, target, {"rule": rule}, address=caller.address)
