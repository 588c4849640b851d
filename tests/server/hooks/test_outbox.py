"""The outbox in memory keeps the promises of outboxes, and its bound."""

from __future__ import annotations

from collections.abc import Sequence

from sealcast.server.hooks.outbox import Endpoint, MemoryOutbox, Outbox

from .outboxes import OutboxContract, endpoint, event


class TestMemoryOutbox(OutboxContract):
    async def make(self, endpoints: Sequence[Endpoint]) -> Outbox:
        return MemoryOutbox(endpoints)


async def test_over_its_bound_the_oldest_is_given_up_and_can_be_seen() -> None:
    outbox = MemoryOutbox([endpoint(1)], most=2)
    await outbox.add([event(1), event(2), event(3)])
    assert [one.event.sequence for one in await outbox.dead(10)] == [1]
    assert [one.event.sequence for one in await outbox.due(2000.0, 10)] == [2]


def test_an_endpoint_does_not_show_its_secret() -> None:
    assert "whsec" not in repr(endpoint(1))
