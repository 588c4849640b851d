"""What the routes of ban rules and revocations have in common: which app, whose names, where rules are."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from sealcast.protocol import names

from ..bans import REASON_MAX
from ..config import AppConfig
from ..prefixes import NETWORK_MAX, network
from .errors import ApiError
from .services import Services
from .views import visible

__all__ = ["AddressRule", "ChannelRule", "Kept", "Reason", "RuleId", "UserRule", "app_of", "kept_in"]

Kept = Literal["database", "memory"]
"""Where a rule is."""


def _address(text: str) -> str:
    return str(network(text))


AddressRule = Annotated[
    str,
    Field(
        max_length=NETWORK_MAX,
        description="an address or a network: 192.0.2.7, 192.0.2.0/24; one of IPv6 stands for its /64",
    ),
    AfterValidator(_address),
]
ChannelRule = Annotated[str, Field(max_length=names.CHANNEL_MAX), AfterValidator(names.channel_name)]
UserRule = Annotated[str, Field(max_length=names.USER_MAX), AfterValidator(names.user_id)]
Reason = Annotated[
    str,
    Field(max_length=REASON_MAX, description="for operators; clients are not told"),
    AfterValidator(visible),
]
RuleId = Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]

_KEPT: Final[dict[bool, Kept]] = {True: "database", False: "memory"}


def kept_in(outlives: bool) -> Kept:
    """Return where rules are that outlive the process, or do not."""
    return _KEPT[outlives]


def app_of(services: Services, app_id: str) -> AppConfig:
    """Return the app that a rule is for. Raises ApiError when there is none."""
    app = services.directory.get(app_id)
    if app is None:
        raise ApiError("not_found", "no such app")
    return app
