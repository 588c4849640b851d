"""What comes before a page: who is there, may they, did their own page ask for it, and do they mean it."""

from __future__ import annotations

import re
import secrets
import traceback
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from ...directory import BadSettings, problems_of
from ...logs import logger
from ...store.records import StoreError
from ..errors import ApiError, of_status, of_store
from .sessions import LIFE, Said
from .visit import ANYBODY, PageRoute, Section, Visit

if TYPE_CHECKING:
    from .application import Console

__all__ = ["CookieJar", "PageGate", "own_origin", "read_form"]

_FORM_MAX: Final = 16 * 1024
_FIELDS_MAX: Final = 32
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_ID: Final = re.compile(r"[0-9A-Za-z]{1,64}")
"""What stands in a path: ids of the relay's own making."""
_TITLES: Final = {403: "Not allowed", 404: "Not found", 500: "This went wrong"}
_AGAIN: Final = "This form was too old, or it came from another page. Please try again."


class CookieJar:
    """The two cookies of a browser: one says who is signed in, one whose forms those of nobody are.

    They are apart because a browser that follows a link from elsewhere sends neither: then the second may be
    made anew, and the first one stays. Their names have the port: browsers do not tell ports apart.
    """

    def __init__(self, request: Request) -> None:
        server = request.scope.get("server")
        self._secure = request.url.scheme == "https"
        suffix = f"{server[1]}" if server else ""
        self._session = f"{'__Host-' if self._secure else ''}sealcast-{suffix}"
        self._guest = f"{'__Host-' if self._secure else ''}sealcast-guest-{suffix}"
        self.session = request.cookies.get(self._session, "")[:128]
        self.guest = request.cookies.get(self._guest, "")[:128]
        self._new_guest = not self.guest
        if self._new_guest:
            self.guest = secrets.token_urlsafe(32)

    def keep_guest(self, response: Response) -> None:
        """Let a browser that has none have the cookie of nobody."""
        if self._new_guest:
            self._set(response, self._guest, self.guest, None)

    def sign_in(self, response: Response, session_id: str) -> None:
        """Let the browser be signed in."""
        self._set(response, self._session, session_id, int(LIFE))

    def sign_out(self, response: Response) -> None:
        """Let the browser forget both."""
        self._set(response, self._session, "", 0)
        self._set(response, self._guest, "", 0)

    def _set(self, response: Response, name: str, value: str, age: int | None) -> None:
        response.set_cookie(
            name, value, max_age=age, path="/", secure=self._secure, httponly=True, samesite="strict"
        )


def own_origin(request: Request) -> bool:
    """Say whether the browser says that one of our own pages makes the request; it has to say something.

    The scheme is not compared: behind a proxy that has TLS ours is another one.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        return False
    if site is not None and site != "same-origin":
        return False
    return origin is None or urlsplit(origin).netloc == request.headers.get("host", "")


async def read_form(request: Request) -> dict[str, str]:
    """Read a form. Raises ApiError."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != _FORM_TYPE:
        raise ApiError("bad_request", "that is no form")
    body = await request.body()
    if len(body) > _FORM_MAX:
        raise ApiError("body_too_large")
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
        if any("\0" in text for field in fields for text in field):  # no database takes it
            raise ValueError
    except ValueError:
        raise ApiError("bad_request", "that form cannot be read") from None
    return dict(fields)


class PageGate:
    """Stands before the pages.

    Args:
        console: whose pages.

    """

    def __init__(self, console: Console) -> None:
        self._console = console

    async def serve(self, section: Section, route: PageRoute, request: Request) -> Response:
        """Answer a request for a page."""
        jar = CookieJar(request)
        session = await self._console.recognize(jar.session, touch=not route.live)
        cookie = jar.session if session is not None else jar.guest
        visit = Visit(self._console, request, cookie, session, section=section)
        try:
            response = await self._judged(visit, route)
        except HTTPException as error:
            response = _refused(visit, route, of_status(error))
        except (StoreError, BadSettings) as error:
            response = _refused(visit, route, of_store(error))
        except ValidationError as error:
            response = _refused(visit, route, ApiError("invalid", problems=problems_of(error)))
        except Exception:
            response = _failed(visit, route)
        if session is None:
            jar.keep_guest(response)
        return response

    async def _judged(self, visit: Visit, route: PageRoute) -> Response:
        request = visit.request
        if not all(_ID.fullmatch(text) for text in request.path_params.values()):
            raise ApiError("not_found")
        if any("\0" in text for text in request.query_params.values()):
            raise ApiError("bad_request")
        if route.needs != ANYBODY and visit.session is None:
            if route.live:
                raise ApiError("unauthenticated", "nobody is signed in")
            return RedirectResponse("/console/signin", 303)
        if request.method == "POST":
            visit.form = await read_form(request)
            token = visit.form.get("csrf", "")
            if not own_origin(request) or not self._console.sessions.csrf_good(visit.cookie, token):
                return visit.page("refused.html", status=403, title="Not done", text=_AGAIN, hint="")
        if not visit.may(route.needs):
            raise ApiError("forbidden", "your account may not do this", hint="ask an admin")
        if route.ask and visit.form.get("confirmed") != "yes":
            kept = {name: text for name, text in visit.form.items() if name not in ("csrf", "confirmed")}
            return visit.page(
                "confirm.html",
                question=route.ask,
                fields=kept,
                path=request.url.path,
                back=_back(visit, route),
            )
        if request.method != "POST" or not route.whole or route.needs == ANYBODY:
            return await route.handler(visit)
        async with visit.services.unit():
            return await route.handler(visit)


def _back(visit: Visit, route: PageRoute) -> str:
    return route.back.format(**visit.request.path_params)


def _refused(visit: Visit, route: PageRoute, error: ApiError) -> Response:
    """Return how a page says no: of a form on the page that it is on, as far as the visitor may be there."""
    text = "; ".join(error.problems or [error.detail])
    status = error.problem.status
    if route.method == "POST" and visit.session is not None:
        visit.session.said = None  # whatever a page had begun to tell, it was not done
    if route.live:
        return JSONResponse({"name": error.problem.name, "message": error.detail}, status)
    if route.method == "POST" and visit.session is not None and status in (409, 422):
        visit.session.said = Said(text, error=True)
        return RedirectResponse(f"/console{_back(visit, route)}", 303)
    title = _TITLES.get(status, "Not done" if route.method == "POST" else "Not available")
    response = visit.page("refused.html", status=status, title=title, text=text, hint=error.hint)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after)))
    return response


def _failed(visit: Visit, route: PageRoute) -> Response:
    """Return how a page says that it has failed; the log has the rest. Only while an exception is handled."""
    request_id = visit.request.state.request_id
    # Where it was, without the values of variables, which a logger may add by itself.
    trace = traceback.format_exc(limit=-8)
    logger.error("a page failed", request=request_id, path=visit.request.url.path, trace=trace)
    hint = f"The relay's log has more under the request id {request_id}."
    return _refused(visit, route, ApiError("internal_error", hint=hint))
