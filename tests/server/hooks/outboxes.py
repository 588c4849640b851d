"""What every outbox promises; a subclass says how one is made."""

from __future__ import annotations

from collections.abc import Sequence

from sealcast.server.hooks.event import Event, Kind
from sealcast.server.hooks.outbox import Endpoint, Outbox

APP, OTHER = "0" * 32, "1" * 32


def event(sequence: int, user: str = "alice", app: str = APP, kind: Kind = Kind.MEMBER_JOINED) -> Event:
    return Event(kind, app, 1000.0 + sequence, sequence, channel="room", user=user)


def endpoint(number: int, app: str = APP, **more: object) -> Endpoint:
    return Endpoint(number, app, "https://backend.example/hook", ("whsec_c2VjcmV0",), **more)  # type: ignore[arg-type]


class OutboxContract:
    """The promises."""

    async def make(self, endpoints: Sequence[Endpoint]) -> Outbox:
        raise AssertionError

    async def test_an_event_is_for_the_endpoints_of_its_app_that_want_it(self) -> None:
        outbox = await self.make(
            [
                endpoint(1),
                endpoint(2, OTHER),
                endpoint(3, kinds=frozenset({Kind.MEMBER_LEFT})),
                endpoint(4, enabled=False),
            ]
        )
        assert await outbox.add([event(1)]) == 1
        (one,) = await outbox.due(2000.0, 10)
        assert (one.endpoint.id, one.event) == (1, event(1).__class__(**fields(one.event)))

    async def test_of_one_subject_only_the_first_may_be_tried(self) -> None:
        outbox = await self.make([endpoint(1)])
        await outbox.add([event(1), event(2), event(3, "bob")])
        assert [(one.event.user, one.event.sequence) for one in await outbox.due(2000.0, 10)] == [
            ("alice", 1),
            ("bob", 3),
        ]

    async def test_what_is_delivered_lets_the_next_one_go(self) -> None:
        outbox = await self.make([endpoint(1)])
        await outbox.add([event(1), event(2)])
        (first,) = await outbox.due(2000.0, 10)
        await outbox.delivered(first)
        (second,) = await outbox.due(2000.0, 10)
        assert second.event.sequence == 2
        await outbox.delivered(second)
        assert not await outbox.due(2000.0, 10)
        assert await outbox.next_due() is None

    async def test_what_failed_holds_back_its_subject_until_it_is_due(self) -> None:
        outbox = await self.make([endpoint(1)])
        await outbox.add([event(1), event(2)])
        (first,) = await outbox.due(2000.0, 10)
        await outbox.failed(first, "503", 3000.0)
        assert not await outbox.due(2999.0, 10)
        assert await outbox.next_due() == 3000.0
        (again,) = await outbox.due(3000.0, 10)
        assert (again.id, again.failures, again.answer) == (first.id, 1, "503")

    async def test_what_is_given_up_lets_the_next_one_go_and_can_be_seen_and_revived(self) -> None:
        outbox = await self.make([endpoint(1)])
        await outbox.add([event(1), event(2)])
        (first,) = await outbox.due(2000.0, 10)
        await outbox.failed(first, "410", None)
        (second,) = await outbox.due(2000.0, 10)
        assert second.event.sequence == 2
        (dead,) = await outbox.dead(10)
        assert (dead.id, dead.answer, dead.dead) == (first.id, "410", True)
        assert await outbox.revive(dead.id, 2000.0)
        assert not await outbox.revive(dead.id, 2000.0)
        (again,) = await outbox.due(2000.0, 10)
        assert (again.event.sequence, again.failures, again.dead) == (1, 0, False)

    async def test_no_more_are_returned_than_were_asked_for(self) -> None:
        outbox = await self.make([endpoint(1)])
        await outbox.add([event(number, f"user-{number}") for number in range(9)])
        assert len(await outbox.due(2000.0, 4)) == 4


def fields(one: Event) -> dict[str, object]:
    return {name: getattr(one, name) for name in Event.__slots__}
