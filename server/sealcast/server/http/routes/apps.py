"""Apps: list, create, show, change, disable, enable, delete."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from ...config import AppHistory, AppLimits, AppPolicy, AppPresence, AppRates, ChannelConfig
from ...directory import SECTIONS, app_config, settings_checked
from ...store.records import AppRecord
from ..api_keys import Caller, CallerOf
from ..errors import ApiError
from ..paging import Page, PageAskedOf
from ..route import ApiRoute, scoped
from ..services import Services, ServicesOf
from ..views import AppIdOf, AppView, CertificateText, Exact, Name, of_config, of_record

__all__ = [
    "AppChange",
    "MadeApp",
    "NewApp",
    "change_app",
    "create_app",
    "delete_app",
    "disable_app",
    "enable_app",
    "list_apps",
    "router",
    "show_app",
]

router = APIRouter(tags=["apps"], route_class=ApiRoute)


class AppChange(BaseModel):
    """What to change of an app. Of a section, what is given is changed; null brings back its defaults."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Name | None = None
    policy: Exact[AppPolicy] | None = None
    limits: Exact[AppLimits] | None = None
    rates: Exact[AppRates] | None = None
    history: Exact[AppHistory] | None = None
    presence: Exact[AppPresence] | None = None
    channels: list[Exact[ChannelConfig]] | None = Field(None, max_length=256, description="all of them")

    def over(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with this laid over them."""
        given = self.model_dump(mode="json", exclude_unset=True)
        result = dict(settings)
        for section in SECTIONS:
            if section not in given:
                continue
            change = given[section]
            if change is None:
                result.pop(section, None)
            elif isinstance(change, dict):
                result[section] = {**result.get(section, {}), **change}
            else:
                result[section] = change
        return result


class NewApp(AppChange):
    """An app to be made."""

    app_id: AppIdOf | None = Field(None, description="32 hexadecimal characters; by default made up")
    certificate: CertificateText | None = Field(None, description="by default made up")
    enabled: bool = True


class MadeApp(BaseModel):
    """An app that was made a moment ago."""

    app: AppView
    secret: str | None = Field(
        description="the certificate, which is not shown again; null in a second answer to the same request"
    )


@router.get("/apps", openapi_extra=scoped("apps:read"))
async def list_apps(services: ServicesOf, caller: CallerOf, asked: PageAskedOf) -> Page[AppView]:
    """List apps, those of the configuration too, in the order of their ids."""
    found = [
        of_config(config, services)
        for config in services.directory.configured
        if config.app_id > asked.after and caller.sees(config.app_id)
    ]
    if services.store is not None:
        records = await services.store.apps.page(asked.after, asked.most, caller.app_id)
        found += [of_record(record, services) for record in records]
    found.sort(key=lambda app: app.app_id)
    return Page.of(found, asked, lambda app: app.app_id)


@router.post("/apps", status_code=201, openapi_extra=scoped("apps:write"))
async def create_app(services: ServicesOf, caller: CallerOf, new: NewApp) -> MadeApp:
    """Make an app with its primary certificate, which is shown this once."""
    if caller.app_id is not None:
        raise ApiError("forbidden", "the key is for one app, and makes no others")
    app_id = new.app_id or secrets.token_hex(16)
    store = services.changeable(app_id)
    certificate = new.certificate or secrets.token_hex(16)
    name, settings = new.name or "", new.over({})
    services.directory.check(
        settings_checked(settings, app_id=app_id, name=name, enabled=new.enabled, certificates=[certificate])
    )
    record = await store.apps.create(app_id, certificate, name=name, enabled=new.enabled, settings=settings)
    await _done(services, caller, "app.created", record, {"name": name, "settings": settings})
    return MadeApp(app=of_record(record, services), secret=certificate)


@router.get("/apps/{app_id}", openapi_extra=scoped("apps:read"))
async def show_app(services: ServicesOf, app_id: AppIdOf) -> AppView:
    """Show one app."""
    config = services.directory.get(app_id)
    if config is not None and services.directory.fixed(app_id):
        return of_config(config, services)
    if services.store is None:
        raise ApiError("not_found", "no such app")
    return of_record(await services.store.apps.get(app_id), services)


@router.patch("/apps/{app_id}", openapi_extra=scoped("apps:write"))
async def change_app(services: ServicesOf, caller: CallerOf, app_id: AppIdOf, change: AppChange) -> AppView:
    """Change an app. What is said of it holds for running sessions where it can, for new ones at once."""
    store = services.changeable(app_id)

    def changed(app: AppRecord) -> tuple[str, Mapping[str, Any]]:
        name = app.name if change.name is None else change.name
        settings = change.over(app.settings)
        services.directory.check(
            settings_checked(
                settings,
                app_id=app_id,
                name=name,
                enabled=app.enabled,
                certificates=[each.secret for each in app.certificates if each.enabled],
            )
        )
        return name, settings

    record = await store.apps.update(app_id, changed)
    await _done(services, caller, "app.changed", record, change.model_dump(mode="json", exclude_unset=True))
    return of_record(record, services)


@router.post("/apps/{app_id}/disable", openapi_extra=scoped("apps:write"))
async def disable_app(services: ServicesOf, caller: CallerOf, app_id: AppIdOf) -> AppView:
    """Disable an app: everybody in it is put out at once, and nobody comes in."""
    record = await services.changeable(app_id).apps.set_enabled(app_id, False)
    await _done(services, caller, "app.disabled", record, {})
    return of_record(record, services)


@router.post("/apps/{app_id}/enable", openapi_extra=scoped("apps:write"))
async def enable_app(services: ServicesOf, caller: CallerOf, app_id: AppIdOf) -> AppView:
    """Enable an app again."""
    store = services.changeable(app_id)
    services.directory.check(app_config(await store.apps.get(app_id)))
    record = await store.apps.set_enabled(app_id, True)
    await _done(services, caller, "app.enabled", record, {})
    return of_record(record, services)


@router.delete("/apps/{app_id}", status_code=204, openapi_extra=scoped("apps:write"))
async def delete_app(services: ServicesOf, caller: CallerOf, app_id: AppIdOf) -> Response:
    """Delete an app that is disabled, with its certificates, webhooks, and the API keys for it alone."""
    if caller.app_id is not None:
        raise ApiError("forbidden", "the key is for this app, and cannot delete it")
    await services.changeable(app_id).apps.delete(app_id)
    services.directory.drop(app_id)
    await services.audit(caller.actor, "app.deleted", f"app {app_id}", {}, address=caller.address)
    return Response(status_code=204)


async def _done(
    services: Services, caller: Caller, action: str, record: AppRecord, detail: Mapping[str, Any]
) -> None:
    services.directory.apply(record)
    await services.audit(
        caller.actor, action, f"app {record.app_id}", {"change": dict(detail)}, address=caller.address
    )
