"""The hot path through real sockets: order, coalescing, offsets, and bytes that nobody touches."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Ack, Direct, Directed, Error, Leave, Sent
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Client, Room


async def meet(lab: Lab, *users: str, **limits: Any) -> list[tuple[Client, Room]]:
    """Let users join one channel; nothing is left to read."""
    relay = await lab.serve(lab.app(limits=limits))
    members = []
    for user in users:
        client = await lab.connect(relay)
        members.append((client, await client.join("standup", user)))
    for client, _ in members:
        await client.settle()
    return members


async def test_a_burst_arrives_complete_and_in_order(lab: Lab) -> None:
    (ann, room), (bob, _) = await meet(lab, "ann", "bob")
    sent = [await ann.frame(room) for _ in range(500)]
    await ann.settle()
    assert [item.sealed for item in await bob.settle()] == sent  # type: ignore[union-attr]
    relay = lab.relays[0]
    assert relay.metrics.deliveries == 500
    assert relay.metrics.turns < 500, "what comes in one turn goes out in one"


async def test_members_that_send_at_once_get_the_others_frames_only(lab: Lab) -> None:
    members = await meet(lab, *"abcdef")
    sent: dict[int, list[bytes]] = {}
    for _ in range(30):
        for client, room in members:
            sent.setdefault(room.member, []).append(await client.frame(room))
    early = [await client.settle() for client, _ in members]
    for (client, room), items in zip(members, early, strict=True):
        received: dict[int, list[bytes]] = {}
        for item in items + await client.settle():
            received.setdefault(item.member, []).append(item.sealed)  # type: ignore[union-attr]
        assert received == {member: frames for member, frames in sent.items() if member != room.member}


async def test_frames_and_messages_come_in_the_same_order_to_everybody(lab: Lab) -> None:
    members = await meet(lab, *"abcde")
    listeners = [await lab.connect(lab.relays[0]) for _ in range(2)]
    for number, listener in enumerate(listeners):
        await listener.join("standup", f"listener {number}")
    dice = random.Random(7)
    for _ in range(300):
        client, room = dice.choice(members)
        if dice.random() < 0.5:
            await client.ws.send(room.frame(dice.choice((Kind.AUDIO, Kind.VIDEO))))
        else:
            await client.ws.send(room.message(next(client.refs)))
    for client, _ in members:
        await client.settle()
    first, second = [
        [item for item in await listener.settle() if not isinstance(item, lab.Told)] for listener in listeners
    ]
    assert len(first) == 300
    assert first == second
    offsets = [item.offset for item in first if isinstance(item, lab.Message)]
    assert offsets == list(range(1, len(offsets) + 1))


async def test_acks_come_under_the_refs_of_their_messages_with_growing_offsets(lab: Lab) -> None:
    (ann, room), (bob, other) = await meet(lab, "ann", "bob")
    for ref in (900, 7, 2**32 - 1, 1):
        await ann.ws.send(room.message(ref))
    acks = [(item.ref, item.control) for item in await ann.settle() if isinstance(item, lab.Told)]
    acks += [(item.ref, item.control) for item in await ann.settle() if isinstance(item, lab.Told)]
    assert acks == [
        (ref, Ack(channel=room.number, offset=offset)) for offset, ref in enumerate((900, 7, 2**32 - 1, 1), 1)
    ]
    _, offset = await bob.message(other)
    assert offset == 5


@pytest.mark.parametrize("size", [0, 1, 108, 109, 4000, 65_500, 65_536, 200_000, 262_144 - 6])
async def test_a_frame_of_any_size_comes_out_byte_for_byte(lab: Lab, size: int) -> None:
    (ann, room), (bob, _), (eve, _) = await meet(lab, "ann", "bob", "eve")
    payload = os.urandom(size)
    sent = await ann.frame(room, Kind.VIDEO, payload=payload)
    small = await ann.frame(room)
    for client in (bob, eve):
        assert await client.receive() == lab.Frame(room.number, room.member, sent)
        assert await client.receive() == lab.Frame(room.number, room.member, small)


@pytest.mark.parametrize("size", [0, 1, 5000, 65_536 - 5])
async def test_a_message_of_any_size_comes_out_byte_for_byte(lab: Lab, size: int) -> None:
    (ann, room), (bob, _) = await meet(lab, "ann", "bob")
    sent, offset = await ann.message(room, payload=os.urandom(size))
    assert await bob.receive() == lab.Message(room.number, room.member, offset, sent)


async def test_every_flag_and_layer_of_the_descriptor_passes_unchanged(lab: Lab) -> None:
    (ann, room), (bob, _) = await meet(lab, "ann", "bob")
    dice = random.Random(7)
    for counter in range(200):
        clear = bytes((0x12, dice.randrange(0x80), dice.randrange(256), 2 + counter))
        sealed = clear + encode_header(dice.randrange(2**64), counter) + dice.randbytes(9)
        await ann.ws.send(envelope.frame(room.number, room.member, sealed))
        assert await bob.receive() == lab.Frame(room.number, room.member, sealed)


async def test_a_message_in_fragments_is_put_together(lab: Lab) -> None:
    relay = await lab.serve()
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    room = await wire.join("standup", "ann")
    await bob.join("standup", "bob")
    for pieces in (2, 3, 50):
        data = room.frame(payload=os.urandom(5000))
        step = len(data) // pieces + 1
        parts = [data[start : start + step] for start in range(0, len(data), step)]
        for number, part in enumerate(parts):
            await wire.frame(2 if number == 0 else 0, part, fin=number == len(parts) - 1)
            await wire.frame(9, b"between fragments")
        assert (await bob.until(lambda item: isinstance(item, lab.Frame))).sealed == data[12:]


async def test_a_fragmented_message_may_start_and_end_with_nothing(lab: Lab) -> None:
    relay = await lab.serve()
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    room = await wire.join("standup", "ann")
    await bob.join("standup", "bob")
    data = room.frame()
    await wire.frame(2, b"", fin=False)
    await wire.frame(0, data, fin=False)
    await wire.frame(0, b"", fin=True)
    assert await bob.receive() == lab.Frame(room.number, room.member, data[12:])


async def test_what_comes_in_one_segment_is_handled_in_order(lab: Lab) -> None:
    relay = await lab.serve()
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    room = await wire.join("standup", "ann")
    await bob.join("standup", "bob")
    frames = [room.frame() for _ in range(50)]
    leave = controls.encode(Leave(channel=room.number), 77)
    await wire.send(b"".join(lab.ws_frame(2, data) for data in (*frames, leave, room.frame())))
    received = [await bob.receive() for _ in range(50)]
    assert [item.sealed for item in received] == [data[12:] for data in frames]  # type: ignore[union-attr]
    left = await bob.receive()
    assert isinstance(left, lab.Told)
    error, _ = await wire.told(Error)
    assert error.name == "not_joined"


async def test_the_position_continues_when_a_channel_was_empty_for_a_while(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    first = await ann.join("standup", "ann")
    for _ in range(3):
        await ann.message(first)
    await ann.ask(Leave(channel=first.number))
    assert relay.hub.app(lab.APP).channels == {}  # type: ignore[union-attr]
    again = await ann.join("standup", "ann")
    assert again.number != first.number
    assert (again.joined.epoch, again.joined.offset) == (first.joined.epoch, 3)
    assert (await ann.message(again))[1] == 4


async def test_positions_of_two_channels_and_apps_are_their_own(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    ann, eve = await lab.connect(relay), await lab.connect(relay, lab.OTHER_APP)
    rooms = [
        (ann, await ann.join("standup", "ann")),
        (ann, await ann.join("lunch", "ann")),
        (eve, await eve.join("standup", "ann")),
    ]
    assert len({room.joined.epoch for _, room in rooms}) == 3
    for client, room in rooms:
        assert [(await client.message(room))[1] for _ in range(2)] == [1, 2]


async def test_a_member_that_joins_gets_what_is_sent_afterwards(lab: Lab) -> None:
    ((ann, room),) = await meet(lab, "ann")
    for _ in range(20):
        await ann.frame(room)
        bob = await lab.connect(lab.relays[0])
        other = await bob.join("standup", "bob")
        offset = other.joined.offset
        sent, new = await ann.message(room)
        items = [item for item in [*bob.aside, await bob.receive()] if isinstance(item, lab.Message)]
        assert items == [lab.Message(room.number, room.member, new, sent)]
        assert new == offset + 1


# --- data for one member ---


async def test_a_direct_reaches_one_member_and_is_answered(lab: Lab) -> None:
    (ann, room), (bob, other), (eve, _) = await meet(lab, "ann", "bob", "eve")
    answer = await ann.ask(Direct(channel=room.number, member=other.member, data=b"for bob"))
    assert answer == Sent(channel=room.number)
    assert await bob.told(Directed) == Directed(channel=room.number, member=room.member, data=b"for bob")
    assert await eve.settle() == []
    assert await ann.settle() == []


async def test_a_direct_keeps_its_place_among_what_the_member_sends(lab: Lab) -> None:
    relay = await lab.serve()
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    room = await wire.join("standup", "ann")
    other = await bob.join("standup", "bob")
    frames = [room.frame() for _ in range(4)]
    direct = controls.encode(Direct(channel=room.number, member=other.member, data=b"x"), 5)
    await wire.send(b"".join(lab.ws_frame(2, data) for data in (*frames[:2], direct, *frames[2:])))
    received = [await bob.receive() for _ in range(5)]
    assert [type(item) for item in received] == [lab.Frame, lab.Frame, lab.Told, lab.Frame, lab.Frame]


async def test_a_direct_to_somebody_who_is_not_there_is_refused(lab: Lab) -> None:
    (ann, room), (bob, other) = await meet(lab, "ann", "bob")
    elsewhere = await bob.join("lunch", "bob")
    for member in (room.member, 99, 0, 2**32 - 1):
        error = await ann.refused(Direct(channel=room.number, member=member, data=b""))
        assert (error.name, error.channel) == ("no_such_member", room.number)
    for number in (elsewhere.number, 0, 99):
        error = await ann.refused(Direct(channel=number, member=other.member, data=b""))
        assert error.name == "not_joined"
    assert await bob.settle() == []


async def test_directs_are_rate_limited(lab: Lab) -> None:
    (ann, room), (_, other) = await meet(lab, "ann", "bob", directs_per_minute=3)
    direct = Direct(channel=room.number, member=other.member, data=bytes(4096))
    for _ in range(3):
        assert isinstance(await ann.ask(direct), Sent)
    error = await ann.refused(direct)
    assert error.name == "rate_limited"
    assert error.retry_after == pytest.approx(20)
