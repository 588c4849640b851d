"""Everything that is kept about one user of an app: hand it out, delete it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field

from sealcast.protocol import names

from ..api_keys import CallerOf
from ..errors import ApiError
from ..paging import Page, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import ServicesOf
from ..views import AppIdOf

__all__ = ["DeletedRecords", "RecordView", "delete_user", "export_user", "router"]

router = APIRouter(tags=["users"], route_class=ApiRoute)

UserOf = Annotated[
    str,
    Query(min_length=1, max_length=255, pattern=r"^[\x20-\x29\x2b-\x7e]+$", description="whose"),
    AfterValidator(names.user_id),
]


class RecordView(BaseModel):
    """One record about a user."""

    kind: str = Field(description="`session`, `ban`, `revocation`, `webhook_open`, `webhook_delivery`, …")
    key: str
    fields: dict[str, Any] = Field(description="what is kept")


class DeletedRecords(BaseModel):
    """What was deleted."""

    deleted: dict[str, int] = Field(description="how many records of each kind")
    kept: dict[str, int] = Field(
        description="how many of each kind stay: bans and revocations that are in force, since without"
        " them the user could come back; lift them first, or let them end"
    )
    more: bool = Field(description="there may be more: ask again")


@router.get("/apps/{app_id}/records", openapi_extra=scoped("sessions:read"))
async def export_user(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, asked: PageAskedOf, user: UserOf
) -> Page[RecordView]:
    """Return all records about one user, a page at a time. That it was asked stands in the audit log."""
    after = None
    if asked.after:
        kind, space, key = asked.after.partition(" ")
        if not space:
            raise ApiError("invalid", problems=["cursor: should be the `next` of another page"])
        after = (kind, key)
    store = await services.settled()
    found = await store.people.page(app_id, user, after, asked.most)
    if after is None:
        await services.audit(caller.actor, "user.exported", f"app {app_id}", {}, address=caller.address)
    views = [RecordView(kind=part.kind, key=part.key, fields=part.fields) for part in found]
    return Page.of(views, asked, lambda view: f"{view.kind} {view.key}")


@router.delete("/apps/{app_id}/records", openapi_extra=scoped("users:write"))
async def delete_user(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, user: UserOf
) -> DeletedRecords:
    """Delete all records about one user. Who is in a channel stays there; only the records are gone.

    Bans and revocations in force stay, and are counted under `kept`. Webhooks are not told what still
    waited for them. The audit log says that it was done, and not for whom.
    """
    store = await services.settled()
    done = await store.people.delete(app_id, user)
    detail = {"records": done.counts, "kept": done.kept}
    await services.audit(caller.actor, "user.deleted", f"app {app_id}", detail, address=caller.address)
    return DeletedRecords(deleted=done.counts, kept=done.kept, more=done.more)
