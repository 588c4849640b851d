"""Apps, certificates, keys and accounts, and what every table stands on."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, LargeBinary, MetaData, String, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

__all__ = ["Account", "AnsweredRequest", "ApiKey", "App", "Certificate", "Table"]


class Table(DeclarativeBase):
    """What every table stands on."""

    # Named by rule, so that a migration can name what it changes on every database.
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {float: Double(), dict[str, Any]: JSON(), list[str]: JSON(), bytes: LargeBinary()}  # noqa: RUF012 - read by SQLAlchemy


class App(Table):
    """An app."""

    __tablename__ = "apps"

    app_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    enabled: Mapped[bool]
    settings: Mapped[dict[str, Any]]
    version: Mapped[int]
    created: Mapped[float]
    updated: Mapped[float]
    certificates: Mapped[list[Certificate]] = relationship(
        lazy="selectin", cascade="all, delete-orphan", passive_deletes=True
    )


class Certificate(Table):
    """A certificate of an app."""

    __tablename__ = "certificates"
    __table_args__ = (UniqueConstraint("app_id", "role"),)

    certificate_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"))
    secret: Mapped[str] = mapped_column(String(32))
    role: Mapped[str] = mapped_column(String(16))
    enabled: Mapped[bool]
    created: Mapped[float]


class ApiKey(Table):
    """An API key."""

    __tablename__ = "api_keys"

    key_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    digest: Mapped[bytes]
    scopes: Mapped[list[str]]
    app_id: Mapped[str | None] = mapped_column(ForeignKey("apps.app_id", ondelete="CASCADE"), index=True)
    rate: Mapped[int | None]
    created: Mapped[float]
    expires: Mapped[float | None]
    last_used: Mapped[float | None]


class Account(Table):
    """An account of the console."""

    __tablename__ = "accounts"

    account_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(16))
    disabled: Mapped[bool]
    created: Mapped[float]


class AnsweredRequest(Table):
    """A request that came with an idempotency key, and how it was answered."""

    __tablename__ = "answered_requests"

    caller: Mapped[str] = mapped_column(String(64), primary_key=True)
    request_key: Mapped[str] = mapped_column(String(128), primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int | None]
    body: Mapped[bytes | None]
    created: Mapped[float] = mapped_column(index=True)
