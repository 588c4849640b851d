"""What happens before a route of the API runs: whose key, how often, may it, and was it asked before."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from .answered import Replays
from .api_keys import Caller, Guests, Scope
from .errors import ApiError
from .services import Services
from .throttle import Throttle

__all__ = ["ApiRoute", "Gate", "scoped"]

_SCOPE: Final = "x-scope"
_PER_MINUTE: Final = 600
_MISTAKES_PER_MINUTE: Final = 30
_IDEMPOTENCY_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")

_Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def scoped(scope: Scope) -> dict[str, Any]:
    """Return what says, in the OpenAPI and to the gate, which scope a route needs: as ``openapi_extra``."""
    return {_SCOPE: scope, "security": [{"key": []}]}


class Gate:
    """Judges requests to the API before anything of them is looked at.

    Args:
        services: the relay.
        guests: tells whose key it is.

    """

    def __init__(self, services: Services, guests: Guests) -> None:
        self._services = services
        self._guests = guests
        self._requests = Throttle(_PER_MINUTE)
        self._mistakes = Throttle(_MISTAKES_PER_MINUTE)
        self.replays = Replays(services)

    async def admit(self, request: Request, scope: str) -> Caller:
        """Return who makes a request. Raises ApiError when there is something against it."""
        now = self._services.clock.monotonic()
        address = request.client.host if request.client else ""
        if wait := self._mistakes.wait(address, now):
            raise ApiError("rate_limited", "too many bad keys from this address", retry_after=wait)
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        caller = None
        if scheme.lower() == "bearer" and key:
            caller = await self._guests.recognize(key.strip(), address)
        if caller is None:
            if key:
                self._mistakes.take(address, now)
            raise ApiError("unauthenticated")
        if wait := self._requests.take(caller.actor, now, caller.rate):
            raise ApiError("rate_limited", retry_after=wait)
        if scope not in caller.scopes:
            raise ApiError("forbidden", f"the key has not the scope {scope}")
        if "app_id" in request.path_params and not caller.sees(request.path_params["app_id"]):
            raise ApiError("not_found", "no such app")
        return caller


class ApiRoute(APIRoute):
    """A route behind the gate. It needs a scope: ``openapi_extra=scoped("apps:read")``."""

    @property
    def scope(self) -> str:
        """The scope that it needs."""
        found: str = (self.openapi_extra or {})[_SCOPE]
        return found

    def get_route_handler(self) -> _Handler:
        """Return the handler with everything that comes before it."""
        handler, scope = super().get_route_handler(), self.scope
        known = _queries(self.dependant)

        async def handle(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            caller = await gate.admit(request, scope)
            request.state.caller = caller
            if unknown := set(request.query_params) - known:
                # A misspelt filter must not be a filter that is silently not there.
                raise ApiError("invalid", problems=[f"{name[:40]}: unknown" for name in sorted(unknown)[:5]])
            services: Services = request.app.state.services

            async def carry_out() -> Response:
                if request.method == "GET":
                    return await handler(request)
                async with services.unit():
                    return await handler(request)

            key = request.headers.get("idempotency-key")
            if key is None or request.method != "POST":
                return await carry_out()
            if not _IDEMPOTENCY_KEY.fullmatch(key):
                raise ApiError("invalid", problems=["Idempotency-Key: 1 to 128 printable characters"])
            body = await request.body()
            print_ = hashlib.sha256(json.dumps([request.method, request.url.path]).encode() + body).digest()
            return await gate.replays.once(caller.actor, key, print_, carry_out)

        return handle


def _queries(dependant: Dependant) -> set[str]:
    """Return the names of the query's parameters that a route knows."""
    found = {field.alias for field in dependant.query_params}
    return found.union(*(_queries(below) for below in dependant.dependencies))
