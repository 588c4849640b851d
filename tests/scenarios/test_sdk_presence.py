"""The SDK and the relay together: who is there, what members say of themselves, and members that linger."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sealcast.client import (
    Channel,
    Event,
    Frame,
    LimitExceeded,
    MemberJoined,
    MemberLeft,
    MemberState,
    Message,
    Resumed,
)
from sealcast.server.relay import Relay

from .sdk_lab import PATIENCE, Lab, told


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    async with contextlib.AsyncExitStack() as stack:
        yield Lab(stack)


@contextlib.asynccontextmanager
async def relay(lab: Lab, **presence: float) -> AsyncIterator[Relay]:
    serving = await lab.serve(more={"presence": presence})
    try:
        yield serving
    finally:
        await serving.stop()


async def until(room: Channel, kind: type[Event]) -> Event:
    """Return the next event of a kind; what comes before it is passed over."""
    async with asyncio.timeout(PATIENCE):
        async for event in room:
            if isinstance(event, kind):
                return event
    raise AssertionError("the events ended")


async def test_what_a_member_says_of_itself_reaches_the_others_and_newcomers(lab: Lab) -> None:
    async with relay(lab):
        alice = await lab.join(await lab.client(), "room", "alice")
        bob = await lab.join(await lab.client(), "room", "bob")
        await alice.set_state(b"hand up")
        assert await told(bob, MemberState) == MemberState(alice.member or 0, "alice", b"hand up")
        assert dict(bob.states) == {alice.member: b"hand up"}
        carol = await lab.join(await lab.client(), "room", "carol")
        assert dict(carol.states) == {alice.member: b"hand up"}
        await alice.set_state(None)
        assert (await until(bob, MemberState)).data is None  # type: ignore[attr-defined]
        assert not bob.states


async def test_the_relay_cannot_read_a_state(lab: Lab) -> None:
    async with relay(lab) as serving:
        alice = await lab.join(await lab.client(), "room", "alice")
        await alice.set_state(b"a secret mood")
        app = serving.hub.app("0123456789abcdef0123456789abcdef")
        assert app is not None
        (member,) = app.channels["room"].members.values()
        assert member.state is not None
        assert b"secret" not in member.state


async def test_a_state_is_set_again_after_an_interruption(lab: Lab) -> None:
    async with relay(lab):
        wire = await lab.wire()
        alice = await lab.join(await lab.client(wire.url), "room", "alice")
        bob = await lab.join(await lab.client(), "room", "bob")
        await alice.set_state(b"hand up")
        await until(bob, MemberState)
        wire.cut()
        await until(bob, MemberLeft)
        assert not bob.states
        state = await until(bob, MemberState)
        assert state == MemberState(alice.member or 0, "alice", b"hand up")


async def test_a_state_that_is_too_large_is_refused_here(lab: Lab) -> None:
    async with relay(lab):
        alice = await lab.join(await lab.client(), "room", "alice")
        with pytest.raises(LimitExceeded):
            await alice.set_state(bytes(2000))
        await alice.set_state(bytes(800))


async def test_in_a_large_channel_everybody_is_known_after_an_interval_and_who_speaks_at_once(
    lab: Lab,
) -> None:
    async with relay(lab, instant=2, interval=0.1):
        rooms = [await lab.join(await lab.client(), "hall", f"user-{number}") for number in range(6)]
        async with asyncio.timeout(PATIENCE):
            for room in rooms:
                while len(room.members) < 5:
                    await until(room, MemberJoined)
        await rooms[5].send(b"hello")
        assert (await until(rooms[0], Message)).data == b"hello"  # type: ignore[attr-defined]
        await rooms[3].leave()
        assert (await until(rooms[0], MemberLeft)).user == "user-3"  # type: ignore[attr-defined]


async def test_who_comes_back_in_time_was_never_away_for_the_others(lab: Lab) -> None:
    async with relay(lab, linger=30):
        wire = await lab.wire()
        alice = await lab.join(await lab.client(wire.url), "room", "alice")
        bob = await lab.join(await lab.client(), "room", "bob")
        number = alice.member
        await bob.send(b"before")
        assert (await until(alice, Message)).data == b"before"  # type: ignore[attr-defined]
        wire.cut()
        await bob.send(b"meanwhile")
        resumed = await until(alice, Resumed)
        assert resumed == Resumed(True, 0)
        assert (await until(alice, Message)).data == b"meanwhile"  # type: ignore[attr-defined]
        assert alice.member == number
        alice.stream("audio").send(b"still here")
        event = await told(bob, Frame)
        assert event.data == b"still here"
        assert event.member == number


async def test_who_speaks_is_known_already_to_those_that_came_after_it(lab: Lab) -> None:
    """In a large channel a member that nobody has been told of is introduced to all when it speaks."""
    async with relay(lab, instant=1, interval=0.5):
        alice = await lab.join(await lab.client(), "room", "alice")
        bob = await lab.join(await lab.client(), "room", "bob")
        carol = await lab.join(await lab.client(), "room", "carol")
        assert {member.user for member in carol.members.values()} == {"alice", "bob"}
        await bob.send(b"hello")
        for room in (alice, carol):
            message = await until(room, Message)
            assert message.data == b"hello"  # type: ignore[attr-defined]
        assert carol.stats.disconnects == 0
