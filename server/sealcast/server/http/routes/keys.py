"""API keys: list, create, show, delete."""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from ...store.records import KeyRecord
from ..api_keys import Caller, CallerOf, Scope, make_key
from ..errors import ApiError
from ..paging import Page, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import ServicesOf
from ..views import AppIdOf, Name

__all__ = [
    "KeyView",
    "MadeKey",
    "NewApiKey",
    "create_key",
    "delete_key",
    "list_keys",
    "router",
    "show_key",
]

KeyIdOf = Annotated[str, Field(pattern="^[0-9a-f]{12}$")]

router = APIRouter(tags=["keys"], route_class=ApiRoute)


class KeyView(BaseModel):
    """An API key, without itself."""

    key_id: str
    name: str
    scopes: list[Scope]
    app_id: str | None = Field(description="the one app that it is good for; null for all")
    rate: int | None = Field(description="requests a minute; null for the default, 600")
    created: float
    expires: float | None
    last_used: float | None = Field(description="to the minute")

    @classmethod
    def of(cls, record: KeyRecord) -> KeyView:
        """Return the view of a key; a scope that this version does not know is left out."""
        return cls(
            key_id=record.key_id,
            name=record.name,
            scopes=[known for known in get_args(Scope) if known in record.scopes],
            app_id=record.app_id,
            rate=record.rate,
            created=record.created,
            expires=record.expires,
            last_used=record.last_used,
        )


class NewApiKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name = ""
    scopes: list[Scope] = Field(min_length=1, max_length=32, description="not more than the caller has")
    app_id: AppIdOf | None = Field(None, description="good for this app only")
    rate: int | None = Field(None, ge=1, le=1_000_000, description="requests a minute")
    expires: float | None = Field(None, ge=0, le=1e11, description="Unix seconds; by default never")


class MadeKey(BaseModel):
    """A key that was made a moment ago."""

    key: KeyView
    secret: str | None = Field(
        description="the key itself, which nobody can show again; null in a second answer"
    )


@router.get("/keys", openapi_extra=scoped("keys:write"))
async def list_keys(services: ServicesOf, caller: CallerOf, asked: PageAskedOf) -> Page[KeyView]:
    """List the API keys."""
    records = await services.kept.keys.page(asked.after, asked.most, caller.app_id)
    return Page.of([KeyView.of(record) for record in records], asked, lambda key: key.key_id)


@router.post("/keys", status_code=201, openapi_extra=scoped("keys:write"))
async def create_key(services: ServicesOf, caller: CallerOf, new: NewApiKey) -> MadeKey:
    """Make an API key, which may do no more than the one that it is made with. It is shown this once."""
    scopes = list(dict.fromkeys(new.scopes))
    missing = [scope for scope in scopes if scope not in caller.scopes]
    if missing:
        raise ApiError("forbidden", f"the key that makes this one has not the scope {missing[0]}")
    app_id = new.app_id or caller.app_id
    if not caller.sees(app_id):
        raise ApiError("not_found", "no such app")
    if new.expires is not None and new.expires <= services.clock.wall():
        raise ApiError("invalid", problems=["expires: should be in the future"])
    if app_id is not None:
        services.changeable(app_id)
    made = make_key()
    record = await services.kept.keys.create(
        made.key_id,
        made.digest,
        name=new.name,
        scopes=scopes,
        app_id=app_id,
        rate=new.rate,
        expires=new.expires,
    )
    detail = {"scopes": scopes, "app": app_id, "expires": new.expires}
    await services.audit(caller.actor, "key.created", f"key {record.key_id}", detail, address=caller.address)
    return MadeKey(key=KeyView.of(record), secret=made.text)


@router.get("/keys/{key_id}", openapi_extra=scoped("keys:write"))
async def show_key(services: ServicesOf, caller: CallerOf, key_id: KeyIdOf) -> KeyView:
    """Show one API key."""
    return KeyView.of(await _seen(services, caller, key_id))


@router.delete("/keys/{key_id}", status_code=204, openapi_extra=scoped("keys:write"))
async def delete_key(services: ServicesOf, caller: CallerOf, key_id: KeyIdOf) -> Response:
    """Delete an API key, which is good for nothing from now on."""
    await _seen(services, caller, key_id)
    await services.kept.keys.delete(key_id)
    await services.audit(caller.actor, "key.deleted", f"key {key_id}", {}, address=caller.address)
    return Response(status_code=204)


async def _seen(services: ServicesOf, caller: Caller, key_id: str) -> KeyRecord:
    record = await services.kept.keys.get(key_id)
    if not caller.sees(record.app_id):
        raise ApiError("not_found", "no such key")
    return record
