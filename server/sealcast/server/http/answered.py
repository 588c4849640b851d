"""Idempotency keys: a POST that is sent twice is carried out once, and answered twice.

Secrets are left out of what is kept, so they are left out of the second answer too.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final

from fastapi import Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from ..directory import BadSettings
from ..store.records import DAY, Answer, Missing, Taken, WrongState
from .errors import ApiError
from .services import Services

if TYPE_CHECKING:
    from ..store.answers import Answers

__all__ = ["Replays"]

_UNDER_WAY: Final = 60.0
"""Seconds after which a request without an answer is no longer taken to be under way."""
_MEMORY_MOST: Final = 1_000
_SECRET: Final = "secret"  # noqa: S105 - the name of a field


class _Memory:
    """The same as the database's, for a relay that has none: until it ends, and for the newest only."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._answers: OrderedDict[tuple[str, str], Answer] = OrderedDict()

    async def begin(self, caller: str, request_key: str, fingerprint: bytes) -> Answer | None:
        now = self._now()
        found = self._answers.get((caller, request_key))
        if found is not None and found.begun >= now - DAY:
            return found
        self._answers[caller, request_key] = Answer(fingerprint, None, None, now)
        if len(self._answers) > _MEMORY_MOST:
            self._answers.popitem(last=False)
        return None

    async def finish(self, caller: str, request_key: str, status: int, body: bytes) -> None:
        found = self._answers.get((caller, request_key))
        if found is not None:
            self._answers[caller, request_key] = found._replace(status=status, body=body)

    async def forget(self, caller: str, request_key: str) -> None:
        self._answers.pop((caller, request_key), None)


class Replays:
    """Carries requests out once."""

    def __init__(self, services: Services) -> None:
        self._now = services.clock.wall
        store = services.store
        self._answers: Answers | _Memory = store.answers if store is not None else _Memory(self._now)

    async def once(
        self,
        caller: str,
        request_key: str,
        fingerprint: bytes,
        carry_out: Callable[[], Coroutine[Any, Any, Response]],
    ) -> Response:
        """Return the answer to a request: a new one, or the one that there was."""
        before = await self._answers.begin(caller, request_key, fingerprint)
        if before is not None:
            return self._again(before, fingerprint)
        try:
            response = await carry_out()
        except (HTTPException, RequestValidationError, Missing, Taken, WrongState, BadSettings):
            await self._answers.forget(caller, request_key)  # nothing was changed: it may be sent again
            raise
        await self._answers.finish(
            caller, request_key, response.status_code, _without_secret(bytes(response.body))
        )
        return response

    def _again(self, before: Answer, fingerprint: bytes) -> Response:
        if before.fingerprint != fingerprint:
            raise ApiError("idempotency_key_reused")
        if before.status is None or before.body is None:
            if self._now() - before.begun < _UNDER_WAY:
                raise ApiError("request_in_progress", retry_after=1.0)
            raise ApiError("outcome_unknown")
        return Response(
            before.body,
            before.status,
            {"Idempotency-Replayed": "true"},
            "application/json" if before.body else None,
        )


def _without_secret(body: bytes) -> bytes:
    if not body:
        return body
    tree = json.loads(body)
    if isinstance(tree, dict) and _SECRET in tree:
        return json.dumps({**tree, _SECRET: None}).encode()
    return body
