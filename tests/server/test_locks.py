"""Locks over sockets: one owner at a time, told to all, over in time, and bounded."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.protocol.controls import (
    Control,
    Done,
    Error,
    Leave,
    Lock,
    LockChanged,
    Locked,
    MemberJoined,
    MemberLeft,
    Metadata,
    MetadataItems,
    Unlock,
)
from sealcast.protocol.names import Privilege
from sealcast.protocol.parts import LockInfo

from .raw import Told

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Client, Room

pytestmark = pytest.mark.usefixtures("no_blocking_calls")


async def pair(lab: Lab, **limits: Any) -> tuple[Client, Room, Client, Room]:
    """Ann and Bob in one channel."""
    relay = await lab.serve(lab.app(limits=limits))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    rooms = [await ann.join("stage", "ann"), await bob.join("stage", "bob")]
    await ann.settle()
    return ann, rooms[0], bob, rooms[1]


async def lock(client: Client, room: Room, name: str = "mic", ttl: float = 30, take: bool = False) -> int:
    """Lock; return the fence."""
    answer = await client.ask(Lock(channel=room.number, name=name, ttl=ttl, take=take))
    assert isinstance(answer, Locked), answer
    assert (answer.name, answer.ttl) == (name, ttl)
    return answer.fence


async def refusal(client: Client, room: Room, name: str = "mic", ttl: float = 30) -> Error:
    return await client.refused(Lock(channel=room.number, name=name, ttl=ttl))


async def unlock(client: Client, room: Room, name: str = "mic") -> str:
    answer = await client.ask(Unlock(channel=room.number, name=name))
    return answer.name if isinstance(answer, Error) else answer.NAME


async def locks(client: Client, room: Room) -> tuple[LockInfo, ...]:
    answer = await client.ask(Metadata(channel=room.number))
    assert isinstance(answer, MetadataItems)
    return answer.locks


async def told(client: Client) -> list[tuple[str, int, str, str | None, int | None]]:
    """What a member was told of locks since the last time."""
    return [
        (control.name, control.fence, control.reason, control.user, control.member)
        for item in await client.settle()
        if isinstance(item, Told) and isinstance(control := item.control, LockChanged)
    ]


async def expiry(client: Client) -> tuple[str, int, str | None]:
    """Wait until a member is told that a lock has run out."""
    while (changed := await client.told(LockChanged)).reason != "expired":
        pass
    return changed.name, changed.fence, changed.user


async def test_a_lock_has_one_owner_and_everybody_knows_who_it_is(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab)
    fence = await lock(ann, room)
    assert await told(bob) == [("mic", fence, "acquired", "ann", room.member)]
    refused = await refusal(bob, other)
    assert (refused.name, refused.temporary, refused.channel) == ("lock_held", True, room.number)
    assert refused.retry_after == 30
    lab.later(9.95)
    expected = (LockInfo(name="mic", fence=fence, user="ann", ttl=20, member=room.member),)
    assert await locks(bob, other) == expected
    assert await told(ann) == []


async def test_a_lock_that_is_given_back_is_free_and_the_next_fence_is_higher(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab)
    fence = await lock(ann, room)
    assert await unlock(ann, room) == Done.NAME
    assert (await told(bob))[1:] == [("mic", fence, "released", None, None)]
    assert await lock(bob, other) == fence + 1
    assert await told(ann) == [("mic", fence + 1, "acquired", "bob", other.member)]


async def test_its_owner_keeps_it_for_longer_and_nobody_is_told(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab)
    fence = await lock(ann, room, ttl=10)
    lab.later(9)
    assert await lock(ann, room, ttl=10) == fence
    lab.later(9)
    assert (await refusal(bob, other)).name == "lock_held"
    assert len(await told(bob)) == 1


async def test_a_lock_ends_by_itself_and_its_owner_is_told_too(lab: Lab) -> None:
    ann, room, bob, _ = await pair(lab)
    fence = await lock(ann, room, ttl=10)
    lab.later(9.9)
    assert len(await told(bob)) == 1
    lab.later(0.1)
    for client in (ann, bob):
        assert await expiry(client) == ("mic", fence, None)
    assert await unlock(ann, room) == "not_lock_owner"


async def test_a_lock_can_be_taken_from_its_owner(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab)
    fence = await lock(ann, room)
    assert await lock(bob, other, take=True) == fence + 1
    assert await told(ann) == [("mic", fence + 1, "taken", "bob", other.member)]
    assert await unlock(ann, room) == "not_lock_owner"
    assert (await refusal(ann, room)).name == "lock_held"


async def test_a_lock_outlives_the_membership_until_its_time_is_over(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab)
    fence = await lock(ann, room, ttl=10)
    await ann.ask(Leave(channel=room.number))
    await bob.told(MemberLeft)
    expected = (LockInfo(name="mic", fence=fence, user="ann", ttl=10, member=None),)
    assert await locks(bob, other) == expected
    assert (await refusal(bob, other)).name == "lock_held"
    lab.later(10)
    assert await expiry(bob) == ("mic", fence, None)


async def test_an_owner_that_comes_back_still_has_its_lock(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab)
    fence = await lock(ann, room)
    await ann.ws.close()
    await bob.told(MemberLeft)
    again = await lab.connect(lab.relays[0])
    back = await again.join("stage", "ann")
    assert await lock(again, back) == fence
    assert [info.member for info in await locks(bob, other)] == [back.member]
    assert await unlock(again, back) == Done.NAME


async def test_another_run_of_its_owner_gets_the_lock_at_once_under_another_fence(lab: Lab) -> None:
    ann, _, bob, _ = await pair(lab)
    await ann.ws.close()
    await bob.told(MemberLeft)
    one, same, other = [await lab.connect(lab.relays[0]) for _ in range(3)]
    room = await one.join("stage", "ann", run=b"1" * 16)
    fence = await lock(one, room)
    room = await same.join("stage", "ann", run=b"1" * 16)
    assert await lock(same, room) == fence
    room = await other.join("stage", "ann", run=b"2" * 16)
    assert await lock(other, room) == fence + 1
    assert [change[2] for change in await told(bob)] == ["acquired", "taken"]


async def test_in_a_large_channel_who_gets_a_lock_is_introduced_before_it_and_who_waits_is_not(
    lab: Lab,
) -> None:
    relay = await lab.serve(lab.app(presence={"instant": 1, "interval": 60}))
    ann, bob, eve = [await lab.connect(relay) for _ in range(3)]
    await ann.join("stage", "ann")
    other = await bob.join("stage", "bob")
    room = await eve.join("stage", "eve")
    await ann.settle()
    fence = await lock(eve, room)
    assert (await refusal(bob, other)).name == "lock_held"
    heard = [item.control for item in await ann.settle() if isinstance(item, Told)]
    changed = LockChanged(
        channel=room.number, name="mic", fence=fence, reason="acquired", user="eve", member=room.member
    )
    assert heard == [MemberJoined(channel=room.number, member=room.member, user="eve"), changed]


async def test_a_lock_outlives_its_channel_and_ends_with_nobody_there(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab)
    await bob.join("lunch", "bob")  # or its connection would be closed
    fence = await lock(ann, room, ttl=10)
    for client in (ann, bob):
        await client.ask(Leave(channel=room.number))
    other = await bob.join("stage", "bob")
    assert (await refusal(bob, other)).name == "lock_held"
    await bob.ask(Leave(channel=other.number))
    lab.later(10)
    other = await bob.join("stage", "bob")
    assert await locks(bob, other) == ()
    assert await lock(bob, other) > fence


async def test_of_many_who_lock_at_once_one_succeeds(lab: Lab) -> None:
    relay = await lab.serve()
    clients = [await lab.connect(relay) for _ in range(8)]
    rooms = [await client.join("stage", f"user{n}") for n, client in enumerate(clients)]
    answers = await asyncio.gather(
        *(
            client.ask(Lock(channel=room.number, name="mic", ttl=30))
            for client, room in zip(clients, rooms, strict=True)
        )
    )
    assert sorted(answer.NAME for answer in answers) == ["error"] * 7 + ["locked"]


async def test_the_same_lock_of_another_app_is_another_lock(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    ann, eve = await lab.connect(relay), await lab.connect(relay, lab.OTHER_APP)
    room, other = await ann.join("stage", "ann"), await eve.join("stage", "eve")
    await lock(ann, room)
    await lock(eve, other)
    assert await unlock(eve, other) == Done.NAME
    assert len(await locks(ann, room)) == 1
    assert await told(ann) == []


# --- rights and bounds ---


@pytest.mark.parametrize("held", [None, Privilege.AUDIO, Privilege.VIDEO, Privilege.DATA])
async def test_to_lock_needs_the_data_privilege(lab: Lab, held: Privilege | None) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("stage", "ann", rights={Privilege.JOIN: 0, **({} if held is None else {held: 0})})
    answer = await ann.ask(Lock(channel=room.number, name="mic", ttl=30))
    if held is Privilege.DATA:
        assert isinstance(answer, Locked)
    else:
        assert isinstance(answer, Error)
        assert answer.name == "not_permitted"
        assert await unlock(ann, room) == "not_permitted"


@pytest.mark.parametrize("ttl", [0, 0.5, 300.1, 4e9])
async def test_a_lock_is_held_for_one_second_to_five_minutes_at_a_time(lab: Lab, ttl: float) -> None:
    ann, room, _, _ = await pair(lab)
    assert (await refusal(ann, room, ttl=ttl)).name == "bad_request"
    await lock(ann, room, "shortest", ttl=1)
    await lock(ann, room, "longest", ttl=300)


@pytest.mark.parametrize("name", ["", "tab\t", "é"])
async def test_the_name_of_a_lock_is_printable_ascii(lab: Lab, name: str) -> None:
    ann, room, _, _ = await pair(lab)
    assert (await refusal(ann, room, name)).name == "invalid_name"
    assert await unlock(ann, room, name) == "not_lock_owner"


async def test_a_channel_holds_so_many_locks_and_an_app_too(lab: Lab) -> None:
    ann, room, _, _ = await pair(lab, locks=2, locks_total=3)
    lunch = await ann.join("lunch", "ann")
    await lock(ann, room, "a")
    await lock(ann, room, "b")
    assert (await refusal(ann, room, "c")).name == "too_many_items"
    await lock(ann, lunch, "a")
    assert (await refusal(ann, lunch, "b")).name == "too_many_items"
    await unlock(ann, room, "a")
    await lock(ann, lunch, "b")


async def test_locks_and_metadata_share_how_much_a_connection_changes_a_minute(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab, changes_per_minute=2)
    await lock(ann, room)
    await unlock(ann, room)
    refused = await refusal(ann, room)
    assert refused.name == "rate_limited"
    assert refused.retry_after == pytest.approx(30)
    await lock(bob, other)


@pytest.mark.parametrize(
    "asked", [Lock(channel=1, name="mic", ttl=30), Unlock(channel=1, name="mic")], ids=lambda c: c.NAME
)
async def test_only_a_member_locks(lab: Lab, asked: Control) -> None:
    _, room, _, _ = await pair(lab)
    assert room.number == 1
    eve = await lab.connect(lab.relays[0])
    assert (await eve.refused(asked)).name == "not_joined"
