"""What every outbox promises; a subclass says how one is made."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio

from sealcast.server.hooks.event import Event, Kind
from sealcast.server.hooks.outbox import EACH, LEASE, Endpoint, Outbox

Make = Callable[..., Awaitable[Outbox]]

APP, OTHER = "0" * 32, "1" * 32


def event(sequence: int, user: str = "alice", app: str = APP, kind: Kind = Kind.MEMBER_JOINED) -> Event:
    return Event(kind, app, 1000.0 + sequence, sequence, channel="room", user=user)


def endpoint(number: int, app: str = APP, **more: object) -> Endpoint:
    return Endpoint(f"{number:016x}", app, "https://backend.example/hook", ("whsec_c2VjcmV0",), **more)  # type: ignore[arg-type]


class OutboxContract:
    """The promises."""

    @pytest_asyncio.fixture
    async def make(self) -> AsyncIterator[Make]:
        raise AssertionError
        yield

    async def test_an_event_is_for_the_endpoints_of_its_app_that_want_it(self, make: Make) -> None:
        outbox = await make(
            endpoint(1),
            endpoint(2, OTHER),
            endpoint(3, kinds=frozenset({Kind.MEMBER_LEFT})),
            endpoint(4, enabled=False),
        )
        told = event(1)
        assert await outbox.add([told]) == 1
        (one,) = await outbox.turn(2000.0, 10, {})
        assert (one.endpoint.id, one.endpoint.secrets, one.event) == (
            endpoint(1).id,
            endpoint(1).secrets,
            told,
        )

    async def test_of_one_subject_only_the_first_may_be_tried(self, make: Make) -> None:
        outbox = await make(endpoint(1))
        await outbox.add([event(1), event(2), event(3, "bob")])
        assert [(one.event.user, one.event.sequence) for one in await outbox.turn(2000.0, 10, {})] == [
            ("alice", 1),
            ("bob", 3),
        ]

    async def test_the_first_is_the_one_with_the_lowest_sequence(self, make: Make) -> None:
        outbox = await make(endpoint(1))
        await outbox.add([event(5)])
        await outbox.add([event(4)])
        (one,) = await outbox.turn(2000.0, 10, {})
        assert one.event.sequence == 4

    async def test_what_is_claimed_is_nobody_elses_until_the_claim_ends(self, make: Make) -> None:
        outbox = await make(endpoint(1))
        await outbox.add([event(2), event(3)])
        (first,) = await outbox.turn(2000.0, 10, {})
        assert not await outbox.turn(2000.0, 10, {})
        await outbox.add([event(1)])
        assert not await outbox.turn(2000.0, 10, {}), "one of a subject at a time"
        again = await outbox.turn(2000.0 + LEASE, 10, {})
        assert [one.event.sequence for one in again] == [1]
        assert first.event.sequence == 2

    async def test_what_is_let_go_of_may_be_claimed_at_once(self, make: Make) -> None:
        outbox = await make(endpoint(1))
        await outbox.add([event(1)])
        assert await outbox.turn(2000.0, 10, {})
        await outbox.release()
        assert await outbox.turn(2000.0, 10, {})

    async def test_what_is_delivered_lets_the_next_one_go(self, make: Make) -> None:
        outbox = await make(endpoint(1))
        await outbox.add([event(1), event(2)])
        (first,) = await outbox.turn(2000.0, 10, {})
        await outbox.delivered([first])
        (second,) = await outbox.turn(2000.0, 10, {})
        assert second.event.sequence == 2
        assert await outbox.waiting() == 1
        await outbox.delivered([second])
        assert not await outbox.turn(2000.0, 10, {})
        assert await outbox.next_due(2000.0) is None
        assert await outbox.waiting() == 0

    async def test_what_failed_holds_back_its_subject_until_it_is_due(self, make: Make) -> None:
        outbox = await make(endpoint(1))
        await outbox.add([event(1), event(2)])
        (first,) = await outbox.turn(2000.0, 10, {})
        await outbox.failed(first, "503", 3000.0, 2001.0)
        assert not await outbox.turn(2999.0, 10, {})
        assert await outbox.next_due(2999.0) == 3000.0
        (again,) = await outbox.turn(3000.0, 10, {})
        assert (again.id, again.failures, again.answer) == (first.id, 1, "503")
        await outbox.delivered([again])
        (second,) = await outbox.turn(3000.0, 10, {})
        assert second.event.sequence == 2

    async def test_what_is_given_up_lets_the_next_one_go(self, make: Make) -> None:
        outbox = await make(endpoint(1))
        await outbox.add([event(1), event(2)])
        (first,) = await outbox.turn(2000.0, 10, {})
        await outbox.failed(first, "410", None, 2000.0)
        (second,) = await outbox.turn(2000.0, 10, {})
        assert second.event.sequence == 2
        assert await outbox.waiting() == 1

    async def test_no_more_are_claimed_than_were_asked_for(self, make: Make) -> None:
        outbox = await make(endpoint(1))
        await outbox.add([event(number, f"user-{number}") for number in range(9)])
        assert len(await outbox.turn(2000.0, 4, {})) == 4

    async def test_one_endpoint_does_not_take_all_the_room(self, make: Make) -> None:
        outbox = await make(endpoint(1), endpoint(2))
        await outbox.add([event(number, f"user-{number}") for number in range(20)])
        claimed = Counter(one.endpoint.id for one in await outbox.turn(2000.0, 100, {endpoint(1).id: 3}))
        assert claimed == {endpoint(1).id: EACH - 3, endpoint(2).id: EACH}
