"""Apps and certificates as the API shows them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from sealcast.protocol import names

from ..config import (
    AppConfig,
    AppHistory,
    AppLimits,
    AppPolicy,
    AppPresence,
    AppRates,
    ChannelConfig,
)
from ..directory import app_config, problems_of
from ..store.records import AppRecord, CertificateRecord, CertificateRole
from .services import Services

__all__ = [
    "AppIdOf",
    "AppView",
    "CertificateText",
    "CertificateView",
    "Exact",
    "Name",
    "of_config",
    "of_record",
    "visible",
]

_SHOWN: Final = 4


def visible(text: str) -> str:
    """Return a text that people can read whole. Raises ValueError."""
    if not text.isprintable():
        raise ValueError("should have printable characters only")
    return text


Name = Annotated[str, Field(max_length=64), AfterValidator(visible)]
"""What people call something."""

T = TypeVar("T")


class _Exactly:
    """Takes options as JSON means them: ``true`` is no number, and ``"5"`` is none either.

    Fails with a line for each thing that is wrong, which begins with a dot and the option.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def exact(given: Any) -> Any:
            if not isinstance(given, dict):
                return given
            try:
                return source.model_validate_json(json.dumps(given), strict=True)
            except ValidationError as error:
                raise ValueError("\n".join(f".{problem}" for problem in problems_of(error))) from None

        return core_schema.no_info_before_validator_function(exact, handler(source))


Exact = Annotated[T, _Exactly()]
"""A section of options in a request."""

_HEX: Final = re.compile(r"^[0-9a-fA-F]{32}$").pattern
AppIdOf = Annotated[str, Field(pattern=_HEX, description="32 hexadecimal characters; case counts")]
CertificateText = Annotated[
    str,
    Field(pattern=_HEX, description="32 hexadecimal characters, secret"),
    AfterValidator(names.certificate),
]


class CertificateView(BaseModel):
    """A certificate, without itself."""

    certificate_id: str
    role: CertificateRole
    enabled: bool
    ends_with: str = Field(description="its last characters, to tell it from the other one")
    created: float | None = Field(description="null for one of the configuration")

    @classmethod
    def of(cls, record: CertificateRecord) -> CertificateView:
        """Return the view of one of the database."""
        return cls(
            certificate_id=record.certificate_id,
            role=record.role,
            enabled=record.enabled,
            ends_with=record.secret[-_SHOWN:],
            created=record.created,
        )


class AppView(BaseModel):
    """An app."""

    app_id: AppIdOf
    name: str
    enabled: bool
    origin: Literal["configuration", "database"] = Field(
        description="apps of the configuration cannot be changed here"
    )
    certificates: list[CertificateView] = Field(description="primary first")
    policy: AppPolicy
    limits: AppLimits
    rates: AppRates
    history: AppHistory
    presence: AppPresence
    channels: list[ChannelConfig]
    connections: int = Field(description="on this node, now")
    open_channels: int = Field(description="on this node, now")
    version: int | None = Field(description="grows with every change; null for one of the configuration")
    created: float | None
    updated: float | None


def of_record(record: AppRecord, services: Services) -> AppView:
    """Return the view of an app of the database. Raises BadSettings."""
    return _view(app_config(record), services, record, map(CertificateView.of, record.certificates))


def of_config(config: AppConfig, services: Services) -> AppView:
    """Return the view of an app of the configuration."""
    roles: tuple[CertificateRole, ...] = ("primary", "secondary")
    views = [
        CertificateView(
            certificate_id=role, role=role, enabled=True, ends_with=secret[-_SHOWN:], created=None
        )
        for role, secret in zip(roles, config.certificates, strict=False)
    ]
    return _view(config, services, None, views)


def _view(
    config: AppConfig, services: Services, record: AppRecord | None, certificates: Iterable[CertificateView]
) -> AppView:
    live = services.hub.app(config.app_id)
    return AppView(
        app_id=config.app_id,
        name=config.name,
        enabled=config.enabled,
        origin="configuration" if record is None else "database",
        certificates=list(certificates),
        policy=config.policy,
        limits=config.limits,
        rates=config.rates,
        history=config.history,
        presence=config.presence,
        channels=list(config.channels),
        connections=0 if live is None else live.connections,
        open_channels=0 if live is None else len(live.channels),
        version=None if record is None else record.version,
        created=None if record is None else record.created,
        updated=None if record is None else record.updated,
    )
