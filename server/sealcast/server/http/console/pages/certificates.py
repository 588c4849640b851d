"""Certificates of an app, step by step: add a secondary, swap, disable the old one, delete it."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from ...routes.certificates import (
    add_certificate,
    delete_certificate,
    disable_certificate,
    enable_certificate,
    swap_certificates,
)
from ..visit import PageRoute, Section, Visit

__all__ = ["SECTION"]


async def _add(visit: Visit) -> Response:
    made = await add_certificate(visit.services, visit.caller, _app_id(visit))
    return _back(
        visit,
        "There is a secondary certificate, and tokens of both are good. It is shown this once:",
        made.secret or "",
    )


async def _swap(visit: Visit) -> Response:
    await swap_certificates(visit.services, visit.caller, _app_id(visit))
    return _back(visit, "The certificates are swapped.")


async def _disable(visit: Visit) -> Response:
    await disable_certificate(visit.services, visit.caller, _app_id(visit), _certificate(visit))
    return _back(visit, "The certificate is disabled: its tokens are refused.")


async def _enable(visit: Visit) -> Response:
    await enable_certificate(visit.services, visit.caller, _app_id(visit), _certificate(visit))
    return _back(visit, "The certificate is enabled.")


async def _delete(visit: Visit) -> Response:
    await delete_certificate(visit.services, visit.caller, _app_id(visit), _certificate(visit))
    return _back(visit, "The certificate is gone.")


def _app_id(visit: Visit) -> str:
    found: str = visit.request.path_params["app_id"]
    return found


def _certificate(visit: Visit) -> str:
    found: str = visit.request.path_params["certificate_id"]
    return found


def _back(visit: Visit, text: str, secret: str = "") -> Response:
    return visit.back(f"/apps/{_app_id(visit)}", text, secret=secret)


_APP: Final = "/apps/{app_id}"
_ALL: Final = f"{_APP}/certificates"
_ONE: Final = f"{_ALL}/{{certificate_id}}"
_WRITE: Final = "apps:write"

SECTION: Final = Section(
    "",
    "/apps",
    "apps:read",
    (
        PageRoute(
            _ALL,
            _add,
            _WRITE,
            "POST",
            ask="Whoever has the new certificate can make tokens for everybody in this app.",
            back=_APP,
        ),
        PageRoute(
            f"{_ALL}/swap",
            _swap,
            _WRITE,
            "POST",
            ask="The secondary certificate becomes the primary one. Tokens of both stay good.",
            back=_APP,
        ),
        PageRoute(
            f"{_ONE}/disable",
            _disable,
            _WRITE,
            "POST",
            ask="Tokens signed with this certificate are refused from now on.",
            back=_APP,
        ),
        PageRoute(f"{_ONE}/enable", _enable, _WRITE, "POST", back=_APP),
        PageRoute(
            f"{_ONE}/delete",
            _delete,
            _WRITE,
            "POST",
            ask="A deleted certificate cannot be brought back.",
            back=_APP,
        ),
    ),
)
