"""Senders that send too much: refused with a time to wait, counted, and nobody else notices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sealcast.protocol import controls
from sealcast.protocol.controls import Error, Join, Joined
from sealcast.protocol.names import Kind
from sealcast.server import turns
from sealcast.server.config import AppRates
from sealcast.server.transport.websocket import Connection

from .stuck import drops_in, everything, frames_of, kinds_of

if TYPE_CHECKING:
    from sealcast.server.relay import Relay

    from .conftest import Lab
    from .raw import Client, Item, Room

pytestmark = pytest.mark.timeout(30)


async def serve(lab: Lab, **rates: float) -> Relay:
    """Start a relay that limits only this, with bursts of one second."""
    return await lab.serve(lab.app(rates={**dict(AppRates.unlimited()), "burst": 1, **rates}))


async def meet(lab: Lab, relay: Relay, *users: str, channel: str = "standup") -> list[tuple[Client, Room]]:
    members = []
    for user in users:
        client = await lab.connect(relay)
        members.append((client, await client.join(channel, user)))
    for client, _ in members:
        await client.settle()
    return members


def errors(lab: Lab, items: list[Item]) -> list[Error]:
    """Return the refusals among what was received."""
    controls = [item.control for item in items if isinstance(item, lab.Told)]
    return [control for control in controls if isinstance(control, Error)]


async def test_a_connection_is_told_the_rates_that_there_are(lab: Lab) -> None:
    relay = await serve(lab, frames_per_member=50, joins_per_app=600)
    wire = await lab.wire(relay)
    welcome, _ = await wire.told(controls.Welcome)
    rates = {name for name in welcome.limits if "_per_" in name}
    assert rates == {
        "frames_per_member",
        "joins_per_app",
        "joins_per_minute",
        "directs_per_minute",
        "requests_per_minute",
        "changes_per_minute",
    }
    assert (welcome.limits["frames_per_member"], welcome.limits["burst"]) == (50, 1)


async def test_frames_over_the_rate_are_refused_counted_and_reported_with_a_time_to_wait(lab: Lab) -> None:
    relay = await serve(lab, frames_per_member=50)
    (ann, room), (bob, _) = await meet(lab, relay, "ann", "bob")
    async with lab.undisturbed(relay):
        sent = [await ann.frame(room) for _ in range(80)]
        told = errors(lab, await ann.settle())
        lab.later(1.0)
        told += errors(lab, await ann.settle())
        assert [item.sealed for item in await bob.settle()] == sent[:50]  # type: ignore[union-attr]
    assert {(error.name, error.channel, error.temporary) for error in told} == {
        ("rate_limited", room.number, True)
    }
    assert sum(error.count or 0 for error in told) == 30
    assert all(error.retry_after == pytest.approx(0.02) for error in told)
    assert relay.metrics.limited == {"frames_per_member": 30}
    assert relay.metrics.refused == {"rate_limited": 30}


async def test_after_the_time_to_wait_frames_pass_again(lab: Lab) -> None:
    relay = await serve(lab, frames_per_member=50)
    (ann, room), (bob, _) = await meet(lab, relay, "ann", "bob")
    for _ in range(51):
        await ann.frame(room)
    (error,) = errors(lab, await ann.settle())
    assert error.retry_after is not None
    await bob.settle()
    lab.later(error.retry_after)
    frame = await ann.frame(room)
    assert await bob.receive() == lab.Frame(room.number, room.member, frame)


async def test_a_flood_does_not_cost_the_connection_its_life(lab: Lab) -> None:
    relay = await serve(lab, frames_per_member=10)
    (ann, room), (bob, _) = await meet(lab, relay, "ann", "bob")
    for _ in range(3_000):
        await ann.frame(room)
    await ann.settle()
    assert relay.metrics.limited["frames_per_member"] == 2_990
    assert len(await bob.settle()) == 10
    assert relay.metrics.ended == {}


async def test_bytes_over_the_rate_are_refused(lab: Lab) -> None:
    relay = await serve(lab, bytes_per_member=300_000)
    (ann, room), (bob, _) = await meet(lab, relay, "ann", "bob")
    for _ in range(10):
        await ann.frame(room, Kind.VIDEO, payload=bytes(100_000))
    (error, *_) = errors(lab, await ann.settle())
    assert error.name == "rate_limited"
    assert 0 < (error.retry_after or 0) <= 100_000 / 300_000 + 0.1
    assert len(await bob.settle()) == 2
    assert relay.metrics.limited == {"bytes_per_member": 8}


async def test_messages_over_the_rate_are_refused_each_under_its_ref(lab: Lab) -> None:
    relay = await serve(lab, messages_per_member=5)
    (ann, room), (bob, _) = await meet(lab, relay, "ann", "bob")
    for ref in range(100, 108):
        await ann.ws.send(room.message(ref))
    answers = {item.ref: item.control for item in await ann.settle() if isinstance(item, lab.Told)}
    answers |= {item.ref: item.control for item in await ann.settle() if isinstance(item, lab.Told)}
    acks = [ref for ref, control in answers.items() if isinstance(control, controls.Ack)]
    refused = {ref: control for ref, control in answers.items() if isinstance(control, Error)}
    assert (sorted(acks), sorted(refused)) == ([100, 101, 102, 103, 104], [105, 106, 107])
    assert {error.name for error in refused.values()} == {"rate_limited"}
    assert all(error.retry_after == pytest.approx(0.2) for error in refused.values())
    assert [item.offset for item in await bob.settle() if isinstance(item, lab.Message)] == [1, 2, 3, 4, 5]
    await ann.frame(room)
    assert len(await bob.settle()) <= 1, "frames go on"


SCOPES = ("member", "connection", "address", "app")


@pytest.mark.parametrize(("place", "scope"), list(enumerate(SCOPES)), ids=SCOPES)
async def test_members_of_a_scope_share_its_rate_and_others_have_their_own(
    lab: Lab, place: int, scope: str
) -> None:
    """Two channels of one connection, two connections of one address, two apps: who is counted together."""
    rates = {**dict(AppRates.unlimited()), "burst": 1, f"frames_per_{scope}": 10}
    relay = await lab.serve(lab.app(rates=rates), lab.app(lab.OTHER_APP, rates=rates))
    ann, bob, eve = (
        await lab.connect(relay),
        await lab.connect(relay),
        await lab.connect(relay, lab.OTHER_APP),
    )
    senders = [
        (ann, await ann.join("standup", "ann")),
        (ann, await ann.join("lunch", "ann")),
        (bob, await bob.join("standup", "bob")),
        (eve, await eve.join("standup", "eve")),
    ]
    accepted = []
    for client, room in senders:
        before = relay.metrics.frames_in
        for _ in range(12):
            await client.frame(room)
        await client.settle()
        accepted.append(relay.metrics.frames_in - before)
    assert accepted == [[10, 10, 10, 10], [10, 0, 10, 10], [10, 0, 0, 10], [10, 0, 0, 10]][place]


async def test_joins_are_limited_by_address_and_app_too(lab: Lab) -> None:
    relay = await lab.serve(lab.app(rates={"joins_per_address": 3}), guard={"allow": ()})
    for number in range(3):
        client = await lab.connect(relay)
        await client.join("standup", f"user{number}")
    client = await lab.connect(relay)
    error = await client.refused(Join(channel="standup", user="late", token=lab.token("standup", "late")))
    assert (error.name, error.retry_after) == ("rate_limited", pytest.approx(20))
    assert relay.metrics.limited == {"joins_per_address": 1}
    lab.later(20)
    client = await lab.connect(relay)
    late = Join(channel="standup", user="late", token=lab.token("standup", "late"))
    assert isinstance(await client.ask(late), Joined)


async def test_an_address_that_is_free_is_not_limited_by_itself(lab: Lab) -> None:
    relay = await lab.serve(lab.app(rates={"joins_per_address": 3}))
    for number in range(10):
        client = await lab.connect(relay)
        await client.join("standup", f"user{number}")
    assert relay.metrics.limited == {}


async def test_a_malformed_frame_costs_nothing_of_the_rate(lab: Lab) -> None:
    relay = await serve(lab, frames_per_member=10)
    (ann, room), (bob, _) = await meet(lab, relay, "ann", "bob")
    for _ in range(20):
        await ann.ws.send(room.frame()[:14])
    for _ in range(10):
        await ann.frame(room)
    await ann.settle()
    assert len(await bob.settle()) == 10


@pytest.mark.parametrize("kind", [Kind.AUDIO, Kind.VIDEO, Kind.CONTROL])
async def test_what_a_flood_leaves_behind_is_bounded(
    lab: Lab, opened: list[asyncio.Transport], kind: Kind
) -> None:
    """A sender as fast as it can, a member that never reads, and one that does."""
    limits = {"outbox": 200_000}
    relay = await lab.serve(lab.app(limits=limits, rates=AppRates.unlimited()))
    stuck = await lab.wire(relay, room_for=4096)
    transport = opened[-1]
    await stuck.join("standup", "stuck")
    (ann, room), (bob, _) = await meet(lab, relay, "ann", "bob")
    await stuck.told(controls.MemberJoined)
    sent = 0
    for _ in range(20):
        for _ in range(50):
            await ann.frame(room, kind, payload=bytes(2_000))
        sent += 50
        await ann.settle()
        assert transport.get_write_buffer_size() <= 64 * 1024 + 256 * 1024
    frames = [item for item in await bob.settle() if isinstance(item, lab.Frame)]
    assert len(frames) == sent, "who reads loses nothing"
    last, _ = await ann.message(room)
    received = await everything(stuck, until=last)
    dropped, _ = drops_in([*received, (await stuck.received())[1]])
    assert dropped == relay.metrics.dropped
    assert kinds_of(frames_of(received)) + dropped == {kind.name.lower(): sent}, "sent or counted"


async def test_what_comes_faster_than_it_goes_out_waits_at_its_senders_and_arrives_whole(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns of the loop are made so small that a few members are a large channel."""
    monkeypatch.setattr(turns, "SLICE", 64 * 1024)
    monkeypatch.setattr(turns, "TURN_MOST", 256 * 1024)
    held: list[Connection] = []
    original = Connection.hold
    monkeypatch.setattr(Connection, "hold", lambda self: held.append(self) or original(self))
    app = lab.app(policy={"delivery": "reliable"}, limits={"outbox": 32 * 2**20}, rates=AppRates.unlimited())
    relay = await lab.serve(app)
    readers = [await lab.connect(relay) for _ in range(4)]
    for number, reader in enumerate(readers):
        await reader.join("standup", f"reader {number}")
    wires = [await lab.wire(relay) for _ in range(3)]
    rooms = [await wire.join("standup", f"sender {number}") for number, wire in enumerate(wires)]
    bursts = [[room.frame(Kind.VIDEO, payload=bytes(30_000)) for _ in range(60)] for room in rooms]
    sending = [
        asyncio.ensure_future(wire.send(b"".join(lab.ws_frame(2, data) for data in burst)))
        for wire, burst in zip(wires, bursts, strict=True)
    ]
    for reader in readers:
        got: dict[int, list[bytes]] = {room.member: [] for room in rooms}
        while sum(map(len, got.values())) < 180:
            frame = await reader.until(lambda item: isinstance(item, lab.Frame))
            got[frame.member].append(frame.sealed)
        assert [got[room.member] for room in rooms] == [[data[12:] for data in burst] for burst in bursts]
    await asyncio.gather(*sending)
    assert held, "they were not read from for a while"
    assert relay.metrics.limited == relay.metrics.dropped == {}
    assert relay.metrics.turn_work.snapshot()
