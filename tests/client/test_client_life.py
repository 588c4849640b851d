"""Living with a client: reading and writing at once, being cancelled, being closed, blocking nobody."""

from __future__ import annotations

import asyncio
import gc

import pytest

import sealcast.client
from sealcast.client import (
    AES_256_GCM,
    Client,
    Disconnected,
    Frame,
    Key,
    Left,
    MemberJoined,
    Message,
    Resumed,
    State,
)
from sealcast.protocol import controls
from sealcast.protocol.errors import SealcastError


async def test_many_frames_and_messages_from_both_sides_all_arrive_in_order(relay, lab):
    rooms = [await lab.joined(user=user) for user in ("alice", "bob")]
    await lab.told(rooms[0], MemberJoined)

    async def send(room) -> None:
        mic = room.stream("audio")
        for n in range(300):
            while not mic.send(f"{n}".encode()):
                await asyncio.sleep(0)
            if n % 10 == 0:
                await room.send(f"{n}".encode())

    async def receive(room) -> tuple[list[int], list[int]]:
        frames: list[int] = []
        messages: list[int] = []
        while len(frames) < 300 or len(messages) < 30:
            event = await lab.next(room)
            if isinstance(event, Frame):
                frames.append(int(event.data))
            elif isinstance(event, Message):
                messages.append(int(event.data))
        return frames, messages

    _, _, *received = await asyncio.gather(*map(send, rooms), *map(receive, rooms))
    for frames, messages in received:
        assert frames == list(range(300))
        assert messages == list(range(0, 300, 10))
    assert [session.unrouted for session in relay.sessions] == [0, 0]


async def test_nothing_blocks_the_loop(relay, lab, no_blocking_calls):
    alice = await lab.joined(user="alice")
    bob = await lab.joined(user="bob", token=lambda channel, user: "t")
    await alice.send(b"hello")
    alice.stream("audio").send(b"frame")
    assert (await lab.until(bob, Message)).data == b"hello"
    relay.session.cut()
    await lab.until(bob, Resumed)
    await bob.leave()


async def test_an_iteration_that_is_cancelled_can_be_taken_up_again(relay, lab):
    room = await lab.joined()
    reading = asyncio.create_task(anext(room))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    assert isinstance(await lab.next(room), MemberJoined)


async def test_cancelling_a_leave_leaves_all_the_same(relay, lab):
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    relay.ignored.add(controls.Leave)
    leaving = asyncio.create_task(room.leave())
    await relay.until(lambda: relay.session.count(controls.Leave) == 1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert [event.name for event in await lab.rest(room)] == ["left"]
    assert client.channels == {}


async def test_a_leave_that_is_not_answered_ends_anyway(relay, lab):
    room = await lab.joined()
    relay.ignored.add(controls.Leave)
    lab.hurry(room, 0.02)
    await room.leave()
    assert room.closed


async def test_leaving_during_the_last_moments_of_a_connection_is_a_leave(relay, lab):
    room = await lab.joined()
    relay.ignored.add(controls.Leave)
    leaving = asyncio.create_task(room.leave())
    await relay.until(lambda: relay.session.count(controls.Leave) == 1)
    relay.session.cut()
    await leaving
    assert await lab.rest(room) == [Left(4500, "left", "the member left")]


async def test_cancelling_a_close_still_frees_everything(relay, lab, monkeypatch):
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    relay.session.ws.transport.pause_reading()
    closing = asyncio.create_task(client.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert client.state is State.CLOSED
    assert room.closed
    relay.session.ws.transport.resume_reading()


async def test_an_error_in_the_block_closes_the_client(relay, lab):
    client = Client(relay.url, app_id=lab.app_id, proxy=None)

    async def fail_inside() -> None:
        async with client:
            await client.join("standup", user="alice", token="t", key=lab.key)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_inside()
    assert client.state is State.CLOSED
    await relay.until(lambda: relay.gone)


async def test_a_client_that_is_used_without_a_block_connects_at_the_first_join(relay, lab):
    client = Client(relay.url, app_id=lab.app_id, token="t", proxy=None)
    assert client.state is State.DISCONNECTED
    assert client.limits == {}
    room = await client.join("standup", user="alice", key=lab.key)
    assert room.joined
    await client.close()


async def test_a_join_in_a_group_that_fails_leaves_nothing_running(relay, lab):
    client = await lab.client(token="t")

    async def fail() -> None:
        await asyncio.sleep(0)
        raise SealcastError("elsewhere")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.join("standup", user="alice", key=lab.key))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup):
        await both()
    assert client.channels == {}
    assert (await client.join("standup", user="alice", key=lab.key)).joined


async def test_other_suites_work_between_members_that_agree(relay, lab):
    key = Key.raw(lab.secret, suite=AES_256_GCM)
    clients = [await lab.client(token="t") for _ in range(2)]
    alice, bob = [
        await client.join("standup", user=user, key=key)
        for client, user in zip(clients, ("alice", "bob"), strict=True)
    ]
    await alice.send(b"256 bits")
    assert (await lab.until(bob, Message)).data == b"256 bits"


async def test_no_future_or_task_is_left_with_an_error_that_nobody_took(relay, lab):
    lost: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: lost.append(context))
    for _ in range(3):
        client = await lab.client(token="t")
        room = await client.join("standup", user="alice", key=lab.key)
        relay.hold_acks = True
        sending = [asyncio.create_task(room.send(b"x")) for _ in range(3)]
        await relay.until(lambda: len(relay.session.held) == 3)
        sending[0].cancel()
        relay.session.cut()
        await asyncio.gather(*sending, return_exceptions=True)
        relay.hold_acks = False
        await lab.until(room, Disconnected)
        await client.close()
        del client, room, sending
    gc.collect()
    await asyncio.sleep(0)
    assert lost == []


async def test_a_fault_in_the_sdk_ends_the_channels_and_is_reported(relay, lab, monkeypatch):
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(room, MemberJoined)

    def faulty(*anything: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(room._membership.reception, "frame", faulty)
    await bob.frame(b"trigger")
    *_, left = await lab.rest(room)
    assert left.name == "internal_error"
    assert [str(context["exception"]) for context in reported] == ["a fault"]
    assert client.state is State.DISCONNECTED
    assert (await client.join("standup", user="alice", key=lab.key)).joined


def test_everything_public_is_exported_by_hand():
    exported = sealcast.client.__all__
    assert len(exported) == len(set(exported))
    for name in exported:
        assert getattr(sealcast.client, name) is not None
    for module in (sealcast.client.errors, sealcast.client.events):
        for name in module.__all__:
            if name == "Disconnected":
                continue
            assert name in exported, name
    assert sealcast.client.Disconnected is sealcast.client.events.Disconnected
    assert sealcast.client.DisconnectedError is sealcast.client.errors.Disconnected
