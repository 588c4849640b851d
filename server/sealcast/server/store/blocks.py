"""Networks that operators keep out, in the database: they outlive a restart, and reach every process."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, select

from .database import Database
from .records import BlockRecord
from .schema import AddressBlock

__all__ = ["Blocks"]


class Blocks:
    """The blocks of a database. All methods raise StoreDown when it does not answer.

    Args:
        database: where they are.
        now: Unix time.

    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def all(self) -> list[BlockRecord]:
        """Return every block that is not over."""
        query = select(AddressBlock).order_by(AddressBlock.network)
        async with self._database.transaction() as session:
            records = [_record(block) for block in await session.scalars(query)]
        now = self._now()
        return [each for each in records if each.until is None or each.until > now]

    async def put(self, record: BlockRecord) -> None:
        """Keep a block in the place of another one of that network; those that are over are forgotten."""
        over = delete(AddressBlock).where(AddressBlock.until <= self._now())
        same = delete(AddressBlock).where(AddressBlock.network == record.network)
        async with self._database.transaction() as session:
            await session.execute(over)
            await session.execute(same)
            session.add(
                AddressBlock(
                    network=record.network,
                    reason=record.reason,
                    created=record.created,
                    until=record.until,
                    actor=record.actor,
                )
            )

    async def delete(self, network: str) -> bool:
        """Forget a block; return whether there was one."""
        gone = delete(AddressBlock).where(AddressBlock.network == network).returning(AddressBlock.network)
        async with self._database.transaction() as session:
            return (await session.execute(gone)).first() is not None


def _record(block: AddressBlock) -> BlockRecord:
    return BlockRecord(block.network, block.reason, block.created, block.until, block.actor)
