"""Networks that operators keep out, in the database: they outlive a restart, and reach every process."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from .database import Database
from .records import BlockRecord
from .schema import AddressBlock

__all__ = ["Blocks", "delete_blocks"]


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
        """Keep a block in the place of another one of that network."""
        same = delete(AddressBlock).where(AddressBlock.network == record.network)
        async with self._database.transaction() as session:
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


async def delete_blocks(session: AsyncSession, before: float, most: int) -> int:
    """Delete blocks that were over before, so many at most; return how many."""
    old = select(AddressBlock.network).where(AddressBlock.until < before).limit(most)
    gone = await session.scalars(
        delete(AddressBlock).where(AddressBlock.network.in_(old)).returning(AddressBlock.network)
    )
    return len(gone.all())


def _record(block: AddressBlock) -> BlockRecord:
    return BlockRecord(block.network, block.reason, block.created, block.until, block.actor)
