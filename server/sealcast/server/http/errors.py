"""How the API says no: one table, one body, and which exception becomes which.

Names are stable, texts are for people, and neither shows anything that a request contained.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from ..directory import BadSettings
from ..store.records import Missing, StoreDown, StoreError, Taken, WrongState

__all__ = ["PROBLEMS", "ApiError", "ErrorBody", "Problem", "answer", "of_status", "of_store"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of the table."""

    status: int
    name: str
    message: str
    hint: str


def _table(*problems: Problem) -> dict[str, Problem]:
    return {problem.name: problem for problem in problems}


PROBLEMS: Final = _table(
    Problem(400, "bad_request", "the request cannot be understood", "see /api/openapi.json"),
    Problem(
        401,
        "unauthenticated",
        "there is no API key, or not one that is good here",
        "send `Authorization: Bearer <key>`; `sealcast admin key` makes one",
    ),
    Problem(403, "forbidden", "the key may not do this", "use a key that has the scope"),
    Problem(
        403,
        "banned",
        "a ban or a revocation keeps this user from it",
        "lift it (`sealcast ban list`, `sealcast revoke list`), or publish in the name of another user",
    ),
    Problem(404, "not_found", "there is no such thing", "look at the address and at the id in it"),
    Problem(405, "method_not_allowed", "this cannot be done with that method", "see the Allow header"),
    Problem(408, "too_slow", "the request did not come in time", "send it again"),
    Problem(409, "already_there", "there is one already", "take another id, or change the one that is there"),
    Problem(
        409,
        "file_configured",
        "this stands in the configuration, where the API cannot change it",
        "change the file and restart, or keep apps in a database (`database.url`, `serve --data`)",
    ),
    Problem(409, "app_enabled", "the app is enabled", "disable it first"),
    Problem(409, "certificate_enabled", "the certificate is enabled", "disable it first"),
    Problem(409, "primary_certificate", "this is the primary certificate", "swap the certificates first"),
    Problem(409, "has_secondary", "the app has two certificates", "disable and delete the secondary first"),
    Problem(409, "no_secondary", "the app has no enabled secondary certificate", "add one first"),
    Problem(409, "too_many_rules", "the app has as many rules as it may have", "lift some, or wait"),
    Problem(409, "too_many_webhooks", "the app has as many webhooks as it may", "delete one first"),
    Problem(
        409,
        "request_in_progress",
        "a request with this idempotency key is under way",
        "wait for its answer, or ask again a little later",
    ),
    Problem(
        409,
        "outcome_unknown",
        "a request with this idempotency key was begun and never finished",
        "look whether it was carried out, and use another key",
    ),
    Problem(
        409,
        "user_present",
        "that user is a member of the channel",
        "let it send itself, or publish in the name of another user",
    ),
    Problem(409, "channel_full", "the channel has as many members as its app allows", "try again later"),
    Problem(409, "app_full", "the app has as many channels as its limits allow", "raise `limits.channels`"),
    Problem(
        409,
        "counter_repeated",
        "the SFrame counter does not grow for its key",
        "seal again; never seal twice with one counter",
    ),
    Problem(
        409, "too_many_blocks", "as many networks are kept out as can be", "lift some, or block wider ones"
    ),
    Problem(413, "body_too_large", "the body is larger than it may be", "send less"),
    Problem(
        422, "idempotency_key_reused", "this idempotency key belongs to another request", "use a new one"
    ),
    Problem(422, "too_big", "the message is larger than `limits.message`", "send less, or raise the limit"),
    Problem(
        422, "bad_frame", "this is no descriptor of that kind, with SFrame behind it", "see docs/protocol.md"
    ),
    Problem(
        422,
        "encryption_required",
        "what is published has to be sealed",
        "seal it where the key is; the relay must not have it",
    ),
    Problem(422, "invalid", "the request has values that it may not have", "see `problems`"),
    Problem(429, "rate_limited", "too many requests", "wait as Retry-After says"),
    Problem(500, "internal_error", "the server failed on its side", "its log has more under the request id"),
    Problem(503, "not_stored", "it could not be stored, and nobody got it", "send it again"),
    Problem(503, "channel_backlog", "too much is on its way in that channel", "wait as Retry-After says"),
    Problem(503, "busy", "too many requests at the same time", "wait as Retry-After says"),
    Problem(503, "database_unavailable", "the database does not answer", "look after the database"),
    Problem(503, "not_ready", "this relay takes nobody now", "ask another one, or wait"),
)
"""Every refusal, by name."""

_STATUSES: Final = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


class ErrorBody(BaseModel):
    """The body of every refusal."""

    code: int = Field(description="the HTTP status")
    name: str = Field(description="stable; what a program should look at")
    message: str = Field(description="for people")
    hint: str = Field(description="what to do")
    request_id: str = Field(description="stands in the server's log too")
    problems: list[str] = Field(default=[], description="for `invalid`: what is wrong, a line each")


class ApiError(HTTPException):
    """A refusal.

    Args:
        name: of a row of the table.
        message: in place of the table's.
        hint: in place of the table's.
        problems: what is wrong, a line each.
        retry_after: seconds after which it makes sense to try again.

    """

    def __init__(
        self,
        name: str,
        message: str = "",
        *,
        hint: str = "",
        problems: Iterable[str] = (),
        retry_after: float | None = None,
    ) -> None:
        self.problem = PROBLEMS[name]
        super().__init__(self.problem.status, message or self.problem.message)
        self.hint = hint or self.problem.hint
        self.problems = list(problems)
        self.retry_after = retry_after


def of_store(error: StoreError | BadSettings) -> ApiError:
    """Return the refusal that a failure of the database means."""
    if isinstance(error, Missing):
        return ApiError("not_found", str(error))
    if isinstance(error, Taken):
        return ApiError("already_there", str(error))
    if isinstance(error, WrongState):
        return ApiError(error.name, str(error))
    if isinstance(error, BadSettings):
        return ApiError("invalid", problems=error.problems)
    return ApiError("database_unavailable", retry_after=5.0 if isinstance(error, StoreDown) else 60.0)


def of_status(error: HTTPException) -> ApiError:
    """Return the refusal that the framework's own means."""
    if isinstance(error, ApiError):
        return error
    refusal = ApiError(_STATUSES.get(error.status_code, "bad_request"))
    refusal.headers = error.headers
    return refusal


def answer(error: ApiError, request_id: str) -> JSONResponse:
    """Return a refusal as it goes out."""
    body = ErrorBody(
        code=error.problem.status,
        name=error.problem.name,
        message=error.detail,
        hint=error.hint,
        request_id=request_id,
        problems=error.problems,
    )
    headers = dict(error.headers or {})
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if error.problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body.model_dump(), error.problem.status, headers)
