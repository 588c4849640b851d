"""What surrounds every request: an id, bounds of size, number and time, headers, and a last resort."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import traceback
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..figures.parts import Requests
from ..logs import logger
from ..spans import Tracer
from .errors import ApiError, answer

__all__ = ["API", "BODY_MAX", "Envelope"]

API: Final = "/api/v1"
"""Where the API is."""
BODY_MAX: Final = 1024 * 1024
_BODY_TIME: Final = 15.0
"""Seconds in which a body must have come."""
_TIME: Final = 30.0
"""Seconds that a request may take."""
_AT_ONCE: Final = 64
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Unless the answer has its own: pages do."""


class Envelope:
    """The outermost layer of the internal port.

    Args:
        app: what is inside.
        requests: where requests are counted, if they are.
        tracer: hears of them, if somebody wants to.

    """

    def __init__(self, app: ASGIApp, requests: Requests | None = None, tracer: Tracer | None = None) -> None:
        self._app = app
        self._requests = requests
        self._tracer = tracer
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status, began = 0, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        try:
            refusal = await self._serve(scope, receive, sending, request_id)
            if refusal is not None and not status:
                await answer(refusal, request_id)(scope, receive, sending)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    async def _serve(self, scope: Scope, receive: Receive, sending: Send, request_id: str) -> ApiError | None:
        """Let what is inside answer; return what to say if it has not."""
        refusal = None
        if self._under_way >= _AT_ONCE:
            return ApiError("busy", retry_after=1.0)
        self._under_way += 1
        try:
            async with asyncio.timeout(_TIME):
                await self._app(scope, _Body(scope, receive), sending)
        except TimeoutError:
            refusal = ApiError("busy", "this took too long", retry_after=5.0)
        except ApiError as error:
            refusal = error
        except Exception:
            # Where it was, without the values of variables, which a logger may add by itself.
            trace = traceback.format_exc(limit=-8)
            logger.error("a request failed", request=request_id, path=scope["path"], trace=trace)
            refusal = ApiError("internal_error")
        finally:
            self._under_way -= 1
        return refusal

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        if self._requests is not None:
            self._requests.note(status, seconds)
        if self._tracer is not None:
            parent = _header(scope, b"traceparent")
            self._tracer.request(scope["method"], _route(scope), status, seconds, parent)


class _Body:
    """Hands over a body, as long as it is neither too long nor too slow."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._size = 0
        self._whole = False
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        self._announced = int(length) if length.isdigit() and len(length) < 20 else 0

    async def __call__(self) -> Message:
        if self._whole:
            return await self._receive()  # waits for the end of the connection, for as long as there is work
        if self._announced > BODY_MAX:
            raise ApiError("body_too_large")
        try:
            async with asyncio.timeout(_BODY_TIME):
                message = await self._receive()
        except TimeoutError:
            raise ApiError("too_slow") from None
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._size > BODY_MAX:
            raise ApiError("body_too_large")
        return message


def _id(scope: Scope) -> str:
    """Return the request's id: the caller's, when it sent one that can stand in a log."""
    given = _header(scope, b"x-request-id")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


def _route(scope: Scope) -> str:
    """Return the route as it is declared; what stands in its place can be anything. Empty without one."""
    path = str(getattr(scope.get("route"), "path", ""))
    within = path and scope["path"].startswith(API) and not path.startswith(API)
    return f"{API}{path}" if within else path  # FastAPI keeps the prefix apart, since some version


def _header(scope: Scope, wanted: bytes) -> str:
    for name, value in scope["headers"]:
        if name == wanted:
            return str(value.decode("latin-1"))
    return ""
