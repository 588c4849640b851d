"""A server that breaks the rules: nothing it says may hurt more than its own connection."""

from __future__ import annotations

import asyncio
import random

import msgpack
import pytest

from sealcast.client import (
    Client,
    ConnectFailed,
    Disconnected,
    Dropped,
    Frame,
    Left,
    MemberJoined,
    MemberLeft,
    Message,
    SealFailure,
    State,
)
from sealcast.protocol import controls, envelope
from sealcast.protocol.names import Kind


def control(name: str, ref: object, body: object) -> bytes:
    return b"\x00" + msgpack.packb([name, ref, body])


BROKEN = {
    "nothing at all": b"",
    "an unknown type": b"\x07",
    "a type of clients only": envelope.message(17, 1, 1, bytes(40)),
    "a control that is no MessagePack": b"\x00\xc1",
    "a control that is no array": b"\x00" + msgpack.packb({"left": 1}),
    "a control cut short": b"\x00" + msgpack.packb(["left", 0, {}])[:-1],
    "a control with bytes left over": control("pong", 0, {}) + b"\x00",
    "a control with an extension type": b"\x00" + msgpack.packb(["left", 0, msgpack.ExtType(1, b"x")]),
    "a bomb of nested arrays": b"\x00" + b"\x91" * 10_000 + b"\xc0",
    "an array that claims four billion entries": b"\x00\xdd\xff\xff\xff\xff",
    "a field of a wrong type": control("left", 0, {"channel": "17", "code": 4500, "name": "left"}),
    "a field that is missing": control("member_left", 0, {"channel": 17, "member": 2}),
    "a negative number": control("dropped", 0, {"channel": 17, "counts": {"audio": -1}}),
    "an answer that nobody asked for": control("ack", 99, {"channel": 17, "offset": 1}),
    "an answer without a ref": control("joined", 0, {}),
    "a second welcome": control("welcome", 0, {"server": "x", "node": "y", "heartbeat": 1, "limits": {}}),
    "a frame cut short": envelope.frame(17, 2, b"\x11\x00\x00")[:14],
    "a frame with reserved bytes": b"\x01\x00\x00\x01" + bytes(40),
    "a message cut short": envelope.delivered(17, 2, 1, b"abc"),
    "our own number for another": control("member_joined", 0, {"channel": 17, "member": 1, "user": "eve"}),
    "a user with a name that none can have": control(
        "member_joined", 0, {"channel": 17, "member": 9, "user": "\x1b[31m"}
    ),
    "a text message": "hello",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
async def test_a_breach_of_the_protocol_closes_the_connection_and_says_so(relay, lab, data):
    room = await lab.joined()
    await relay.session.raw(data)
    disconnected, left = await lab.rest(room)
    name, code = ("text_refused", 4504) if isinstance(data, str) else ("protocol_error", 4501)
    assert disconnected == Disconnected(code, name, False)
    assert disconnected.message.startswith("the server broke the protocol: ")
    assert isinstance(left, Left)
    assert left.name == name
    await relay.until(lambda: relay.gone)
    assert relay.session.ws.close_code == code
    assert len(relay.sessions) == 1


async def test_an_ack_for_another_channel_than_the_messages_is_a_breach(relay, lab):
    client = await lab.client(token="t")
    room, _ = [await client.join(name, user="alice", key=lab.key) for name in ("one", "two")]
    relay.hold_acks = True
    sending = asyncio.create_task(room.send(b"hello"))
    await relay.until(lambda: relay.session.held)
    _, ref = relay.session.held.pop()
    await relay.session.raw(control("ack", ref, {"channel": relay.room("two").number, "offset": 1}))
    assert "protocol" in repr(await asyncio.gather(sending, return_exceptions=True))
    assert (await lab.rest(room))[-1].name == "protocol_error"


async def test_a_roster_that_contradicts_itself_is_a_breach(relay, lab):
    client = await lab.client()
    bob = relay.peer("standup", "bob", lab.key, number=7)
    relay.room("standup").peers += [bob, bob]
    with pytest.raises(Exception, match="protocol"):
        await client.join("standup", user="alice", token="t", key=lab.key)
    await relay.until(lambda: relay.gone)


async def test_a_message_over_the_size_that_any_server_may_send_ends_the_connection(relay, lab):
    room = await lab.joined()
    await relay.session.raw(b"\x01" + bytes(controls.SERVER_CONTROL_MAX))
    disconnected, _ = await lab.rest(room)
    assert (disconnected.name, disconnected.will_retry) == ("too_big", False)


async def test_a_newer_servers_controls_and_fields_are_ignored(relay, lab):
    room = await lab.joined()
    number = relay.room("standup").number
    await relay.session.raw(control("confetti", 0, {"channel": number, "colour": "red"}))
    await relay.session.raw(control("token_expiring", 0, {"channel": number, "seconds": 5, "more": [1, 2]}))
    assert type(await lab.next(room)).__name__ == "TokenExpiring"


async def test_controls_and_frames_for_channels_that_are_not_joined_are_ignored(relay, lab):
    room = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(room, MemberJoined)
    session = relay.session
    await session.raw(control("left", 0, {"channel": 99, "code": 4507, "name": "kicked"}))
    await session.raw(control("member_left", 0, {"channel": 99, "member": 2, "reason": "left"}))
    await session.raw(envelope.frame(99, 2, bytes(40)))
    await session.raw(envelope.delivered(99, 2, 1, bytes(40)))
    await bob.frame(b"still here")
    assert (await lab.told(room, Frame)).data == b"still here"


async def test_frames_of_nobody_are_counted_and_not_delivered(relay, lab):
    room = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(room, MemberJoined)
    number = relay.room("standup").number
    sealed = bob.seal(Kind.AUDIO, b"ghost")
    for member in (99, room.member):
        await relay.session.raw(envelope.frame(number, member, sealed))
    await relay.session.raw(envelope.delivered(number, 99, 1, sealed))
    await bob.frame(b"real")
    assert (await lab.told(room, Frame)).data == b"real"
    assert room.stats.unknown_senders == 3


async def test_frames_that_do_not_open_are_counted_told_once_a_second_and_answered_by_nothing(relay, lab):
    room = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(room, MemberJoined)
    number = relay.room("standup").number
    good = bob.seal(Kind.AUDIO, b"good")
    changed = good[:-1] + bytes((good[-1] ^ 1,))
    for _ in range(200):
        await relay.session.raw(envelope.frame(number, bob.number, changed))
    for proof in bob.proofs():
        await relay.session.raw(proof)
    await relay.session.raw(envelope.frame(number, bob.number, good))
    began = asyncio.get_running_loop().time()
    told: list[int] = []
    delivered = []
    # The first failure is told at once; the rest of the flood follows when a second is over.
    while sum(told) < 200:
        event = await lab.next(room)
        if isinstance(event, SealFailure):
            assert (event.member, event.user, event.reason) == (bob.number, "bob", "open_failed")
            told.append(event.count)
        else:
            delivered.append(event)
    assert told[0] == 1
    assert len(told) <= 2 + asyncio.get_running_loop().time() - began
    assert [event.data for event in delivered] == [b"good"]
    assert room.stats.seal_failures == {"open_failed": 200}
    assert relay.session.count(controls.Control) == 1, "the join, and nothing about the failures"
    assert relay.session.frames == []


async def test_replays_clear_text_and_wrong_envelopes_are_each_their_own_failure(relay, lab):
    room = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(room, MemberJoined)
    number = relay.room("standup").number
    once = await bob.frame(b"once")
    await lab.told(room, Frame)
    await relay.session.raw(once)
    await relay.session.raw(envelope.frame(number, bob.number, bytes((0x21, 0, 0, 2)) + b"clear"))
    await relay.session.raw(envelope.frame(number, bob.number, bob.seal(Kind.MESSAGE, b"as a frame")))
    await relay.session.raw(envelope.delivered(number, bob.number, 1, bob.seal(Kind.AUDIO, b"as a message")))
    await relay.session.raw(envelope.frame(number, bob.number, bytes(40)))
    reasons = [(await lab.told(room, SealFailure)).reason for _ in range(4)]
    assert reasons == ["replayed", "clear_text_refused", "wrong_envelope", "open_failed"]
    assert room.stats.seal_failures["wrong_envelope"] == 2
    assert room.stats.messages_received == 0


async def test_a_refused_hello_shows_a_member_that_is_not_verified_and_not_heard(relay, lab):
    bob = relay.peer("standup", "bob", lab.key)
    relay.room("standup").peers.append(bob)
    eve = relay.peer("standup", "eve", lab.key)
    eve.crypto = bob.crypto
    relay.room("standup").peers.append(eve)
    room = await lab.joined()
    assert not room.members[eve.number].verified
    assert room.members[bob.number].verified
    assert await lab.told(room, SealFailure) == SealFailure(eve.number, "eve", "hello_refused", 1)
    number = relay.room("standup").number
    await relay.session.raw(envelope.frame(number, eve.number, eve.seal(Kind.AUDIO, b"as eve")))
    assert (await lab.told(room, SealFailure)).reason == "key_missing"
    await bob.frame(b"as bob")
    assert (await lab.told(room, Frame)).user == "bob"


async def test_sealed_controls_between_members_are_not_for_the_application(relay, lab):
    room = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(room, MemberJoined)
    bob.seal(Kind.AUDIO, b"so that there is a beacon")
    [beacon] = bob.proofs()
    await relay.session.raw(beacon)
    await bob.frame(b"audio")
    assert (await lab.told(room, Frame)).data == b"audio"
    assert room.stats.frames_received == 1


async def test_a_flood_of_members_that_nobody_reads_is_bounded(relay, lab):
    room = await lab.joined(inbox_events=100)
    number = relay.room("standup").number
    for member in range(1000, 3000):
        await relay.session.raw(
            control("member_joined", 0, {"channel": number, "member": member, "user": "bot"})
        )
    while len(room.members) < 2000:
        await asyncio.sleep(0)
    assert len(room._membership.reception.inbox) == 100
    assert room.stats.dropped_by_client == 1900


@pytest.mark.parametrize(
    "first", [b"", b"\x00\xc1", control("left", 0, {}), control("pong", 1, {}), "welcome"]
)
async def test_a_server_that_does_not_begin_with_welcome_is_refused(relay, lab, first):
    relay.greet = False
    client = lab.make()
    connecting = asyncio.create_task(client.connect())
    await relay.until(lambda: relay.sessions)
    await relay.session.raw(first)
    with pytest.raises(ConnectFailed, match=r"does not speak sealcast\.1"):
        await connecting
    assert client.state is State.DISCONNECTED


async def test_a_server_that_stays_silent_while_it_is_closed_is_cut(relay, lab, monkeypatch):
    monkeypatch.setattr("sealcast.client.transport.CLOSE_TIMEOUT", 0.05)
    room = await lab.joined()
    session = relay.session
    session.ws.transport.pause_reading()
    await session.raw(b"\x07")
    assert (await lab.rest(room))[-1].name == "protocol_error"
    session.ws.transport.resume_reading()
    await relay.until(lambda: relay.gone)


@pytest.mark.parametrize("seed", range(6))
async def test_random_changes_to_what_a_server_sends_never_break_more_than_the_connection(relay, lab, seed):
    chance = random.Random(seed)
    bob = relay.peer("standup", "bob", lab.key)
    relay.room("standup").peers.append(bob)
    number = relay.room("standup").number
    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    for _ in range(30):
        client = lab.make()
        room = await client.join("standup", user="alice", token="t", key=lab.key)
        samples = [
            envelope.frame(number, bob.number, bob.seal(Kind.AUDIO, bytes(30))),
            envelope.delivered(number, bob.number, 1, bob.seal(Kind.MESSAGE, bytes(30))),
            controls.encode(
                controls.MemberJoined(channel=number, member=50, user="x", hello=bob.crypto.hello)
            ),
            controls.encode(controls.Dropped(channel=number, counts={"audio": 1})),
            controls.encode(controls.TokenExpiring(channel=number, seconds=30.0)),
            controls.encode(relay.error("bad_frame", channel=number, count=2)),
            controls.encode(controls.Renewed(channel=number, grant={"audio": 1.0}, expires_in=2.0), 9),
        ]
        for _ in range(20):
            data = bytearray(chance.choice(samples))
            for _ in range(chance.randint(1, 3)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            await relay.session.raw(bytes(data))
        await relay.session.ws.close(4500, "left")
        for event in await lab.rest(room):
            assert not isinstance(event, Message) or event.data == bytes(30)
        await client.close()
    assert failures == []


async def test_hostile_text_does_not_reach_an_event(relay, lab):
    room = await lab.joined()
    bob = relay.peer("standup", "bob", lab.key)
    await bob.join()
    await lab.told(room, MemberJoined)
    number = relay.room("standup").number
    counts = {"\x1b[31m": 1, "audio": 2, "<b>": 3}
    await relay.session.send(controls.Dropped(channel=number, counts=counts, reasons={"\x07": 6}))
    assert await lab.told(room, Dropped) == Dropped({"unknown": 4, "audio": 2}, "server", {"unknown": 6})
    await bob.leave("\x1b[31mred")
    assert (await lab.told(room, MemberLeft)).reason == "unknown"


async def test_hostile_text_does_not_reach_an_error(relay, lab):
    client = await lab.client()
    relay.joins.append(
        controls.Error(code=388, name="\x1b[31mred", message="<script>canary</script>", temporary=False)
    )
    with pytest.raises(Exception, match="388 unknown") as caught:
        await client.join("standup", user="alice", token="t", key=lab.key)
    assert "canary" not in str(caught.value)


async def test_a_server_whose_close_reason_is_nonsense_is_named_by_its_number(relay, lab):
    room = await lab.joined()
    await relay.session.ws.close(4999, "\x1b[31m" + "x" * 100)
    assert await lab.told(room, Disconnected) == Disconnected(4999, "unknown", False)


async def test_a_client_is_usable_after_a_breach(relay, lab):
    client: Client = await lab.client(token="t")
    room = await client.join("standup", user="alice", key=lab.key)
    await relay.session.raw(b"\x07")
    await lab.rest(room)
    again = await client.join("standup", user="alice", key=lab.key)
    assert (await again.send(b"a new start")).offset == 1
