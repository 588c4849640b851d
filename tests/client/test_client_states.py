"""What an application can follow of the connection, and how it asks for another one."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from sealcast.client import Disconnected, NotConnected, Resumed, State, StateChange
from sealcast.client.state import States
from sealcast.protocol import controls


async def take(changes, count: int) -> list[StateChange]:
    async with asyncio.timeout(10):
        return [await anext(changes) for _ in range(count)]


async def test_a_first_connection_is_followed_from_nothing_to_the_end(relay, lab):
    client = lab.make(token="t")
    changes = client.states()
    assert await take(changes, 1) == [StateChange(State.DISCONNECTED)]
    await client.connect()
    assert await take(changes, 2) == [StateChange(State.CONNECTING), StateChange(State.CONNECTED)]
    await client.close()
    assert await take(changes, 1) == [StateChange(State.CLOSED)]
    with pytest.raises(StopAsyncIteration):
        await anext(changes)
    assert await take(client.states(), 1) == [StateChange(State.CLOSED)]


async def test_a_loss_says_why_and_each_attempt_how_long_it_waits(relay, lab):
    client = await lab.client(token="t")
    await client.join("standup", user="alice", key=lab.key)
    changes = client.states()
    await take(changes, 1)
    relay.refusals += [(503, {}), (502, {"Retry-After": "30"})]
    relay.session.cut()
    assert await take(changes, 5) == [
        StateChange(State.RECONNECTING, "connection_lost"),
        StateChange(State.RECONNECTING, "connection_lost", 0, 1.0),
        StateChange(State.RECONNECTING, "http_503", 1, 2.0),
        StateChange(State.RECONNECTING, "http_502", 2, 34.0),
        StateChange(State.CONNECTED),
    ]


async def test_an_end_for_good_keeps_its_reason(relay, lab):
    client = await lab.client(token="t")
    await client.join("standup", user="alice", key=lab.key)
    changes = client.states()
    await take(changes, 1)
    await relay.session.close("banned")
    assert await take(changes, 1) == [StateChange(State.DISCONNECTED, "banned")]


async def test_readers_do_not_disturb_each_other_and_a_slow_one_has_the_latest():
    states = States()
    fast, slow = states.follow(), states.follow()
    await anext(fast), await anext(slow)
    for attempt in range(200):
        states.become(StateChange(State.RECONNECTING, "x", attempt, 1.0))
        assert (await anext(fast)).attempt == attempt
    waiting = [(await anext(slow)).attempt for _ in range(64)]
    assert waiting == list(range(136, 200))
    await fast.aclose()
    states.become(StateChange(State.CLOSED))
    assert (await anext(slow)).state is State.CLOSED
    states.become(StateChange(State.CONNECTED))
    assert states.latest.state is State.CLOSED


async def test_a_reconnect_makes_a_new_connection_without_a_wait(relay, lab):
    room = await lab.joined()
    client = await lab.client(token="t")
    await client.join("other", user="alice", key=lab.key)
    changes = client.states()
    await take(changes, 1)
    client.reconnect()
    assert await take(changes, 3) == [
        StateChange(State.RECONNECTING, "asked"),
        StateChange(State.RECONNECTING, "asked", 0, 0.0),
        StateChange(State.CONNECTED),
    ]
    other = client.channels["other"]
    assert await lab.told(other, Disconnected) == Disconnected(4005, "asked", True)
    assert await lab.told(other, Resumed) == Resumed(True, 0)
    assert lab.naps.taken == []
    assert room.joined


async def test_a_reconnect_cuts_a_wait_short(relay, lab):
    room = await lab.joined()
    lab.naps.hold()
    relay.session.cut()
    await lab.told(room, Disconnected)
    async with asyncio.timeout(10):
        await lab.naps.began.wait()
    [client] = lab.clients
    client.reconnect()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert len(lab.naps.taken) == 1


async def test_a_reconnect_cuts_an_attempt_short_that_hangs(relay, lab):
    room = await lab.joined()
    relay.greet = False
    relay.session.cut()
    await lab.told(room, Disconnected)
    await relay.until(lambda: len(relay.sessions) == 2)
    relay.greet = True
    [client] = lab.clients
    client.reconnect()
    assert await lab.told(room, Resumed) == Resumed(True, 0)
    assert len(relay.sessions) == 3


async def test_a_reconnect_loses_no_message(relay, lab):
    room = await lab.joined()
    relay.hold_acks = True
    sending = asyncio.create_task(room.send(b"hello"))
    await relay.until(lambda: relay.session.held)
    relay.hold_acks = False
    lab.clients[0].reconnect()
    assert (await sending).offset == 1
    assert relay.session.last(controls.Join).since is not None


async def test_without_channels_or_a_connection_a_reconnect_does_no_harm(relay, lab):
    client = lab.make(token="t")
    client.reconnect()
    assert client.state is State.DISCONNECTED
    await client.connect()
    client.reconnect()
    room = await client.join("standup", user="alice", key=lab.key)
    assert room.joined
    await client.close()
    with pytest.raises(NotConnected, match="closed"):
        client.reconnect()


async def test_closing_during_a_wait_or_an_attempt_leaves_nothing_behind(relay, lab):
    room = await lab.joined()
    relay.greet = False
    relay.session.cut()
    await lab.told(room, Disconnected)
    await relay.until(lambda: len(relay.sessions) == 2)
    await lab.clients[0].close()
    with contextlib.suppress(StopAsyncIteration):
        await lab.rest(room)
    assert lab.clients[0].state is State.CLOSED
