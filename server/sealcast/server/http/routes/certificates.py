"""Certificates of an app: add a secondary, swap, disable the old one, delete it."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from ...directory import app_config
from ...store.records import AppRecord
from ..api_keys import Caller, CallerOf
from ..route import ApiRoute, scoped
from ..services import Services, ServicesOf
from ..views import AppIdOf, AppView, CertificateText, CertificateView, of_record
from .apps import show_app

__all__ = [
    "MadeCertificate",
    "NewCertificate",
    "add_certificate",
    "delete_certificate",
    "disable_certificate",
    "enable_certificate",
    "list_certificates",
    "router",
    "swap_certificates",
]

router = APIRouter(tags=["certificates"], route_class=ApiRoute)


class NewCertificate(BaseModel):
    """A certificate to be added."""

    model_config = ConfigDict(extra="forbid", strict=True)

    certificate: CertificateText | None = Field(None, description="by default made up")


class MadeCertificate(BaseModel):
    """A certificate that was added a moment ago."""

    certificate: CertificateView
    secret: str | None = Field(
        description="the certificate itself, which is not shown again; null in a second answer"
    )


@router.get("/apps/{app_id}/certificates", openapi_extra=scoped("apps:read"))
async def list_certificates(services: ServicesOf, app_id: AppIdOf) -> list[CertificateView]:
    """List the one or two certificates of an app, primary first."""
    return (await show_app(services, app_id)).certificates


@router.post("/apps/{app_id}/certificates", status_code=201, openapi_extra=scoped("apps:write"))
async def add_certificate(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, new: NewCertificate | None = None
) -> MadeCertificate:
    """Add a secondary certificate: tokens from either are good from now on."""
    secret = (new.certificate if new else None) or secrets.token_hex(16)
    store = services.changeable(app_id)
    app = await store.apps.get(app_id)
    services.directory.check(app_config(app, secret))
    record = await store.apps.add_secondary(app_id, secret)
    (made,) = (each for each in record.certificates if each.role == "secondary")
    await _done(services, caller, "certificate.added", record, made.certificate_id)
    return MadeCertificate(certificate=CertificateView.of(made), secret=secret)


@router.post("/apps/{app_id}/certificates/swap", openapi_extra=scoped("apps:write"))
async def swap_certificates(services: ServicesOf, caller: CallerOf, app_id: AppIdOf) -> AppView:
    """Make the secondary certificate the primary one, and the other way round."""
    record = await services.changeable(app_id).apps.swap(app_id)
    await _done(services, caller, "certificates.swapped", record, record.certificates[0].certificate_id)
    return of_record(record, services)


@router.post("/apps/{app_id}/certificates/{certificate_id}/disable", openapi_extra=scoped("apps:write"))
async def disable_certificate(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, certificate_id: str
) -> AppView:
    """Disable the secondary certificate: its tokens are refused when somebody joins or renews."""
    apps = services.changeable(app_id).apps
    record = await apps.set_certificate_enabled(app_id, certificate_id, False)
    await _done(services, caller, "certificate.disabled", record, certificate_id)
    return of_record(record, services)


@router.post("/apps/{app_id}/certificates/{certificate_id}/enable", openapi_extra=scoped("apps:write"))
async def enable_certificate(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, certificate_id: str
) -> AppView:
    """Enable the secondary certificate again."""
    apps = services.changeable(app_id).apps
    record = await apps.set_certificate_enabled(app_id, certificate_id, True)
    await _done(services, caller, "certificate.enabled", record, certificate_id)
    return of_record(record, services)


@router.delete(
    "/apps/{app_id}/certificates/{certificate_id}", status_code=204, openapi_extra=scoped("apps:write")
)
async def delete_certificate(
    services: ServicesOf, caller: CallerOf, app_id: AppIdOf, certificate_id: str
) -> Response:
    """Delete the secondary certificate, which must be disabled."""
    record = await services.changeable(app_id).apps.delete_certificate(app_id, certificate_id)
    await _done(services, caller, "certificate.deleted", record, certificate_id)
    return Response(status_code=204)


async def _done(
    services: Services, caller: Caller, action: str, record: AppRecord, certificate_id: str
) -> None:
    services.directory.apply(record)
    await services.audit(
        caller.actor,
        action,
        f"app {record.app_id}",
        {"certificate": certificate_id},
        address=caller.address,
    )
