"""Apps and their certificates in the database.

An app has one primary certificate, always enabled, and at most one secondary. To change the certificate:
add a secondary, let the token servers take it, swap the two, disable the old one, and delete it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from .database import Database
from .records import AppRecord, CertificateRecord, Missing, Taken, WrongState
from .rules import forget_rules
from .schema import App, Certificate, Webhook

__all__ = ["Apps"]


class Apps:
    """The apps of a database. Every change makes the app's version grow.

    Args:
        database: where they are.
        now: Unix time.

    All methods raise StoreDown when the database does not answer, and those that name an app or a
    certificate raise Missing when there is none.

    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def page(self, after: str = "", limit: int = 100, only: str | None = None) -> list[AppRecord]:
        """Return apps in the order of their ids, from the first one behind *after* on.

        *only* narrows it to one app.
        """
        query = select(App).where(App.app_id > after).order_by(App.app_id).limit(limit)
        if only is not None:
            query = query.where(App.app_id == only)
        async with self._database.transaction() as session:
            return [_record(app) for app in await session.scalars(query)]

    async def all(self) -> list[AppRecord]:
        """Return every app."""
        async with self._database.transaction() as session:
            return [_record(app) for app in await session.scalars(select(App))]

    async def versions(self) -> dict[str, int]:
        """Return the version of every app: cheap to ask, and tells what has changed."""
        async with self._database.transaction() as session:
            found = await session.execute(select(App.app_id, App.version))
            return dict(found.all())

    async def get(self, app_id: str) -> AppRecord:
        """Return one app."""
        async with self._database.transaction() as session:
            return _record(await _app(session, app_id))

    async def create(
        self, app_id: str, certificate: str, *, name: str, enabled: bool, settings: Mapping[str, Any]
    ) -> AppRecord:
        """Make an app with its primary certificate. Raises Taken when there is one of that id."""
        now = self._now()
        app = App(
            app_id=app_id,
            name=name,
            enabled=enabled,
            settings=dict(settings),
            version=1,
            created=now,
            updated=now,
            certificates=[self._certificate(app_id, certificate, "primary")],
        )
        try:
            async with self._database.transaction() as session:
                session.add(app)
        except IntegrityError:
            raise Taken("app") from None
        return _record(app)

    async def update(
        self, app_id: str, change: Callable[[AppRecord], tuple[str, Mapping[str, Any]]]
    ) -> AppRecord:
        """Give an app the name and settings that *change* makes of what it is now, in one step."""
        async with self._database.transaction() as session:
            app = await _app(session, app_id, change=True)
            name, settings = change(_record(app))
            app.name, app.settings = name, dict(settings)
            return self._changed(app)

    async def set_enabled(self, app_id: str, enabled: bool) -> AppRecord:
        """Enable or disable an app."""
        async with self._database.transaction() as session:
            app = await _app(session, app_id, change=True)
            if app.enabled == enabled:
                return _record(app)
            app.enabled = enabled
            return self._changed(app)

    async def delete(self, app_id: str) -> None:
        """Delete an app that is disabled, with its certificates, webhooks and the keys for it alone.

        Raises WrongState while it is enabled.
        """
        async with self._database.transaction() as session:
            app = await _app(session, app_id, change=True)
            if app.enabled:
                raise WrongState("app_enabled", "the app is enabled; disable it first")
            await session.delete(app)
            await forget_rules(session, app_id, self._now())
            await session.execute(delete(Webhook).where(Webhook.app_id == app_id))

    # --- certificates ---

    async def add_secondary(self, app_id: str, secret: str) -> AppRecord:
        """Give an app a second certificate. Raises WrongState when it has two, Taken when it is the first."""
        async with self._database.transaction() as session:
            app = await _app(session, app_id, change=True)
            if any(certificate.role == "secondary" for certificate in app.certificates):
                raise WrongState("has_secondary", "the app has two certificates; delete the secondary first")
            if any(certificate.secret == secret for certificate in app.certificates):
                raise Taken("certificate")
            app.certificates.append(self._certificate(app_id, secret, "secondary"))
            return self._changed(app)

    async def swap(self, app_id: str) -> AppRecord:
        """Make the secondary certificate the primary one. Raises WrongState when none is enabled."""
        async with self._database.transaction() as session:
            app = await _app(session, app_id, change=True)
            roles = {certificate.role: certificate for certificate in app.certificates}
            secondary = roles.get("secondary")
            if secondary is None or not secondary.enabled:
                raise WrongState("no_secondary", "the app has no enabled secondary certificate")
            # One at a time: at no moment may two have one role.
            for certificate, role in (
                (secondary, "swapped"),
                (roles["primary"], "secondary"),
                (secondary, "primary"),
            ):
                certificate.role = role
                await session.flush()
            return self._changed(app)

    async def set_certificate_enabled(self, app_id: str, certificate_id: str, enabled: bool) -> AppRecord:
        """Enable or disable the secondary certificate. Raises WrongState for the primary one."""
        async with self._database.transaction() as session:
            app = await _app(session, app_id, change=True)
            certificate = _secondary(app, certificate_id)
            if certificate.enabled == enabled:
                return _record(app)
            certificate.enabled = enabled
            return self._changed(app)

    async def delete_certificate(self, app_id: str, certificate_id: str) -> AppRecord:
        """Delete the secondary certificate. Raises WrongState for the primary one, and while enabled."""
        async with self._database.transaction() as session:
            app = await _app(session, app_id, change=True)
            certificate = _secondary(app, certificate_id)
            if certificate.enabled:
                raise WrongState("certificate_enabled", "the certificate is enabled; disable it first")
            app.certificates.remove(certificate)
            return self._changed(app)

    def _certificate(self, app_id: str, secret: str, role: str) -> Certificate:
        return Certificate(
            certificate_id=secrets.token_hex(8),
            app_id=app_id,
            secret=secret,
            role=role,
            enabled=True,
            created=self._now(),
        )

    def _changed(self, app: App) -> AppRecord:
        app.version += 1
        app.updated = self._now()
        return _record(app)


async def _app(session: AsyncSession, app_id: str, *, change: bool = False) -> App:
    query = select(App).where(App.app_id == app_id)
    app = await session.scalar(query.with_for_update() if change else query)
    if app is None:
        raise Missing("app")
    return app


def _secondary(app: App, certificate_id: str) -> Certificate:
    for certificate in app.certificates:
        if certificate.certificate_id == certificate_id:
            if certificate.role == "primary":
                raise WrongState("primary_certificate", "this is the primary certificate; swap first")
            return certificate
    raise Missing("certificate")


def _record(app: App) -> AppRecord:
    return AppRecord(
        app_id=app.app_id,
        name=app.name,
        enabled=app.enabled,
        settings=dict(app.settings),
        certificates=tuple(_certificates(app.certificates)),
        version=app.version,
        created=app.created,
        updated=app.updated,
    )


def _certificates(rows: Iterable[Certificate]) -> Iterable[CertificateRecord]:
    for row in sorted(rows, key=lambda row: row.role):
        yield CertificateRecord(
            certificate_id=row.certificate_id,
            secret=row.secret,
            role="primary" if row.role == "primary" else "secondary",
            enabled=row.enabled,
            created=row.created,
        )
