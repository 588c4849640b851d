"""API keys in the database: their hashes, what they may do, and when they were used last."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError

from .database import Database
from .records import KeyRecord, Missing, Taken
from .schema import ApiKey

__all__ = ["Keys"]


class Keys:
    """The API keys of a database. All methods raise StoreDown when it does not answer.

    Args:
        database: where they are.
        now: Unix time.

    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def page(self, after: str = "", limit: int = 100, only: str | None = None) -> list[KeyRecord]:
        """Return keys in the order of their ids, behind *after*; *only* those of one app."""
        query = select(ApiKey).where(ApiKey.key_id > after).order_by(ApiKey.key_id).limit(limit)
        if only is not None:
            query = query.where(ApiKey.app_id == only)
        async with self._database.transaction() as session:
            return [_record(key) for key in await session.scalars(query)]

    async def get(self, key_id: str) -> KeyRecord:
        """Return one key. Raises Missing."""
        async with self._database.transaction() as session:
            key = await session.get(ApiKey, key_id)
            if key is None:
                raise Missing("key")
            return _record(key)

    async def create(
        self,
        key_id: str,
        digest: bytes,
        *,
        name: str,
        scopes: Sequence[str],
        app_id: str | None = None,
        rate: int | None = None,
        expires: float | None = None,
    ) -> KeyRecord:
        """Keep the hash of a key. Raises Taken for an id that there is, Missing for an app that is not."""
        key = ApiKey(
            key_id=key_id,
            digest=digest,
            name=name,
            scopes=list(scopes),
            app_id=app_id,
            rate=rate,
            created=self._now(),
            expires=expires,
            last_used=None,
        )
        try:
            async with self._database.transaction() as session:
                if await session.get(ApiKey, key_id) is not None:
                    raise Taken("key")
                session.add(key)
        except IntegrityError:
            raise Missing("app") from None
        return _record(key)

    async def used(self, key_id: str) -> None:
        """Note that a key is used now."""
        async with self._database.transaction() as session:
            await session.execute(update(ApiKey).where(ApiKey.key_id == key_id).values(last_used=self._now()))

    async def delete(self, key_id: str) -> None:
        """Forget a key, which is good for nothing from now on. Raises Missing."""
        async with self._database.transaction() as session:
            gone = await session.execute(
                delete(ApiKey).where(ApiKey.key_id == key_id).returning(ApiKey.key_id)
            )
            if gone.first() is None:
                raise Missing("key")


def _record(key: ApiKey) -> KeyRecord:
    return KeyRecord(
        key_id=key.key_id,
        name=key.name,
        digest=key.digest,
        scopes=tuple(key.scopes),
        app_id=key.app_id,
        rate=key.rate,
        created=key.created,
        expires=key.expires,
        last_used=key.last_used,
    )
