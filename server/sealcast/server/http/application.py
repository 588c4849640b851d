"""The application of the internal port: routes, what comes before them, and how everything fails."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp

from sealcast.protocol.version import __version__

from ..directory import BadSettings
from ..store.records import StoreError
from . import health, metrics
from .api_keys import Guests
from .console.application import Console
from .envelope import API, Envelope
from .errors import ApiError, ErrorBody, answer, of_status, of_store
from .route import Gate
from .routes import ROUTERS
from .services import Services

__all__ = ["application", "openapi"]

_ABOUT: Final = """\
What operators do with a relay: apps, certificates and keys. It never sees what members say: that is sealed.

Every request needs an API key (`Authorization: Bearer …`), whose scope stands with each operation. A refusal
has a body with a stable `name`. A `POST` with an `Idempotency-Key` is carried out once in 24 hours, whatever
happens to its answer; what is secret in an answer is shown only the first time. Times are Unix seconds."""


def application(services: Services, console: Console) -> ASGIApp:
    """Return the application, which serves these services."""
    app = _bare()
    app.mount("/console", console.asgi())
    app.add_route("/", _to_console, include_in_schema=False)
    app.add_route("/console", _to_console, include_in_schema=False)
    app.state.services = services
    store = services.store
    guests = Guests(services.config.server, None if store is None else store.keys, services.clock)
    app.state.gate = Gate(services, guests)
    return Envelope(app, services.requests, services.tracer)


def openapi() -> dict[str, Any]:
    """Return the description of the API."""
    return _bare().openapi()


def _bare() -> FastAPI:
    app = FastAPI(
        title="sealcast",
        version=__version__,
        description=_ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,  # its page would load code from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.include_router(health.router)
    app.include_router(metrics.router)
    for router in ROUTERS:
        app.include_router(router, prefix=API, responses={"default": {"model": ErrorBody}})
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StoreError, _not_stored)
    app.add_exception_handler(BadSettings, _not_stored)
    app.add_exception_handler(Exception, _failed)
    describe = app.openapi

    def described() -> dict[str, Any]:
        tree = describe()
        schemes = tree.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["key"] = {"type": "http", "scheme": "bearer", "description": "an API key"}
        return tree

    app.openapi = described  # type: ignore[method-assign] # the way that FastAPI documents
    return app


async def _to_console(request: Request) -> Response:
    """Send people to the pages; programs have nothing to look for here."""
    if "text/html" not in request.headers.get("accept", ""):
        raise ApiError("not_found")
    return RedirectResponse("/console/", 303)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer(of_status(error), request.state.request_id)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [line for item in error.errors()[:20] for line in _described(item["loc"], item["msg"])]
    return answer(ApiError("invalid", problems=problems[:40]), request.state.request_id)


async def _not_stored(request: Request, error: Exception) -> Response:
    assert isinstance(error, StoreError | BadSettings)
    return answer(of_store(error), request.state.request_id)


async def _failed(request: Request, error: Exception) -> Response:
    return answer(ApiError("internal_error"), request.state.request_id)  # the envelope logs it


def _described(place: tuple[Any, ...], message: str) -> list[str]:
    """Name what is wrong, and not the value: it could be a secret."""
    where = ".".join(str(part)[:40] for part in place if part not in ("body", "query", "path"))
    said = message.removeprefix("Value error, ").removeprefix("Input ")
    if said.startswith("."):  # a section of options, with a line for each that is wrong
        return [f"{where}{line}" for line in said.splitlines()]
    return [f"{where}: {said}" if where else said]
