"""Requests that came with an idempotency key, and how each was answered, for a day."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, update
from sqlalchemy.exc import IntegrityError

from .database import Database
from .records import DAY, Answer
from .schema import AnsweredRequest

__all__ = ["Answers"]


class Answers:
    """The answered requests of a database. All methods raise StoreDown when it does not answer."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def begin(self, caller: str, request_key: str, fingerprint: bytes) -> Answer | None:
        """Note that a request is begun; when it was begun before, change nothing and return what is known."""
        now = self._now()
        row = AnsweredRequest(
            caller=caller,
            request_key=request_key,
            fingerprint=fingerprint,
            status=None,
            body=None,
            created=now,
        )
        try:
            async with self._database.transaction() as session:
                await session.execute(delete(AnsweredRequest).where(AnsweredRequest.created < now - DAY))
                session.add(row)
        except IntegrityError:
            pass
        else:
            return None
        async with self._database.transaction() as session:
            found = await session.get(AnsweredRequest, (caller, request_key))
            if found is None:  # it failed in between, and was forgotten
                return Answer(fingerprint, None, None, now)
            return Answer(found.fingerprint, found.status, found.body, found.created)

    async def finish(self, caller: str, request_key: str, status: int, body: bytes) -> None:
        """Keep the answer."""
        async with self._database.transaction() as session:
            await session.execute(
                update(AnsweredRequest)
                .where(AnsweredRequest.caller == caller, AnsweredRequest.request_key == request_key)
                .values(status=status, body=body)
            )

    async def forget(self, caller: str, request_key: str) -> None:
        """Forget a request that changed nothing, so that it can be made again."""
        async with self._database.transaction() as session:
            await session.execute(
                delete(AnsweredRequest).where(
                    AnsweredRequest.caller == caller, AnsweredRequest.request_key == request_key
                )
            )
