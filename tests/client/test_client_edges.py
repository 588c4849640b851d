"""The edges of one connection: silence, full tables, moving while something waits, faults of its own."""

from __future__ import annotations

import asyncio

import pytest

from sealcast.client import (
    Client,
    ConnectRefused,
    Disconnected,
    DisconnectedError,
    Draining,
    Frame,
    LimitExceeded,
    MemberJoined,
    RequestTimeout,
    Resumed,
    SealFailure,
)
from sealcast.protocol import controls, envelope
from sealcast.protocol.names import Kind


async def test_a_server_that_falls_silent_is_given_up_and_looked_for_again(relay, lab, monkeypatch):
    monkeypatch.setattr("sealcast.client.transport.CLOSE_TIMEOUT", 0.05)
    room = await lab.joined(heartbeat=0.05)
    relay.session.ws.transport.pause_reading()
    assert await lab.told(room, Disconnected) == Disconnected(4003, "heartbeat_timeout", True)
    await lab.until(room, Resumed)


async def test_more_requests_than_may_be_open_are_refused_here(relay, lab, monkeypatch):
    monkeypatch.setattr("sealcast.client.pending.PENDING_MAX", 4)
    monkeypatch.setattr("sealcast.client.link.KEPT_FREE", 1)
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    relay.hold_acks = True
    sending = [asyncio.create_task(room.send(b"x")) for _ in range(3)]
    await relay.until(lambda: len(relay.session.held) == 3)
    with pytest.raises(LimitExceeded, match="3 requests"):
        await room.send(b"one too many")
    await client.join("a control finds room", user="alice", key=lab.key)
    assert len(relay.session.messages) == 3
    for channel, ref in relay.session.held:
        relay.room("standup").offset += 1
        await relay.session.send(controls.Ack(channel=channel, offset=relay.room("standup").offset), ref)
    assert len(await asyncio.gather(*sending)) == 3
    # Refused before it was sealed: the next one has the next counter.
    relay.hold_acks = False
    assert (await room.send(b"now")).offset == 4


async def test_what_is_sent_while_the_connection_moves_goes_out_on_the_next(relay, lab):
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    relay.hold_acks = True
    first = asyncio.create_task(room.send(b"first"))
    await relay.until(lambda: relay.session.held)
    old = relay.session
    await old.send(controls.Drain(delay=0.0))
    await lab.told(room, Draining)
    while client._connection.link.closing is None:
        await asyncio.sleep(0)
    second = asyncio.create_task(room.send(b"second"))
    joining = asyncio.create_task(client.join("other", user="alice", key=lab.key))
    assert not room.stream("audio").send(b"dropped")
    for _ in range(50):
        await asyncio.sleep(0)  # time enough to close, if it did not wait for the ack
    relay.hold_acks = False
    channel, ref = old.held.pop()
    relay.room("standup").offset = 1
    await old.send(controls.Ack(channel=channel, offset=1), ref)
    assert (await first).offset == 1
    assert (await second).offset == 2
    assert (await joining).joined
    assert len(old.messages) == 1
    assert len(relay.sessions) == 2
    assert old.count(controls.Join) == 1


async def test_a_message_that_waits_for_room_goes_out_on_the_connection_that_has_it(relay, lab):
    room = await lab.joined(queue_bytes=250_000)
    data = room.stream("data")
    old = relay.session
    old.ws.transport.pause_reading()
    refused = 0
    while refused < 20:
        refused = 0 if data.send(bytes(200_000)) else refused + 1
        await asyncio.sleep(0)
    sending = asyncio.create_task(room.send(bytes(60_000)))
    await asyncio.sleep(0)
    old.cut()
    assert (await sending).offset == 1
    assert old.messages == []
    assert len(relay.session.messages) == 1


async def test_a_membership_that_is_new_when_a_message_has_its_turn_is_the_one_it_is_sent_by(relay, lab):
    room = await lab.joined(queue_bytes=250_000)
    data = room.stream("data")
    old = relay.session
    transport = old.ws.transport
    transport.pause_reading()
    refused = 0
    while refused < 20:
        refused = 0 if data.send(bytes(200_000)) else refused + 1
        await asyncio.sleep(0)
    sending = asyncio.create_task(room.send(bytes(60_000)))
    await asyncio.sleep(0)
    # The server ends the membership for a reason to come back; the connection stays.
    await old.end(relay.room("standup"), "internal_error")
    await lab.told(room, Disconnected)
    transport.resume_reading()
    assert (await sending).offset == 1
    assert relay.sessions == [old]
    assert len(old.messages) == 1
    assert old.unrouted == data.sent, "the frames were on their way under the old number already"


async def test_failures_of_several_kinds_are_each_told_in_their_time(relay, lab, monkeypatch):
    for module in ("failures", "reception"):
        monkeypatch.setattr(f"sealcast.client.{module}.REPORT_EVERY", 0.02)
    room = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(room, MemberJoined)
    number = relay.room("standup").number
    once = await bob.frame(b"once")
    await lab.told(room, Frame)
    broken = envelope.frame(number, bob.number, bob.seal(Kind.AUDIO, b"x")[:-1])
    told: dict[str, int] = {"replayed": 0, "open_failed": 0}
    for _ in range(100):
        await relay.session.raw(once)
        await relay.session.raw(broken)
    while sum(told.values()) < 200:
        failure = await lab.told(room, SealFailure)
        told[failure.reason] += failure.count
    assert told == {"replayed": 100, "open_failed": 100}


async def test_asking_on_a_connection_that_has_just_ended_says_so(relay, lab):
    client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    link = client._connection.link
    relay.session.cut()
    await lab.told(room, Disconnected)
    with pytest.raises(DisconnectedError, match="connection_lost"):
        await link.request(controls.Ping(), 1.0, 0)


async def test_a_pong_is_an_answer_too(relay, lab):
    client = await lab.client()
    link = client._connection.link
    relay.ignored.add(controls.Ping)
    asking = asyncio.create_task(link.request(controls.Ping(), 10.0, 0))
    await relay.until(lambda: relay.session.count(controls.Ping) == 1)
    await relay.session.send(controls.Pong(), 1)
    assert await asking == controls.Pong()


async def test_a_fault_in_a_background_task_is_reported(relay, lab):
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    client = await lab.client()

    async def faulty() -> None:
        raise RuntimeError("a fault")

    client._connection.link.spawn(faulty())
    while not reported:
        await asyncio.sleep(0)
    assert [str(context["exception"]) for context in reported] == ["a fault"]


async def test_a_proxy_that_is_none_is_a_clear_error(relay, lab):
    async with asyncio.timeout(10):
        client = Client(relay.url, app_id=lab.app_id, proxy="gopher://127.0.0.1:1")
        with pytest.raises(ConnectRefused, match="proxy"):
            await client.connect()


async def test_a_join_waits_only_so_long_for_an_earlier_one_to_be_undone(relay, lab):
    relay.ignored.add(controls.Join)
    client = await lab.client(token="t")
    for _ in range(2):
        with pytest.raises(RequestTimeout):
            await client.join("standup", user="alice", key=lab.key, timeout=0.02)
    await relay.until(lambda: relay.session.count(controls.Join) == 2)


async def test_a_fault_in_the_writer_ends_the_connection_and_is_reported(relay, lab, monkeypatch):
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    room = await lab.joined()

    async def faulty() -> bytes:
        raise RuntimeError("a fault")

    link = room._membership.route.link
    monkeypatch.setattr(type(link._outgoing), "get", lambda self: faulty())
    room.stream("audio").send(b"wakes the writer")
    assert (await lab.rest(room))[-1].name == "internal_error"
    assert "a fault" in [str(context["exception"]) for context in reported]


async def test_what_the_server_says_last_counts_also_while_this_side_is_about_to_leave(relay, lab):
    room = await lab.joined()
    relay.hold_acks = True
    sending = asyncio.create_task(room.send(b"held"))
    await relay.until(lambda: relay.session.held)
    await relay.session.send(controls.Drain(delay=0.0))
    await lab.told(room, Draining)
    await relay.session.close("banned")
    assert (await lab.rest(room))[-1].name == "banned"
    assert isinstance((await asyncio.gather(sending, return_exceptions=True))[0], DisconnectedError)
