"""Blocks by operators in the database, on both kinds of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealcast.server.config import RecordsConfig
from sealcast.server.store.records import DAY, BlockRecord
from sealcast.server.store.retention import purge

if TYPE_CHECKING:
    from sealcast.server.store.store import Store

    from .conftest import Time


async def test_a_block_is_kept_replaced_and_forgotten(store: Store, time: Time) -> None:
    first = BlockRecord("2001:db8::/64", "why", time.now, time.now + 60, "key 1")
    other = BlockRecord("203.0.113.7", "", time.now, None, "configured key")
    await store.blocks.put(other)
    await store.blocks.put(first)
    assert await store.blocks.all() == [first, other]
    longer = BlockRecord("2001:db8::/64", "still", time.now, time.now + 600, "key 2")
    await store.blocks.put(longer)
    assert await store.blocks.all() == [longer, other]
    assert await store.blocks.delete("2001:db8::/64")
    assert not await store.blocks.delete("2001:db8::/64")
    assert await store.blocks.all() == [other]


async def test_a_block_that_is_over_is_not_seen_and_then_gone(store: Store, time: Time) -> None:
    await store.blocks.put(BlockRecord("203.0.113.7", "", time.now, time.now + 60, "key 1"))
    time.now += 60
    assert await store.blocks.all() == []
    await store.blocks.put(BlockRecord("203.0.113.8", "", time.now, None, "key 1"))
    time.now += DAY + 1
    counts = await purge(store, RecordsConfig(), time.now, "relay", "me")
    assert counts is not None
    assert counts["blocks"] == 1
    assert not await store.blocks.delete("203.0.113.7")
    assert await store.blocks.delete("203.0.113.8")
