"""Frames and messages that are wrong, forged or too many; another channel notices nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealcast.protocol import envelope
from sealcast.protocol.controls import Error, Leave, MemberLeft
from sealcast.protocol.names import Kind

if TYPE_CHECKING:
    from sealcast.server.relay import Relay

    from .conftest import Lab
    from .raw import Client, Room

pytestmark = pytest.mark.timeout(30)

GOOD = bytes((0x11, 0, 0, 2, 0x00)) + b"ciphertext"
GOOD_MESSAGE = bytes((0x14, 0, 0, 1, 0x00)) + b"ciphertext"


async def pair(lab: Lab, relay: Relay) -> tuple[Client, Room, Client, Room]:
    """Join an attacker and a victim to one channel."""
    eve, bob = await lab.connect(relay), await lab.connect(relay)
    theirs = await eve.join("standup", "eve")
    his = await bob.join("standup", "bob")
    for client in (eve, bob):
        await client.settle()
    return eve, theirs, bob, his


def head(room: Room, kind: int = 1) -> bytes:
    return bytes((kind, 0, 0, 0)) + envelope.route_key(room.number, room.member)


@pytest.mark.parametrize("first", [3, 4, 5, 0x10, 0x80, 0xFF])
async def test_an_unknown_type_ends_the_connection(lab: Lab, first: int) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        await eve.ws.send(bytes((first,)) + head(room)[1:] + GOOD)
        assert await eve.ended() == (4501, "protocol_error")
        assert (await bob.told(MemberLeft)).reason == "protocol_error"
    assert relay.metrics.ended["protocol_error"] == 1


async def test_an_empty_message_ends_the_connection(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve = await lab.connect(relay)
        await eve.ws.send(b"")
        assert await eve.ended() == (4501, "protocol_error")


@pytest.mark.parametrize("length", range(1, 17))
async def test_a_frame_cut_short_is_refused(lab: Lab, length: int) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        await eve.ws.send((head(room) + GOOD)[:length])
        error = await eve.told(Error)
        # With no byte of an SFrame header there is nothing sealed; before that, there is no descriptor.
        assert error.name == ("encryption_required" if length == 16 else "bad_frame")
        assert error.count == 1
        assert await bob.settle() == []


@pytest.mark.parametrize("length", range(1, 21))
async def test_a_message_cut_short_is_refused(lab: Lab, length: int) -> None:
    """A ref that is not all there is none: the answer must not bear the ref of another request."""
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        whole = head(room, 2) + b"\x01\x02\x03\x04" + GOOD_MESSAGE
        await eve.ws.send(whole[:length])
        item = await eve.receive()
        assert isinstance(item, lab.Told)
        assert isinstance(item.control, Error)
        assert item.control.name == ("encryption_required" if length == 20 else "bad_frame")
        assert item.ref == (0x01020304 if length >= 16 else 0)
        assert await bob.settle() == []


@pytest.mark.parametrize("byte", [1, 2, 3])
async def test_reserved_bytes_must_be_zero(lab: Lab, byte: int) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        for kind, rest in ((1, GOOD), (2, b"\0\0\0\x09" + GOOD_MESSAGE)):
            data = bytearray(head(room, kind) + rest)
            data[byte] = 1
            await eve.ws.send(bytes(data))
            lab.later(1)
            assert (await eve.told(Error)).name == "bad_frame"
        assert await bob.settle() == []


async def test_a_kind_travels_in_its_own_type_only(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        await eve.ws.send(head(room) + GOOD_MESSAGE)
        assert (await eve.told(Error)).name == "bad_frame"
        await eve.ws.send(head(room, 2) + b"\0\0\0\x09" + GOOD)
        assert (await eve.told(Error)).name == "bad_frame"
        assert await bob.settle() == []


async def test_a_message_without_a_ref_is_refused_like_a_frame(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        for _ in range(5):
            await eve.ws.send(head(room, 2) + bytes(4) + GOOD_MESSAGE)
        (first,) = await eve.settle()
        assert isinstance(first, lab.Told)
        assert (first.ref, first.control.name, first.control.count) == (0, "bad_frame", 1)  # type: ignore[attr-defined]
        lab.later(1)
        assert (await eve.told(Error)).count == 4
        assert await bob.settle() == []


@pytest.mark.parametrize(
    ("limit", "over"), [("frame", 0), ("frame", 1), ("message", 0), ("message", 1)], ids=str
)
async def test_limits_count_from_the_descriptor_on(lab: Lab, limit: str, over: int) -> None:
    relay = await lab.serve(lab.app(limits={"frame": 40_000, "message": 30_000}))
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        size = {"frame": 40_000, "message": 30_000}[limit]
        if limit == "frame":
            await eve.frame(room, payload=bytes(size - 5 + over))
            items = await eve.settle()
        else:
            ref = await eve.send(Leave(channel=0), 1)
            await eve.ws.send(room.message(ref + 1, payload=bytes(size - 5 + over)))
            items = [item for item in await eve.settle() if item.ref != ref]  # type: ignore[union-attr]
            await eve.settle()
        names = [item.control.name for item in items if isinstance(item.control, Error)]  # type: ignore[union-attr]
        assert names == (["too_big"] if over else [])
        assert len(await bob.settle()) == 1 - over


# --- forged numbers ---


async def test_a_forged_sender_is_refused(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    async with lab.undisturbed(relay):
        eve, room, bob, other = await pair(lab, relay)
        ann, foreign = await lab.connect(relay), await lab.connect(relay, lab.OTHER_APP)
        lunch, far = await ann.join("lunch", "ann"), await foreign.join("standup", "eve")
        forged = [
            (room.number, other.member),  # another member of the same channel
            (lunch.number, lunch.member),  # of another channel
            (lunch.number, room.member),
            (far.number, far.member),  # of another app
            (far.number, room.member),
            (room.number, 0),
            (0, room.member),
            (0, 0),
            (2**32 - 1, 2**32 - 1),
        ]
        for channel, member in forged:
            ref = next(eve.refs)
            await eve.ws.send(envelope.frame(channel, member, GOOD))
            await eve.ws.send(envelope.message(channel, member, ref, GOOD_MESSAGE))
        items = await eve.settle()
        lab.later(1)
        items += await eve.settle()
        errors = [item.control for item in items if isinstance(item, lab.Told)]
        assert all(isinstance(error, Error) and error.name == "not_joined" for error in errors)
        reported = [error.count for error in errors if error.count is not None]  # type: ignore[attr-defined]
        assert sum(reported) == len(forged)
        assert len(errors) - len(reported) == len(forged)
        for client in (bob, ann, foreign):
            assert await client.settle() == []
    assert relay.metrics.refused == {"not_joined": 2 * len(forged)}


async def test_the_numbers_of_an_ended_membership_are_worth_nothing(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        await eve.ask(Leave(channel=room.number))
        again = await eve.join("standup", "eve")
        assert again.number == room.number
        assert again.member != room.member
        await eve.ws.send(room.frame())
        assert (await eve.told(Error)).name == "not_joined"
        frame = await eve.frame(again)
        assert [item for item in [await bob.receive() for _ in range(3)] if isinstance(item, lab.Frame)] == [
            lab.Frame(again.number, again.member, frame)
        ]


# --- what is not sealed, or sealed before ---


async def test_repeated_and_decreasing_counters_are_dropped_and_reported(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        for counter in (5, 5, 4, 0, 6, 6, 7):
            await eve.ws.send(envelope.frame(room.number, room.member, lab.sealed(Kind.AUDIO, counter)))
        ref = next(eve.refs)
        await eve.ws.send(envelope.message(room.number, room.member, ref, lab.sealed(Kind.MESSAGE, 7)))
        items = await eve.settle()
        lab.later(1)
        items += await eve.settle()
        told = [(item.ref, item.control.name, item.control.count) for item in items]  # type: ignore[union-attr]
        assert sorted(told) == [
            (0, "counter_repeated", 1),
            (0, "counter_repeated", 3),
            (ref, "counter_repeated", None),
        ]
        assert len(await bob.settle()) == 3
    assert relay.metrics.refused == {"counter_repeated": 5}


@pytest.mark.parametrize(
    "sealed",
    [
        bytes((0x21, 0, 0, 2)) + b"clear text",
        bytes((0x11, 0, 0, 2)) + b"\x08\x00" + b"a counter in too many bytes",
        bytes((0x11, 0, 0, 2)) + b"\x80\x00" + b"a key id in too many bytes",
        bytes((0x11, 0, 0, 2)) + b"\xff" + b"cut",
        bytes((0x01, 0, 0, 2)) + b"\x00version 0",
        bytes((0x31, 0, 0, 2)) + b"\x00version 3",
    ],
    ids=bytes.hex,
)
async def test_what_is_not_sealed_is_refused_and_counted(lab: Lab, sealed: bytes) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, room, bob, _ = await pair(lab, relay)
        await eve.ws.send(envelope.frame(room.number, room.member, sealed))
        error = await eve.told(Error)
        assert (error.name, error.channel, error.count) == ("encryption_required", room.number, 1)
        assert await bob.settle() == []
    assert relay.metrics.refused == {"encryption_required": 1}
    assert relay.metrics.clear_frames == 0


async def test_clear_frames_pass_only_where_the_app_says_so(lab: Lab) -> None:
    relay = await lab.serve(lab.app(policy={"encryption": "optional"}))
    eve, room, bob, _ = await pair(lab, relay)
    assert room.joined.policy == {"encryption": "optional", "delivery": "realtime"}
    frame = await eve.frame(room, version=2, payload=b"hello")
    assert await bob.receive() == lab.Frame(room.number, room.member, frame)
    assert relay.metrics.clear_frames == 1


# --- floods ---


async def test_a_flood_of_bad_frames_ends_the_connection_with_few_answers(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"errors_per_minute": 100}))
    async with lab.undisturbed(relay):
        wire, bob = await lab.wire(relay), await lab.connect(relay)
        room = await wire.join("standup", "eve")
        await bob.join("standup", "bob")
        bad = lab.ws_frame(2, head(room) + bytes((0x21, 0, 0, 2)))
        await wire.send(bad * 1000)
        answers = 0
        while (received := await wire.received())[0] != 8:
            answers += 1
        assert int.from_bytes(received[1][:2], "big") == 4505
        assert answers <= 3, "a flood is not answered frame by frame"
        assert (await bob.told(MemberLeft)).reason == "too_many_errors"
    assert relay.metrics.refused["encryption_required"] == 101


async def test_errors_that_come_slowly_are_borne(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"errors_per_minute": 60}))
    eve, room, _, _ = await pair(lab, relay)
    for _ in range(200):
        await eve.ws.send(head(room) + bytes((0x21, 0, 0, 2)))
        await eve.settle()
        lab.later(1)
    await eve.message(room)


async def test_a_flood_of_good_frames_leaves_another_channel_alone(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire, bob = await lab.wire(relay), await lab.connect(relay)
        room = await wire.join("standup", "eve")
        await bob.join("standup", "bob")
        for _ in range(10):
            await wire.send(b"".join(lab.ws_frame(2, room.frame(payload=b"")) for _ in range(2000)))
        received = 0
        while received < 20_000:
            await bob.receive()
            received += 1


FRAMES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        bytes.__add__, st.sampled_from((b"\1\0\0\0", b"\2\0\0\0", b"\0", b"\3\0\0\0")), st.binary(max_size=60)
    ),
)


@given(data=st.lists(FRAMES, max_size=30))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_a_peer_sends_the_others_get_all_of_theirs_and_none_of_it(
    lab: Lab, data: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    relay = lab.relays[0] if lab.relays else await lab.serve()
    async with lab.undisturbed(relay):
        eve, _, bob, _ = await pair(lab, relay)
        wire = await lab.wire(relay)
        mine = await wire.join("standup", f"wire {os.urandom(4).hex()}")
        for item in data:
            await wire.binary(item)
            await wire.binary(mine.frame())
        wire.close()
        while not isinstance(left := await bob.receive(), lab.Told) or not isinstance(
            left.control, MemberLeft
        ):
            assert not isinstance(left, lab.Frame) or left.member == mine.member
        for client in (eve, bob):
            await client.ws.close()
    assert caplog.records == []
