"""A member that does not keep up: bounded memory, audio last, messages never lost, nobody else affected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Dropped, Left, MemberLeft, Ping
from sealcast.protocol.names import Kind

from .stuck import BIG, HIGH_WATER, crowd, everything

if TYPE_CHECKING:
    from .conftest import Lab

pytestmark = pytest.mark.timeout(30)


async def test_what_waits_for_a_member_that_never_reads_is_bounded(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    relay, _, transport, ann, room = await crowd(lab, opened)
    async with lab.undisturbed(relay):
        most = transport.get_write_buffer_size()
        for _ in range(200):
            await ann.frame(room, Kind.VIDEO, payload=BIG)
            await ann.settle()
        assert transport.get_write_buffer_size() <= most
    assert relay.metrics.ended == {"left": 2}, "frames alone do not end it"


async def test_one_very_large_turn_is_bounded_too(lab: Lab, opened: list[asyncio.Transport]) -> None:
    """A burst that comes in one turn must not go into every transport as a whole."""
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        stuck = await lab.wire(relay, room_for=4096)
        transport = opened[-1]
        await stuck.join("standup", "stuck")
        senders = [await lab.wire(relay) for _ in range(20)]
        rooms = [await sender.join("standup", f"sender {number}") for number, sender in enumerate(senders)]
        for _ in range(3):
            bursts = [lab.ws_frame(2, room.frame(Kind.VIDEO, payload=bytes(200_000))) for room in rooms]
            await asyncio.gather(*(sender.send(burst) for sender, burst in zip(senders, bursts, strict=True)))
        while relay.metrics.frames_in < 60:
            await lab.turn()
        assert transport.get_write_buffer_size() < 2**20


async def test_one_slow_member_costs_the_others_nothing(lab: Lab, opened: list[asyncio.Transport]) -> None:
    relay, _, _, ann, room = await crowd(lab, opened)
    bob = await lab.connect(relay)
    await bob.join("standup", "bob")
    sent = []
    for _ in range(100):
        sent.append(await ann.frame(room, Kind.VIDEO, payload=BIG))
        message, _ = await ann.message(room)
        sent.append(message)
    received = [item.sealed for item in await bob.settle() if not isinstance(item, lab.Told)]
    assert received == sent


async def test_it_ends_as_a_slow_consumer_when_its_messages_overflow(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    relay, stuck, transport, ann, room = await crowd(lab, opened)
    async with lab.undisturbed(relay):
        sent = 0
        while not ann.aside and sent < 1000:  # until something is told about the stuck one
            await ann.message(room, payload=BIG)
            sent += 1
            assert transport.get_write_buffer_size() <= 2 * HIGH_WATER + len(BIG)
        (left,) = await ann.settle()
        assert isinstance(left, lab.Told)
        assert isinstance(left.control, MemberLeft)
        assert left.control.reason == "slow_consumer"
        assert 30 <= sent <= 40, "a mebibyte of messages was kept for it"
        lab.later(1)
        await stuck.rest()
    assert relay.metrics.ended["slow_consumer"] == 1


async def test_a_member_that_reads_again_gets_every_message_and_what_is_not_too_old(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    relay, stuck, _, ann, room = await crowd(lab, opened)
    old = [await ann.frame(room, Kind.VIDEO) for _ in range(10)]
    first = [(await ann.message(room))[0] for _ in range(10)]
    lab.later(1)
    new = [await ann.frame(room) for _ in range(10)]
    second = [(await ann.message(room))[0] for _ in range(10)]
    received = await everything(stuck, until=second[-1])
    bodies = [data[envelope.DELIVERED_START :] for data in received if data[0] == envelope.DELIVERED]
    assert bodies == first + second
    offsets = [envelope.decode(data).number for data in received if data[0] == envelope.DELIVERED]
    assert offsets == list(range(1, 21))
    frames = [data[envelope.FRAME_START :] for data in received if data[0] == envelope.FRAME]
    assert frames[-10:] == new
    assert not set(frames) & set(old)
    dropped, _ = await stuck.told(Dropped)
    assert dropped.channel == room.number
    assert dropped.counts["video"] == 10
    assert relay.metrics.dropped["video"] == 10
    # Back on the shared path, nothing waits any more.
    frame = await ann.frame(room)
    assert (await stuck.received())[1][envelope.FRAME_START :] == frame


async def test_audio_is_dropped_after_everything_else(lab: Lab, opened: list[asyncio.Transport]) -> None:
    _, stuck, _, ann, room = await crowd(lab, opened)
    audio = []
    for _ in range(60):
        audio.append(await ann.frame(room, Kind.AUDIO))
        await ann.frame(room, Kind.VIDEO, payload=BIG)
        await ann.frame(room, Kind.SCREEN, payload=BIG)
    last, _ = await ann.message(room)
    received = await everything(stuck, until=last)
    assert [data for data in (item[12:] for item in received) if data in audio] == audio
    dropped, _ = await stuck.told(Dropped)
    assert dropped.counts.keys() == {"video", "screen"}
    kinds = [item[12] & 15 for item in received if item[0] == envelope.FRAME]
    assert dropped.counts["video"] == 60 - kinds.count(Kind.VIDEO)
    assert dropped.counts["screen"] == 60 - kinds.count(Kind.SCREEN)


async def test_what_a_slow_member_sends_itself_still_arrives(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    relay, stuck, _, ann, room = await crowd(lab, opened)
    (member,) = [m for m in relay.hub.app(lab.APP).channels["standup"].members.values() if m.user == "stuck"]  # type: ignore[union-attr]
    frame = lab.sealed(Kind.AUDIO, 0)
    await stuck.binary(envelope.frame(room.number, member.number, frame))
    assert await ann.receive() == lab.Frame(room.number, member.number, frame)


async def test_answers_that_nobody_reads_end_the_connection(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    relay, stuck, transport, ann, _ = await crowd(lab, opened)
    async with lab.undisturbed(relay):
        most = transport.get_write_buffer_size()
        ping = lab.ws_frame(2, controls.encode(Ping(), 1))
        while "slow_consumer" not in relay.metrics.ended:
            await asyncio.gather(stuck.send(ping * 500), return_exceptions=True)
            lab.later(0.1)
            await ann.settle()
            assert transport.get_write_buffer_size() <= most + 1000


async def test_a_slow_member_is_slow_in_all_its_channels(lab: Lab, opened: list[asyncio.Transport]) -> None:
    relay, stuck, transport, ann, room = await crowd(lab, opened)
    await stuck.binary(
        controls.encode(controls.Join(channel="lunch", user="stuck", token=lab.token("lunch", "stuck")), 2)
    )
    await ann.settle()
    bob = await lab.connect(relay)
    lunch = await bob.join("lunch", "bob")
    assert [other.user for other in lunch.joined.members] == ["stuck"]
    most = transport.get_write_buffer_size()
    sent = await bob.frame(lunch)
    message, _ = await bob.message(lunch)
    await bob.settle()
    assert transport.get_write_buffer_size() <= most
    last, _ = await ann.message(room)
    received = await everything(stuck, until=last)
    joined = next(i for i, data in enumerate(received) if b"\xa6joined" in data and i > 0)
    assert sent in received[joined + 2]
    assert message in received[joined + 3]


async def test_leaving_drops_what_waits_of_that_channel_but_not_its_messages(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    relay, stuck, _, ann, room = await crowd(lab, opened)
    frames = [await ann.frame(room) for _ in range(5)]
    message, _ = await ann.message(room)
    await stuck.binary(controls.encode(controls.Leave(channel=room.number), 9))
    await ann.told(MemberLeft)
    received = await everything(stuck, until=b"\xa4left")
    assert any(data.endswith(message) for data in received)
    assert not any(data.endswith(frame) for data in received for frame in frames)
    left, ref = controls.decode(received[-1], controls.Side.SERVER)
    assert isinstance(left, Left)
    assert ref == 9
    assert relay.metrics.dropped["audio"] == 5
