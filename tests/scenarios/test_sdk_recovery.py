"""The SDK and the relay together, over interruptions: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from sealcast.client import (
    Authority,
    Channel,
    Client,
    Disconnected,
    Event,
    Identity,
    Key,
    MemberJoined,
    MemberLeft,
    Message,
    RequestRefused,
    Resumed,
    SealFailure,
)
from sealcast.server.config import StorageConfig

from .sdk_lab import APP, PATIENCE, Lab, Wire, told


class Away:
    """A member on a wire of its own that can be away for as long as a test wants."""

    def __init__(self, wire: Wire, client: Client, lab: Lab) -> None:
        self.wire = wire
        self.client = client
        self._lab = lab
        self._allowed = asyncio.Event()
        self._allowed.set()

    async def token(self, channel: str, user: str) -> str:
        await self._allowed.wait()
        return self._lab.token(channel, user)

    async def join(self, channel: str, user: str, **how: Any) -> Channel:
        return await self.client.join(channel, user=user, token=self.token, **{"key": self._lab.key, **how})

    def go(self) -> None:
        self._allowed.clear()
        self.wire.cut()

    def come_back(self) -> None:
        self._allowed.set()


async def away(lab: Lab) -> Away:
    wire = await lab.wire()
    return Away(wire, await lab.client(wire.url), lab)


async def until(room: Channel, kind: type[Event]) -> Event:
    async with asyncio.timeout(PATIENCE):
        while not isinstance(event := await anext(room), kind):
            pass
    return event


async def messages(room: Channel, count: int) -> list[Message]:
    found: list[Message] = []
    while len(found) < count:
        event = await until(room, Message)
        assert isinstance(event, Message)
        found.append(event)
    return found


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        stack.push_async_callback((await lab.serve()).stop)
        yield lab


async def test_what_was_sent_while_a_member_was_away_is_delivered_when_it_is_back(lab):
    member = await away(lab)
    alice = await member.join("standup", "alice")
    bob = await lab.join(await lab.client(), "standup", "bob")
    await bob.send(b"live")
    assert (await messages(alice, 1))[0].data == b"live"
    member.go()
    await until(alice, Disconnected)
    await until(bob, MemberLeft)
    for number in range(5):
        await bob.send(b"missed %d" % number)
    member.come_back()
    assert await until(alice, Resumed) == Resumed(True, 0)
    assert [(one.data, one.historical) for one in await messages(alice, 5)] == [
        (b"missed %d" % number, False) for number in range(5)
    ]
    await bob.send(b"live again")
    assert (await messages(alice, 1))[0].offset == 7
    assert alice.stats.seal_failures == {}


async def test_also_of_members_who_came_and_left_meanwhile(lab):
    await lab.join(await lab.client(), "standup", "bob")
    member = await away(lab)
    alice = await member.join("standup", "alice")
    member.go()
    await until(alice, Disconnected)
    carol = await lab.join(await lab.client(), "standup", "carol")
    await carol.send(b"you missed me")
    await carol.leave()
    member.come_back()
    assert await until(alice, Resumed) == Resumed(True, 0)
    [message] = await messages(alice, 1)
    assert (message.user, message.data, message.historical) == ("carol", b"you missed me", True)


async def test_an_own_message_whose_ack_was_lost_is_placed_once_and_is_no_gap(lab):
    member = await away(lab)
    alice = await member.join("standup", "alice")
    bob = await lab.join(await lab.client(), "standup", "bob")
    await until(alice, MemberJoined)
    member.wire.answering.clear()
    sending = asyncio.create_task(alice.send(b"once"))
    assert (await messages(bob, 1))[0].data == b"once"
    assert not sending.done()
    member.go()
    member.wire.answering.set()
    await until(bob, MemberLeft)
    await bob.send(b"missed")
    member.come_back()
    receipt = await sending
    assert (receipt.offset, receipt.repeated) == (1, True)
    assert await until(alice, Resumed) == Resumed(True, 0)
    assert [one.data for one in await messages(alice, 1)] == [b"missed"]
    await alice.send(b"next")
    assert [one.data for one in await messages(bob, 1)] == [b"next"]


async def test_an_own_message_that_never_arrived_is_placed_after_all(lab):
    member = await away(lab)
    alice = await member.join("standup", "alice")
    bob = await lab.join(await lab.client(), "standup", "bob")
    member.wire.flowing.clear()
    sending = asyncio.create_task(alice.send(b"late"))
    await asyncio.sleep(0.05)
    member.go()
    member.wire.flowing.set()
    member.come_back()
    receipt = await sending
    assert (receipt.offset, receipt.repeated) == (1, False)
    assert [one.data for one in await messages(bob, 1)] == [b"late"]


async def test_more_than_the_relay_sends_again_is_said_to_be_lost_and_read_from_the_history():
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        relay = await lab.serve(more={"limits": {"recovery_messages": 3}})
        stack.push_async_callback(relay.stop)
        member = await away(lab)
        alice = await member.join("standup", "alice")
        bob = await lab.join(await lab.client(), "standup", "bob")
        await bob.send(b"0")
        await messages(alice, 1)
        place = alice.position
        assert place is not None
        member.go()
        await until(alice, Disconnected)
        for number in range(1, 8):
            await bob.send(b"%d" % number)
        member.come_back()
        assert await until(alice, Resumed) == Resumed(False, 7)
        history = alice.history(after=place.offset)
        assert [int(message.data) async for message in history] == list(range(1, 8))
        assert not history.more
        await lab.stack.aclose()


async def test_a_channel_that_keeps_nothing_says_so():
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        relay = await lab.serve(more={"history": {"messages": 0}})
        stack.push_async_callback(relay.stop)
        alice = await lab.join(await lab.client(), "standup", "alice")
        with pytest.raises(RequestRefused, match="history_off"):
            await anext(alice.history())
        await lab.stack.aclose()


async def test_history_is_read_in_pages_by_everybody(lab):
    alice = await lab.join(await lab.client(), "standup", "alice")
    for number in range(300):
        await alice.send(b"%d" % number)
    bob = await lab.join(await lab.client(), "standup", "bob")
    for room in (alice, bob):
        assert [int(one.data) async for one in room.history(limit=1000)] == list(range(300))
        assert [int(one.data) async for one in room.history(limit=5)] == [295, 296, 297, 298, 299]
        assert [int(one.data) async for one in room.history(limit=3, before=11)] == [7, 8, 9]
        assert [int(one.data) async for one in room.history(limit=3, after=10)] == [10, 11, 12]
    assert bob.stats.seal_failures == {}


async def test_a_new_process_goes_on_where_the_last_one_was(lab):
    bob = await lab.join(await lab.client(), "standup", "bob")
    first = await lab.join(await lab.client(), "standup", "alice")
    await bob.send(b"taken")
    await messages(first, 1)
    place = first.position
    await first.send(b"my own")
    await first.leave()
    await bob.send(b"missed")
    second = await (await lab.client()).join(
        "standup", user="alice", token=lab.token("standup", "alice"), key=lab.key, since=place
    )
    assert await told(second, Resumed) == Resumed(True, 0)
    assert [(one.user, one.data, one.historical) for one in await messages(second, 2)] == [
        ("alice", b"my own", True),
        ("bob", b"missed", True),
    ]
    await bob.send(b"live")
    assert [(one.data, one.historical) for one in await messages(second, 1)] == [(b"live", False)]


async def test_a_relay_that_stores_its_messages_is_found_again_with_all_of_them(tmp_path):
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        lab.storage = StorageConfig(engine="sqlite", path=str(tmp_path / "messages.db"))
        relay = await lab.serve()
        rooms = [await lab.join(await lab.client(), "standup", user) for user in ("alice", "bob")]
        sent: list[int] = []

        async def speak() -> None:
            for number in range(100):
                sent.append((await rooms[0].send(b"%d" % number, timeout=30)).offset)

        speaking = asyncio.create_task(speak())
        heard = [int(one.data) for one in await messages(rooms[1], 20)]
        await relay.stop()
        stack.push_async_callback((await lab.serve()).stop)
        assert await until(rooms[1], Resumed) == Resumed(True, 0)
        heard += [int(one.data) for one in await messages(rooms[1], 80 - (len(heard) - 20))]
        await speaking
        assert sent == list(range(1, 101))
        assert [int(one.data) async for one in rooms[1].history(limit=200)] == list(range(100))
        await lab.stack.aclose()


def managed(authority: Authority, user: str) -> Key:
    identity = Identity.generate()
    span = {"not_before": 0, "not_after": 2_000_000_000_0}
    identity.hold(authority.certify(APP, "standup", user, identity.public, **span))
    return Key.managed(identity, authority.public)


async def test_with_managed_keys_what_was_sealed_under_another_key_meanwhile_is_told_to_be_lost(lab):
    authority = Authority.generate()
    member = await away(lab)
    alice = await member.join("standup", "alice", key=managed(authority, "alice"))
    bob = await (await lab.client()).join(
        "standup",
        user="bob",
        token=lab.token("standup", "bob"),
        key=managed(authority, "bob"),
    )
    await bob.send(b"live")
    await messages(alice, 1)
    member.go()
    await until(alice, Disconnected)
    await until(bob, MemberLeft)
    await bob.send(b"at once")
    await asyncio.sleep(1.5)
    await bob.send(b"under the next key")
    member.come_back()
    assert await until(alice, Resumed) == Resumed(True, 0)
    assert [one.data for one in await messages(alice, 1)] == [b"at once"]
    failure = await until(alice, SealFailure)
    assert isinstance(failure, SealFailure)
    assert (failure.user, failure.reason, failure.count) == ("bob", "key_missing", 1)
    await bob.send(b"live again")
    assert [one.data for one in await messages(alice, 1)] == [b"live again"]


@pytest.mark.parametrize("seed", range(4))
async def test_through_any_number_of_breaks_everybody_gets_everything_once_and_in_order(lab, seed):
    chance = random.Random(seed)
    members = [await away(lab) for _ in range(3)]
    rooms = [await member.join("standup", f"user {n}") for n, member in enumerate(members)]
    each, over = 40, asyncio.Event()
    total = each * len(rooms)
    heard: list[dict[int, Message]] = [{} for _ in rooms]
    receipts: dict[int, bytes] = {}

    async def speak(n: int) -> None:
        for number in range(each):
            payload = b"%d: %d" % (n, number)
            receipt = await rooms[n].send(payload, timeout=60)
            assert receipt.offset not in receipts
            receipts[receipt.offset] = payload
            await asyncio.sleep(0.001)

    async def listen(n: int) -> None:
        last = 0
        while len(heard[n]) < total - each:
            event = await anext(rooms[n])
            if isinstance(event, Message):
                assert event.offset > last, "in order, and once"
                last = event.offset
                heard[n][last] = event
            elif isinstance(event, Resumed):
                assert event.recovered

    async def breaks() -> None:
        while not over.is_set():
            await asyncio.sleep(chance.uniform(0.0, 0.05))
            wire = chance.choice(members).wire
            if chance.random() < 0.3:
                flow = chance.choice([wire.flowing, wire.answering])
                flow.clear()
                await asyncio.sleep(chance.uniform(0.0, 0.03))
                wire.cut()
                flow.set()
            else:
                wire.cut()

    breaking = asyncio.create_task(breaks())
    async with asyncio.timeout(50):
        await asyncio.gather(*map(speak, range(3)))
        over.set()
        await breaking
        await asyncio.gather(*map(listen, range(3)))
    assert sorted(receipts) == list(range(1, total + 1))
    for n, room in enumerate(rooms):
        own = {offset for offset, payload in receipts.items() if payload.startswith(b"%d:" % n)}
        assert set(heard[n]) == set(receipts) - own
        assert all(message.data == receipts[offset] for offset, message in heard[n].items())
        assert room.stats.seal_failures == {}
    kept = {one.offset: one.data async for one in rooms[0].history(limit=1000)}
    assert kept == receipts
