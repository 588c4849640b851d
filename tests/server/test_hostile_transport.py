"""WebSocket frames that break the rules, floods of them, and ends without a close."""

from __future__ import annotations

import asyncio
import os
import struct
from typing import TYPE_CHECKING

import pytest

from sealcast.protocol import controls
from sealcast.protocol.controls import MemberLeft, Ping, Pong

if TYPE_CHECKING:
    from .conftest import Lab

pytestmark = pytest.mark.timeout(30)

TOO_BIG = 262_144 + 16 + 1
"""One byte more than the largest message: a frame of the default limit, its envelope and ref."""


@pytest.mark.parametrize("text", [b"hello", b"", b"\xff not UTF-8"])
@pytest.mark.parametrize("fin", [True, False])
async def test_a_text_message_ends_the_connection(lab: Lab, text: bytes, fin: bool) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire, bob = await lab.wire(relay), await lab.connect(relay)
        await wire.join("standup", "eve")
        await bob.join("standup", "bob")
        await wire.frame(1, text, fin=fin)
        assert await wire.ended() == 4504
        assert (await bob.told(MemberLeft)).reason == "text_refused"
    assert relay.metrics.ended["text_refused"] == 1


async def test_a_message_over_the_limit_ends_the_connection_before_it_has_come(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire, bob = await lab.wire(relay), await lab.connect(relay)
        await wire.join("standup", "eve")
        await bob.join("standup", "bob")
        await wire.send(b"\x82\xff" + TOO_BIG.to_bytes(8, "big"))
        assert await wire.ended() == 4503
        assert (await bob.told(MemberLeft)).reason == "too_big"
    assert relay.metrics.ended["too_big"] == 1


@pytest.mark.parametrize("piece", [200_000, 65_536, 1000])
async def test_fragments_over_the_limit_together_end_the_connection(lab: Lab, piece: int) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire, bob = await lab.wire(relay), await lab.connect(relay)
        await wire.join("standup", "eve")
        await bob.join("standup", "bob")
        await wire.frame(2, bytes(piece), fin=False)
        for _ in range(TOO_BIG // piece):
            await wire.frame(0, bytes(piece), fin=False)
        assert await wire.ended() == 4503
        assert (await bob.told(MemberLeft)).reason == "too_big"


async def test_a_message_of_exactly_the_limit_passes(lab: Lab) -> None:
    relay = await lab.serve()
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    room = await wire.join("standup", "eve")
    await bob.join("standup", "bob")
    data = room.frame(payload=os.urandom(262_144 - 5))
    assert len(data) == 262_144 + 12
    await wire.frame(2, data[:100_000], fin=False)
    await wire.frame(0, data[100_000:])
    assert await bob.receive() == lab.Frame(room.number, room.member, data[12:])


async def test_a_peer_that_is_no_member_may_not_send_more_than_a_control(lab: Lab) -> None:
    """Thousands of connections without a token must not be able to park a frame's worth of bytes each."""
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire = await lab.wire(relay)
        await wire.send(b"\x82\xfe" + (16_384).to_bytes(2, "big") + bytes(4) + bytes(16_000))
        await wire.send(bytes(384))
        assert await wire.ended() == 4501, "complete, and no control"
        wire = await lab.wire(relay)
        await wire.send(b"\x82\xfe" + (16_385).to_bytes(2, "big"))
        assert await wire.ended() == 4503


BROKEN = {
    "not masked": b"\x82\x01a",
    "reserved bit": b"\xc2\x80\0\0\0\0",
    "unknown opcode": b"\x83\x80\0\0\0\0",
    "unknown control opcode": b"\x8b\x80\0\0\0\0",
    "continues nothing": b"\x80\x80\0\0\0\0",
    "a long ping": b"\x89\xfe\x00\x7e\0\0\0\0" + bytes(126),
    "a ping in fragments": b"\x09\x80\0\0\0\0",
    "a message inside a message": b"\x02\x80\0\0\0\0\x82\x80\0\0\0\0",
    "a close of one byte": b"\x88\x81\0\0\0\0\x03",
    "a close with a forbidden code": b"\x88\x82\0\0\0\0\x03\xee",
    "a close that is not UTF-8": b"\x88\x84\0\0\0\0\x03\xe8\xff\xfe",
    "a close inside a message": b"\x02\x80\0\0\0\0\x88\x82\0\0\0\0\x03\xe8",
    "random bytes": bytes.fromhex("f7a3c2d59b1e4f60788a9bacbdcedff0"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
async def test_what_breaks_the_websocket_protocol_ends_the_connection(lab: Lab, data: bytes) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire, bob = await lab.wire(relay), await lab.connect(relay)
        room = await wire.join("standup", "eve")
        await bob.join("standup", "bob")
        await bob.settle()
        good = room.frame()
        await wire.send(lab.ws_frame(2, good) + data)
        assert await bob.receive() == lab.Frame(room.number, room.member, good[12:])
        assert await wire.ended() == 4501
        assert (await bob.told(MemberLeft)).reason == "protocol_error"
    assert relay.metrics.ended["protocol_error"] == 1


# --- floods ---


async def test_only_the_newest_of_many_pings_is_answered(lab: Lab) -> None:
    """RFC 6455 §5.5.3 allows it, and a flood of pings is not to become a flood of answers."""
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire = await lab.wire(relay)
        await wire.join("standup", "eve")
        await wire.send(b"".join(lab.ws_frame(9, b"%05d" % number) for number in range(10_000)))
        await wire.binary(controls.encode(Ping(), 5))
        pongs: list[bytes] = []
        answered = False
        while not answered or pongs[-1] != b"09999":
            opcode, payload = await wire.received()
            if opcode == 10:
                pongs.append(payload)
            elif opcode == 2:
                answered = payload == controls.encode(Pong(), 5) or answered
        assert pongs == sorted(pongs)
        assert len(pongs) < 1000


async def test_pings_of_a_peer_that_never_reads_pile_up_nowhere(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire, bob = await lab.wire(relay, room_for=4096), await lab.connect(relay)
        transport = opened[-2]
        await wire.join("standup", "eve")
        room = await bob.join("standup", "bob")
        # Fill its buffer first, so that every answer would have to wait.
        while transport.get_write_buffer_size() < 64 * 1024:
            await bob.frame(room, payload=bytes(60_000))
            await bob.settle()
        before = transport.get_write_buffer_size()
        for _ in range(30):
            await wire.send(lab.ws_frame(9, bytes(125)) * 1000)
            await bob.settle()
        assert transport.get_write_buffer_size() <= before + 1000


@pytest.mark.parametrize("opcode", [10, 0])
async def test_floods_of_frames_that_mean_nothing_pass_by(lab: Lab, opcode: int) -> None:
    relay = await lab.serve(unauthenticated=10)
    async with lab.undisturbed(relay):
        wire = await lab.wire(relay)
        if opcode == 0:
            await wire.frame(2, b"", fin=False)
        for _ in range(10):
            await wire.send(lab.ws_frame(opcode, b"", fin=opcode != 0) * 1000)
        lab.later(10)
        assert await wire.ended() == 4502, "it does not count as joining"


# --- ends ---


async def test_a_close_without_a_close_frame_is_noticed(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        bob = await lab.connect(relay)
        await bob.join("standup", "bob")
        for how in ("close", "reset", "half"):
            wire = await lab.wire(relay)
            await wire.join("standup", "eve")
            await bob.settle()
            if how == "close":
                wire.close()
            elif how == "reset":
                wire.sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER: close by RST
                wire.close()
            else:
                wire.sock.shutdown(1)
            assert (await bob.told(MemberLeft)).reason == "connection_lost"
            if how == "half":
                assert await wire.ended() is None
    assert relay.metrics.ended["connection_lost"] == 3


async def test_an_end_in_the_middle_of_a_message_is_an_end(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire, bob = await lab.wire(relay), await lab.connect(relay)
        room = await wire.join("standup", "eve")
        await bob.join("standup", "bob")
        await bob.settle()
        await wire.send(lab.ws_frame(2, room.frame())[:-1])
        wire.close()
        assert (await bob.told(MemberLeft)).reason == "connection_lost"
        assert await bob.settle() == []


@pytest.mark.parametrize(("sent", "answered"), [(b"\x03\xe8bye", b"\x03\xe8bye"), (b"", b"")])
async def test_a_close_is_answered(lab: Lab, sent: bytes, answered: bytes) -> None:
    relay = await lab.serve()
    wire = await lab.wire(relay)
    await wire.join("standup", "eve")
    await wire.frame(8, sent)
    while (received := await wire.received())[0] != 8:
        pass
    assert received[1] == answered
    assert await wire.ended() is None


async def test_what_is_sent_before_a_close_in_the_same_segment_still_counts(lab: Lab) -> None:
    relay = await lab.serve()
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    room = await wire.join("standup", "ann")
    await bob.join("standup", "bob")
    frame, message = room.frame(), room.message(7)
    await wire.send(
        b"".join((lab.ws_frame(2, frame), lab.ws_frame(2, message), lab.ws_frame(8, b"\x03\xe8")))
    )
    assert await bob.receive() == lab.Frame(room.number, room.member, frame[12:])
    assert (await bob.receive()).sealed == message[16:]  # type: ignore[union-attr]
    assert (await bob.told(MemberLeft)).reason == "left"


async def test_a_peer_that_does_not_finish_the_close_is_cut(lab: Lab) -> None:
    relay = await lab.serve(close=2)
    wire = await lab.wire(relay)
    await wire.frame(1, b"text")
    while (await wire.received())[0] != 8:
        pass
    lab.later(1.8)
    assert relay.metrics.connections == 1
    lab.later(0.2)
    assert not await wire.more()
    assert relay.metrics.connections == 0
