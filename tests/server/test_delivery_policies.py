"""The delivery policies through real sockets: what a member that does not keep up gets, and is told."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from sealcast.protocol.controls import MemberLeft
from sealcast.protocol.descriptor import DISCARDABLE, KEYFRAME
from sealcast.protocol.names import Kind

from .stuck import BIG, bodies_of, crowd, drops_in, everything, frames_of, kinds_of

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Item

pytestmark = pytest.mark.timeout(30)

VIDEO, AUDIO, DATA = Kind.VIDEO, Kind.AUDIO, Kind.DATA


@pytest.mark.parametrize(
    ("channel", "policy"), [("standup", "realtime"), ("telemetry-7", "latest"), ("orders", "reliable")]
)
async def test_a_member_is_told_the_policy_of_its_channel(lab: Lab, channel: str, policy: str) -> None:
    rules = ({"pattern": "telemetry-*", "delivery": "latest"}, {"pattern": "orders", "delivery": "reliable"})
    relay = await lab.serve(lab.app(channels=rules))
    ann = await lab.connect(relay)
    assert (await ann.join(channel, "ann")).joined.policy["delivery"] == policy


# --- realtime ---


async def test_realtime_drops_video_to_its_next_keyframe_and_adds_up(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    relay, stuck, _, ann, room = await crowd(lab, opened, lab.app(limits={"outbox": 300_000}))
    filled = relay.metrics.frames_in
    video, audio, messages = [], [], []
    for number in range(60):
        flags = KEYFRAME if number % 10 == 0 else 0
        video.append(await ann.frame(room, VIDEO, flags=flags, payload=BIG[:20_000] + bytes([number])))
        audio.append(await ann.frame(room, AUDIO))
        if number % 6 == 0:
            messages.append((await ann.message(room))[0])
    received = await everything(stuck, until=messages[-1])
    frames = frames_of(received)[filled:]
    # Out of the backlog: what is undecodable is not sent, and the keyframe that is wanted comes last.
    behind = [await ann.frame(room, VIDEO, payload=b"behind the gap") for _ in range(5)]
    behind.append(await ann.frame(room, VIDEO, flags=KEYFRAME))
    behind.append(await ann.frame(room, VIDEO))
    await ann.settle()
    lab.later(1)  # drops are told once a second
    last, _ = await ann.message(room)
    rest = await everything(stuck, until=last)
    frames += frames_of(rest)
    arrived = [number for number, frame in enumerate([*video, *behind]) if frame in frames]
    assert arrived[-2:] == [65, 66]
    keyframes = {*range(0, 60, 10), 65}
    assert all(number in keyframes or number - 1 in arrived for number in arrived), "all can be decoded"
    assert [frame for frame in frames if frame in audio] == audio
    assert bodies_of(received) == messages
    told, reasons = drops_in([*received, *rest])
    assert told == {"video": 67 - len(arrived)}
    assert reasons.keys() == {"room", "keyframe"}
    assert relay.metrics.dropped == told
    assert relay.metrics.dropped_for == {f"video/{reason}": count for reason, count in reasons.items()}
    assert kinds_of(frames) + told == {"video": 67, "audio": 60}, "sent or dropped: nothing else happens"
    # The stream is whole again: the member is back on the shared path.
    last = await ann.frame(room, VIDEO)
    assert frames_of([(await stuck.received())[1]]) == [last]


async def test_realtime_drops_discardable_frames_and_upper_layers_before_the_base(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    relay, stuck, _, ann, room = await crowd(lab, opened, lab.app(limits={"outbox": 200_000}))
    filled = relay.metrics.frames_in
    payload = BIG[:10_000]
    layers = ({}, {"temporal": 2, "flags": DISCARDABLE}, {"temporal": 1}, {"spatial": 1})
    base = [await ann.frame(room, VIDEO, flags=KEYFRAME, payload=payload)]
    for _ in range(8):
        for how in layers:
            sent = await ann.frame(room, VIDEO, payload=payload, **how)
            if not how:
                base.append(sent)
    last, _ = await ann.message(room)
    received = await everything(stuck, until=last)
    frames = frames_of(received)[filled:]
    assert [frame for frame in frames if frame in base] == base, "the base layer is whole"
    told, reasons = drops_in([*received, (await stuck.received())[1]])
    assert told == {"video": 33 - len(frames)}
    assert reasons["layer"] > 0


async def test_realtime_drops_low_priority_before_high(lab: Lab, opened: list[asyncio.Transport]) -> None:
    relay, stuck, _, ann, room = await crowd(lab, opened, lab.app(limits={"outbox": 150_000}))
    filled = relay.metrics.frames_in
    sent: dict[int, list[bytes]] = {}
    for _ in range(10):
        for priority in (0, 3, 7):
            frame = await ann.frame(room, DATA, priority=priority, stream=10 + priority, payload=BIG[:8_000])
            sent.setdefault(priority, []).append(frame)
    last, _ = await ann.message(room)
    frames = frames_of(await everything(stuck, until=last))[filled:]
    kept = {priority: sum(frame in frames for frame in own) for priority, own in sent.items()}
    assert kept[7] == 10
    assert kept[0] == 0 < kept[3] < 10


# --- latest ---


async def test_latest_keeps_the_newest_frame_of_every_stream_and_every_message(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    app = lab.app(policy={"delivery": "latest"})
    relay, stuck, transport, ann, room = await crowd(lab, opened, app)
    filled = relay.metrics.frames_in
    bob = await lab.connect(relay)
    other = await bob.join("standup", "bob")
    most = transport.get_write_buffer_size()
    newest, messages = {}, []
    for number in range(100):
        for client, place in ((ann, room), (bob, other)):
            for stream in (2, 9):
                newest[place.member, stream] = await client.frame(place, DATA, stream=stream, payload=BIG)
        if number % 10 == 0:
            messages.append((await ann.message(room))[0])
    await bob.settle()
    keys = [await ann.frame(room, Kind.CONTROL) for _ in range(3)]
    last, _ = await ann.message(room)
    assert transport.get_write_buffer_size() <= most
    lab.later(60)
    received = await everything(stuck, until=last)
    frames = frames_of(received)[filled:]
    assert sorted(frames[:4]) == sorted(newest.values()), "however old, and nothing but these"
    assert frames[4:] == keys
    assert bodies_of(received) == [*messages, last]
    told, reasons = drops_in([*received, (await stuck.received())[1]])
    assert told == {"data": 400 - 4}
    assert reasons == {"replaced": 400 - 4}


# --- reliable ---


async def test_reliable_drops_nothing_and_ends_the_connection_when_the_bound_is_reached(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    app = lab.app(channels=({"pattern": "orders-*", "delivery": "reliable"},), limits={"outbox": 200_000})
    relay, stuck, _, ann, room = await crowd(lab, opened, app, "orders-1")
    async with lab.undisturbed(relay):
        told: list[Item] = []
        while not told:
            await ann.frame(room, DATA, payload=BIG)
            told = await ann.settle()
        (left,) = told
        assert isinstance(left, lab.Told)
        assert isinstance(left.control, MemberLeft)
        assert left.control.reason == "slow_consumer"
        lab.later(1)
        await stuck.rest()
    assert relay.metrics.ended["slow_consumer"] == 1
    waited = 200_000 // len(BIG) + 1
    assert relay.metrics.dropped_for == {"data/ended": waited}, "what the end took with it is counted too"


async def test_reliable_delivers_everything_however_late(lab: Lab, opened: list[asyncio.Transport]) -> None:
    app = lab.app(policy={"delivery": "reliable"})
    relay, stuck, _, ann, room = await crowd(lab, opened, app)
    filled = relay.metrics.frames_in
    sent = [await ann.frame(room, kind, payload=BIG[:5_000]) for kind in (VIDEO, AUDIO, DATA) * 20]
    await ann.settle()
    lab.later(600)
    last, _ = await ann.message(room)
    received = await everything(stuck, until=last)
    assert frames_of(received)[filled:] == sent
    assert relay.metrics.dropped == {}


# --- one connection, several channels ---


async def test_channels_of_one_connection_keep_their_own_policies(
    lab: Lab, opened: list[asyncio.Transport]
) -> None:
    rules = ({"pattern": "latest", "delivery": "latest"}, {"pattern": "reliable", "delivery": "reliable"})
    app = lab.app(channels=rules, limits={"outbox": 400_000})
    relay = await lab.serve(app)
    stuck, ann = await lab.wire(relay, room_for=4096), await lab.connect(relay)
    rooms = {}
    for name in ("realtime", "latest", "reliable"):
        await stuck.join(name, "stuck")
        rooms[name] = await ann.join(name, "ann")
    while opened[0].get_write_buffer_size() <= 64 * 1024:
        await ann.frame(rooms["reliable"], DATA, payload=BIG)
        await ann.settle()
    filled = relay.metrics.frames_in
    sent: dict[str, list[bytes]] = {name: [] for name in rooms}
    for _ in range(30):
        for name, room in rooms.items():
            size = 1_000 if name == "reliable" else 20_000
            sent[name].append(await ann.frame(room, DATA, payload=os.urandom(size)))
        await ann.settle()  # the order between channels is that of turns
    last, _ = await ann.message(rooms["reliable"])
    received = await everything(stuck, until=last)
    frames = frames_of(received)[filled:]
    counts = Counter({name: sum(frame in frames for frame in own) for name, own in sent.items()})
    assert counts["reliable"] == 30
    assert counts["latest"] == 1
    assert 0 < counts["realtime"] < 30
    assert frames[-1] == sent["reliable"][-1]
    assert [f for f in frames if f in sent["realtime"]] == sent["realtime"][-counts["realtime"] :]
