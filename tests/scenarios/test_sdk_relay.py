"""The SDK and the relay together, by their public surfaces: what an application sees.

The connection goes through a small proxy that a test can cut, so that both ends see a broken network.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from sealcast.client import (
    Channel,
    ChannelClosed,
    Client,
    ConnectRefused,
    Disconnected,
    Draining,
    Dropped,
    Frame,
    JoinRefused,
    Key,
    Left,
    LimitExceeded,
    Member,
    MemberJoined,
    MemberLeft,
    Message,
    NotPermitted,
    Refused,
    Renewed,
    RequestRefused,
    Resumed,
    SealFailure,
    TokenExpiring,
)
from sealcast.client.tokens import mint
from sealcast.server.relay import Relay

from .sdk_lab import APP, CERTIFICATE, OTHER_APP, PATIENCE, Lab, rest, told


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        relay = await lab.serve()
        stack.push_async_callback(relay.stop)
        yield lab


@pytest_asyncio.fixture
async def relays(lab: Lab) -> AsyncIterator[Callable[..., Awaitable[Relay]]]:
    """Provide relays with other options, in place of the lab's."""

    async def serve(**how: Any) -> Relay:
        lab.port = 0
        relay = await lab.serve(**how)
        stack.push_async_callback(relay.stop)
        return relay

    async with contextlib.AsyncExitStack() as stack:
        yield serve
        await lab.stack.aclose()  # clients before their relay


async def conversation(lab: Lab) -> None:
    """Two members talk: the whole public surface in one go."""
    alice, bob = await lab.client(), await lab.client()
    room = await lab.join(alice, "standup", "alice")
    other = await lab.join(bob, "standup", "bob")
    assert await told(room, MemberJoined) == MemberJoined(2, "bob", True)
    assert dict(other.members) == {1: Member(1, "alice", True)}

    receipt = await room.send(b"hello")
    assert receipt.offset == 1
    assert await told(other, Message) == Message(1, "alice", b"hello", 1, receipt.epoch)
    assert (await other.send(b"hello yourself")).offset == 2
    assert (await told(room, Message)).data == b"hello yourself"

    for kind in ("audio", "video", "screen", "data", "custom"):
        stream = room.stream(kind)
        assert stream.send(kind.encode(), keyframe=True)
        frame = await told(other, Frame)
        assert (frame.kind, frame.data, frame.keyframe) == (kind, kind.encode(), True)
        assert (frame.user, frame.stream, frame.priority) == ("alice", stream.id, stream.priority)

    await room.leave()
    assert await told(other, MemberLeft) == MemberLeft(1, "alice", "left")
    assert [type(event) for event in await rest(room)] == [Left]
    with pytest.raises(ChannelClosed):
        await room.send(b"too late")


async def test_two_members_talk(lab):
    await conversation(lab)


def test_two_members_talk_on_uvloop():
    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            lab = Lab(stack)
            stack.push_async_callback((await lab.serve()).stop)
            await conversation(lab)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


async def test_everybody_hears_the_same_messages_in_the_same_order(lab):
    rooms = [await lab.join(await lab.client(), "standup", f"user {n}") for n in range(4)]

    async def send(room: Channel) -> None:
        for n in range(25):
            await room.send(f"{room.user}: {n}".encode())

    async def hear(room: Channel) -> list[tuple[int, bytes]]:
        heard: list[tuple[int, bytes]] = []
        while len(heard) < 75:
            async with asyncio.timeout(PATIENCE):
                event = await anext(room)
            if isinstance(event, Message):
                heard.append((event.offset, event.data))
        return heard

    *_, one, two, three, four = await asyncio.gather(*map(send, rooms), *map(hear, rooms))
    everything = dict(one + two)
    assert sorted(everything) == list(range(1, 101))
    for heard in (one, two, three, four):
        assert [offset for offset, _ in heard] == sorted(offset for offset, _ in heard)
        assert all(everything[offset] == data for offset, data in heard)


async def test_a_broken_connection_comes_back_and_says_truly_what_was_missed(lab):
    wire = await lab.wire()
    alice = await lab.join(await lab.client(wire.url), "standup", "alice")
    bob = await lab.join(await lab.client(), "standup", "bob")
    await told(alice, MemberJoined)
    await bob.send(b"seen")
    await told(alice, Message)
    mic = alice.stream("audio")
    assert mic.send(b"before")
    assert (await told(bob, Frame)).data == b"before"

    wire.cut()
    assert (await told(alice, Disconnected)).will_retry
    assert await told(alice, Resumed) == Resumed(True, 0)
    # The relay may have noticed the break before or after the new join: bob sees a leave and a join.
    left = await told(bob, MemberLeft)
    assert left.reason in {"connection_lost", "replaced"}
    assert (await told(bob, MemberJoined)).verified
    assert mic.send(b"after")
    assert (await told(bob, Frame)).data == b"after"
    assert (await alice.send(b"still me")).offset == 2
    assert (await told(bob, Message)).data == b"still me"
    assert bob.stats.seal_failures == {}


async def test_a_relay_that_restarts_is_found_again_and_nothing_is_claimed_about_the_gap():
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        relay = await lab.serve()
        alice = await lab.join(await lab.client(), "standup", "alice")
        receipt = await alice.send(b"before")
        await relay.stop()
        await told(alice, Draining)
        assert await told(alice, Disconnected) == Disconnected(4001, "draining", True)
        stack.push_async_callback((await lab.serve()).stop)
        assert await told(alice, Resumed) == Resumed(False, None)
        after = await alice.send(b"after")
        assert after.offset == 1
        assert after.epoch != receipt.epoch


async def test_the_same_user_elsewhere_ends_the_older_membership_for_good(lab):
    first = await lab.join(await lab.client(), "standup", "alice")
    second = await lab.join(await lab.client(), "standup", "alice")
    assert [event.name for event in await rest(first)] == ["replaced"]
    assert (await second.send(b"I stay")).offset == 1


async def test_tokens_are_judged_by_the_relay_and_its_reason_comes_through(lab):
    client = await lab.client()
    for token, reason in (
        ("007nonsense", "invalid_token"),
        (lab.token("elsewhere", "alice"), "channel_mismatch"),
        (lab.token("standup", "bob"), "user_mismatch"),
        (mint(APP, "0" * 32, "standup", "alice"), "invalid_token"),
        (None, "token_required"),
    ):
        with pytest.raises(JoinRefused, match=reason):
            await client.join("standup", user="alice", token=token, key=lab.key)
    assert (await lab.join(client, "standup", "alice")).joined


async def test_a_subscriber_may_listen_and_nothing_else(lab):
    alice = await lab.join(await lab.client(), "standup", "alice")
    bob = await lab.join(await lab.client(), "standup", "bob", role="subscriber")
    with pytest.raises(NotPermitted):
        bob.stream("audio")
    with pytest.raises(NotPermitted):
        await bob.send(b"hello")
    await told(alice, MemberJoined)
    await alice.send(b"you hear me")
    assert (await told(bob, Message)).data == b"you hear me"


async def test_a_token_that_ends_soon_is_renewed_by_hand_or_ends_the_membership(lab):
    renewing = await lab.join(await lab.client(), "one", "alice", ttl=29)
    assert (await told(renewing, TokenExpiring)).seconds <= 29
    await renewing.renew(lab.token("one", "alice", ttl=3600))
    assert (await told(renewing, Renewed)).expires_in > 3000
    assert renewing.expires_in > 3000

    ending = await lab.join(await lab.client(), "two", "alice", ttl=2)
    await told(ending, TokenExpiring)
    assert [event.name for event in await rest(ending)] == ["token_expired"]


async def test_a_token_callback_keeps_a_membership_alive(lab):
    lives = iter((29, 3600))
    client = await lab.client(token=lambda channel, user: lab.token(channel, user, ttl=next(lives)))
    room = await client.join("standup", user="alice", key=lab.key)
    assert (await told(room, Renewed)).expires_in > 3000


async def test_limits_are_known_and_kept_before_anything_is_sent(lab):
    room = await lab.join(await lab.client(), "standup", "alice")
    bob = await lab.join(await lab.client(), "standup", "bob")
    assert room.message_max is not None
    assert room.frame_max is not None
    await room.send(bytes(room.message_max))
    assert room.stream("data").send(bytes(room.frame_max))
    assert len((await told(bob, Message)).data) == room.message_max
    assert len((await told(bob, Frame)).data) == room.frame_max
    with pytest.raises(LimitExceeded):
        await room.send(bytes(room.message_max + 1))


async def test_members_without_the_key_hear_nothing(lab):
    alice = await lab.join(await lab.client(), "standup", "alice")
    client = await lab.client()
    eve = await client.join(
        "standup", user="eve", token=lab.token("standup", "eve"), key=Key.raw(secrets.token_bytes(32))
    )
    await alice.send(b"a secret")
    assert (await told(eve, SealFailure)).reason == "open_failed"
    assert eve.stats.messages_received == 0


async def test_channels_and_apps_do_not_hear_each_other(lab):
    client = await lab.client()
    one, two = await lab.join(client, "one", "alice"), await lab.join(client, "two", "alice")
    elsewhere = await lab.client(app_id=OTHER_APP)
    stranger = await elsewhere.join(
        "one", user="bob", token=mint(OTHER_APP, CERTIFICATE, "one", "bob"), key=lab.key
    )
    await one.send(b"in one")
    assert (await two.send(b"in two")).offset == 1
    assert (await stranger.send(b"elsewhere")).offset == 1
    for room in (one, two, stranger):
        await room.leave()
        assert [type(event) for event in await rest(room)] == [Left]


async def test_an_app_that_the_relay_does_not_have_is_a_clear_error(lab):
    with pytest.raises(ConnectRefused, match=r"404.*App ID"):
        await lab.client(app_id="f" * 32)


async def test_an_app_may_relay_clear_text_if_it_says_so():
    async with contextlib.AsyncExitStack() as stack:
        lab = Lab(stack)
        stack.push_async_callback((await lab.serve(encryption="optional")).stop)
        rooms = []
        for user in ("alice", "bob"):
            client = await lab.client()
            token = lab.token("standup", user)
            rooms.append(await client.join("standup", user=user, token=token, key=Key.none()))
        alice, bob = rooms
        await alice.send(b"for all to read")
        assert (await told(bob, Message)).data == b"for all to read"
        assert not bob.members[1].verified


async def test_a_closed_client_leaves_its_channels(lab):
    alice = await lab.join(await lab.client(), "standup", "alice")
    async with Client(lab.url, app_id=APP, proxy=None) as client:
        await lab.join(client, "standup", "bob")
        await told(alice, MemberJoined)
    assert (await told(alice, MemberLeft)).reason == "left"


# --- limits ---


async def test_frames_that_are_sent_too_fast_are_told_to_their_sender_and_reach_nobody(lab, relays):
    await relays(more={"rates": {"frames_per_member": 20, "burst": 1}})
    room = await lab.join(await lab.client(), "standup", "alice")
    other = await lab.join(await lab.client(), "standup", "bob")
    assert isinstance(await told(room, MemberJoined), MemberJoined)
    mic = room.stream("audio")
    for number in range(100):
        assert mic.send(bytes([number]))
    refused = await told(room, Refused)
    assert (refused.name, refused.count > 0) == ("rate_limited", True)
    assert refused.retry_after is not None
    assert 0 < refused.retry_after <= 0.05
    for number in range(10):
        assert (await told(other, Frame)).data == bytes([number])


async def test_messages_that_are_sent_too_fast_are_paced_as_the_relay_says(lab, relays):
    relay = await relays(more={"rates": {"messages_per_member": 20, "burst": 0.1}})
    room = await lab.join(await lab.client(), "standup", "alice")
    receipts = await asyncio.gather(*(room.send(b"%d" % number) for number in range(8)))
    assert [receipt.offset for receipt in receipts] == list(range(1, 9))
    assert relay.metrics.limited["messages_per_member"] > 0
    assert room.stats.messages_sent == 8


async def test_a_message_that_has_no_time_to_wait_is_refused_with_the_time_that_it_takes(lab, relays):
    relay = await relays(more={"rates": {"messages_per_member": 1, "burst": 1}})
    room = await lab.join(await lab.client(), "standup", "alice")
    assert (await room.send(b"one")).offset == 1
    with pytest.raises(RequestRefused, match="rate_limited") as caught:
        await room.send(b"another", timeout=0.5)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 1
    assert relay.metrics.limited == {"messages_per_member": 1}


@pytest.mark.parametrize("policy", ["realtime", "latest"])
async def test_a_member_behind_a_slow_network_is_told_what_it_lost_and_why(lab, relays, policy):
    relay = await relays(delivery=policy)
    wire = await lab.wire()
    room = await lab.join(await lab.client(), "standup", "alice")
    slow = await lab.join(await lab.client(wire.url), "standup", "bob")
    assert slow.delivery == policy
    await told(room, MemberJoined)
    wire.answering.clear()
    cam = room.stream("video")
    sent = 0
    async with asyncio.timeout(PATIENCE):
        while relay.metrics.dropped["video"] < 50:
            sent += cam.send(bytes(50_000), keyframe=sent == 0)
            await asyncio.sleep(0)
    await room.send(b"still there")
    wire.answering.set()
    why = {"replaced"} if policy == "latest" else {"age", "room", "keyframe"}
    received, dropped = 0, 0
    async with asyncio.timeout(PATIENCE):
        async for event in slow:
            match event:
                case Frame():
                    received += 1
                case Dropped(counts=counts, where="server", reasons=reasons):
                    dropped += counts["video"]
                    assert sum(reasons.values()) == counts["video"]
                    assert set(reasons) <= why
                case Message(data=data):
                    assert data == b"still there", "messages are not dropped"
            if received + dropped == sent:
                break
    assert slow.stats.dropped_by_server == {"video": dropped}
    assert slow.stats.dropped_reasons.total() == dropped
    assert relay.metrics.dropped == {"video": dropped}
