"""What a token says, put together for a person or as JSON.

Pure but for the caller's clock. Names in a token come from whoever made it: the table makes them safe.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from typing import Any, Final

from sealcast.protocol.errors import TokenBadSignature, TokenError
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import LIFE_MAX, ParsedToken, RtcService, Service, is_wildcard, verify

from .output import printable

__all__ = ["as_json", "as_table", "report"]

_STATEMENTS: Final = {
    "unchecked": "NOT VERIFIED: anybody can write this. Give the app's certificate to check the signature.",
    "names needed": "NOT VERIFIED: a token of version 006 is checked together with --channel and --user.",
    "good": "The certificate has signed this.",
    "wrong": "NOT SIGNED by this certificate: do not believe any of it.",
}


def report(
    parsed: ParsedToken,
    token: str,
    certificate: str | None,
    now: float,
    names: tuple[str, str] | None = None,
) -> dict[str, Any]:
    """Return what a token says, and what its signature is worth, as JSON can hold it.

    ``signature`` is ``good``, ``wrong``, ``unchecked`` without a certificate, or ``names needed``. With
    *names*, a channel and a user, ``admits`` says whether the certificate's relay would admit them.
    Raises InvalidName when *certificate* cannot be one.
    """
    told: dict[str, Any] = {
        "signature": _signature(parsed, token, certificate, names),
        "token_id": parsed.token_id,
        "version": parsed.version,
        "app_id": parsed.app_id,
        "issued_at": parsed.issued_at,
        "expires_at": parsed.expires,
        "expired": not now < parsed.expires,
        "seconds_left": max(0, int(parsed.expires - now)),
        "services": [_service(service, parsed) for service in parsed.services],
        "services_unread": parsed.service_count - len(parsed.services),
    }
    if parsed.claims_006 is not None:
        deadlines = parsed.claims_006.privileges
        told["privileges"] = {
            _privilege(number): min(deadlines[number] or parsed.expires, parsed.expires)
            for number in deadlines
        }
    if certificate is not None and names is not None:
        told |= _admission(parsed, token, certificate, names, now)
    return told


def as_json(told: Mapping[str, Any]) -> str:
    """Return the report as JSON, one field a line."""
    return json.dumps(told, indent=2) + "\n"


def as_table(told: Mapping[str, Any]) -> str:
    """Return the report as aligned lines, the worth of the signature first."""
    left = "HAS ENDED" if told["expired"] else f"in {_coarse(told['seconds_left'])}"
    rows = [
        ("id", told["token_id"]),
        ("version", told["version"]),
        ("App ID", told["app_id"]),
        ("issued", _time(told["issued_at"])),
        ("ends", f"{_time(told['expires_at'])} ({left})"),
    ]
    for service in told["services"]:
        rows += _service_rows(service, told["expires_at"])
    if "privileges" in told:
        rows.append(("may", _privileges(told["privileges"], told["expires_at"])))
    if told["services_unread"]:
        rows.append(("not read", f"{told['services_unread']} services, from one of an unknown type on"))
    if "admits" in told:
        rows.append(("admits", "yes" if told["admits"] else f"no: {told['refusal']}"))
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {printable(value)}".rstrip() for name, value in rows]
    return "\n".join([_STATEMENTS[told["signature"]], *lines]) + "\n"


# --- the signature ---------------------------------------------------------------------------------


def _signature(
    parsed: ParsedToken, token: str, certificate: str | None, names: tuple[str, str] | None
) -> str:
    if certificate is None:
        return "unchecked"
    if parsed.version == "006" and names is None:
        return "names needed"
    channel, user = names or ("any", "any")
    try:
        # At the moment of issue, so that nothing but the signature can be wrong before it is looked at.
        verify(
            token,
            app_id=parsed.app_id,
            certificates=[certificate],
            channel=channel,
            user=user,
            now=parsed.issued_at,
            accept_006=True,
        )
    except TokenBadSignature:
        return "wrong"
    except TokenError:
        # 007: the signature comes before names and rights. 006: the names are part of what is signed.
        return "good" if parsed.version == "007" else "wrong"
    return "good"


def _admission(
    parsed: ParsedToken, token: str, certificate: str, names: tuple[str, str], now: float
) -> dict[str, Any]:
    try:
        verify(
            token,
            app_id=parsed.app_id,
            certificates=[certificate],
            channel=names[0],
            user=names[1],
            now=now,
            accept_006=True,
        )
    except TokenError as error:
        return {"admits": False, "refusal": str(error)}
    return {"admits": True}


# --- services --------------------------------------------------------------------------------------


def _service(service: Service, parsed: ParsedToken) -> dict[str, Any]:
    named = {name: getattr(service, name) for name in ("channel", "room", "user") if hasattr(service, name)}
    rtc = isinstance(service, RtcService)
    privileges = {
        _privilege(number) if rtc else str(number): _deadline(parsed, seconds)
        for number, seconds in service.privileges.items()
    }
    return {"type": service.type_id, "service": service.label, **named, "privileges": privileges}


def _deadline(parsed: ParsedToken, seconds: int) -> int:
    own = parsed.issued_at + min(seconds, LIFE_MAX)
    return min(own, parsed.expires) if seconds else parsed.expires


def _privilege(number: int) -> str:
    return Privilege(number).name.lower() if number in set(Privilege) else str(number)


def _service_rows(service: Mapping[str, Any], expires: int) -> list[tuple[str, str]]:
    names = [
        f"{name} {service[name] or 'empty'}{' (a wildcard)' if is_wildcard(service[name]) else ''}"
        for name in ("channel", "room", "user")
        if name in service
    ]
    first = (service["service"], ", ".join(names) or "no names")
    return [first, ("", f"may {_privileges(service['privileges'], expires)}")]


def _privileges(deadlines: Mapping[str, int], expires: int) -> str:
    if not deadlines:
        return "do nothing"
    return ", ".join(
        name if deadline == expires else f"{name} until {_time(deadline)}"
        for name, deadline in deadlines.items()
    )


def _coarse(seconds: int) -> str:
    """Return a span without the small units that nobody reads: ``23h59m``, ``29m``, ``45s``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else f"{rest}s"


def _time(unix: int) -> str:
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
