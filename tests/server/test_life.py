"""The life of connections and memberships: who ends what, when, and with which code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from sealcast.protocol.controls import (
    CLIENT_CONTROL_MAX,
    DIRECT_MAX,
    HELLO_MAX,
    Error,
    Join,
    Leave,
    Left,
    MemberJoined,
    MemberLeft,
    TokenExpiring,
    Welcome,
)
from sealcast.protocol.names import Privilege
from sealcast.server.config import AppRates

from .raw import Told

if TYPE_CHECKING:
    from .conftest import Lab


# --- the end of a grant ---


async def test_a_member_is_warned_thirty_seconds_before_its_grant_ends_and_then_it_ends(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", ttl=600)
    lab.later(569)
    assert await ann.settle() == []
    lab.later(1)
    (warning,) = await ann.settle()
    assert isinstance(warning, Told)
    assert isinstance(warning.control, TokenExpiring)
    assert warning.control.channel == room.number
    assert warning.control.seconds == pytest.approx(30, abs=0.2)
    lab.later(29)
    assert await ann.settle() == []
    lab.later(1)
    left = await ann.told(Left)
    assert (left.channel, left.code, left.name) == (room.number, 4004, "token_expired")
    assert await ann.ended() == (4004, "token_expired")


async def test_a_member_whose_grant_is_short_is_warned_at_once(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", ttl=10)
    lab.later(0.1)
    warning = await ann.told(TokenExpiring)
    assert warning.channel == room.number
    assert warning.seconds == pytest.approx(10, abs=0.3)


async def test_the_others_learn_that_a_grant_has_ended(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann", ttl=10)
    await bob.join("standup", "bob")
    lab.later(10)
    left = await bob.told(MemberLeft)
    assert (left.member, left.reason) == (room.member, "token_expired")
    assert await ann.ended() == (4004, "token_expired")


async def test_a_membership_ends_with_the_privilege_to_join(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    await ann.join("standup", "ann", rights={**dict.fromkeys(Privilege, 0), Privilege.JOIN: 60})
    lab.later(60)
    assert await ann.ended() == (4004, "token_expired")


async def test_the_end_of_one_grant_leaves_the_other_channels_of_the_connection(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    short = await ann.join("standup", "ann", ttl=60)
    long = await ann.join("lunch", "ann", ttl=600)
    await bob.join("lunch", "bob")
    lab.later(60)
    assert (await ann.told(Left)).channel == short.number
    await ann.ws.send(short.frame())
    assert (await ann.told(Error)).name == "not_joined"
    await ann.message(long)
    lab.later(600)
    assert await ann.ended() == (4004, "token_expired")


# --- the same user again ---


async def test_the_same_user_joining_again_replaces_the_older_membership(lab: Lab) -> None:
    relay = await lab.serve()
    old, new, bob = [await lab.connect(relay) for _ in range(3)]
    before = await old.join("standup", "ann")
    await bob.join("standup", "bob")
    after = await new.join("standup", "ann")
    assert after.member != before.member
    assert (await old.told(Left)).name == "replaced"
    assert await old.ended() == (4506, "replaced")
    told = [item.control for item in await bob.settle()]  # type: ignore[union-attr]
    assert told == [
        MemberLeft(channel=after.number, member=before.member, reason="replaced"),
        MemberJoined(channel=after.number, member=after.member, user="ann"),
    ]
    assert [other.user for other in after.joined.members] == ["bob"]


async def test_a_user_is_replaced_in_that_channel_only(lab: Lab) -> None:
    relay = await lab.serve()
    old, new = await lab.connect(relay), await lab.connect(relay)
    await old.join("standup", "ann")
    kept = await old.join("lunch", "ann")
    await new.join("standup", "ann")
    assert (await old.told(Left)).name == "replaced"
    await old.message(kept)


async def test_a_refused_join_replaces_nobody(lab: Lab) -> None:
    relay = await lab.serve()
    old, new = await lab.connect(relay), await lab.connect(relay)
    room = await old.join("standup", "ann")
    bad = lab.token("standup", "ann", certificate="0" * 32)
    assert (await new.refused(Join(channel="standup", user="ann", token=bad))).name == "invalid_token"
    await old.message(room)


async def test_a_stuck_connection_is_replaced_all_the_same(lab: Lab) -> None:
    """After a network change the old socket may hang for minutes; the user must not have to wait."""
    relay = await lab.serve()
    stuck = await lab.wire(relay, room_for=4096)
    await stuck.join("standup", "ann")
    bob, new = await lab.connect(relay), await lab.connect(relay)
    room = await bob.join("standup", "bob")
    for _ in range(40):
        await bob.frame(room, payload=bytes(60_000))
    await bob.settle()
    after = await new.join("standup", "ann")
    assert [other.user for other in after.joined.members] == ["bob"]
    frame = await bob.frame(room)
    assert await new.receive() == lab.Frame(room.number, room.member, frame)
    lab.later(1)
    await stuck.rest()  # cut off: the end of the stream is reached
    assert relay.metrics.ended == {"replaced": 1}


async def test_two_users_of_one_name_in_two_apps_are_two(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    one, two = await lab.connect(relay), await lab.connect(relay, lab.OTHER_APP)
    room = await one.join("standup", "ann")
    await two.join("standup", "ann")
    await one.message(room)


# --- leaving ---


async def test_leaving_is_answered_and_the_connection_lives_on(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    left = await ann.ask(Leave(channel=room.number))
    assert isinstance(left, Left)
    assert (left.channel, left.code, left.name) == (room.number, 4500, "left")
    again = await ann.join("standup", "ann")
    assert again.member != room.member or again.number != room.number
    await ann.message(again)


async def test_a_channel_that_is_not_joined_cannot_be_left(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await bob.join("standup", "bob")
    for number in (room.number, 0, 2**32 - 1):
        assert (await ann.refused(Leave(channel=number))).name == "not_joined"
    await bob.message(room)


async def test_a_frame_after_leaving_is_refused(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    await ann.ask(Leave(channel=room.number))
    await ann.frame(room)
    error = await ann.told(Error)
    assert (error.name, error.count) == ("not_joined", 1)
    ref = next(ann.refs)
    await ann.ws.send(room.message(ref))
    error = await ann.told(Error)
    assert error.name == "not_joined"
    told = await bob.settle()
    assert not any(isinstance(item, lab.Frame | lab.Message) for item in told)


@pytest.mark.parametrize(("code", "reason"), [(1000, "left"), (1001, "left"), (4321, "connection_lost")])
async def test_the_others_learn_how_a_connection_ended(lab: Lab, code: int, reason: str) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    await ann.ws.close(code)
    assert (await bob.told(MemberLeft)).reason == reason
    assert relay.metrics.ended == {reason: 1}


async def test_a_connection_that_breaks_is_lost(lab: Lab) -> None:
    relay = await lab.serve()
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    await wire.join("standup", "ann")
    await bob.join("standup", "bob")
    wire.close()
    assert (await bob.told(MemberLeft)).reason == "connection_lost"


# --- silence ---


async def test_a_connection_without_a_membership_is_ended(lab: Lab) -> None:
    relay = await lab.serve(unauthenticated=10)
    ann, wire = await lab.connect(relay), await lab.wire(relay)
    lab.later(9)
    await ann.settle()  # traffic does not help
    lab.later(1)
    assert await ann.ended() == (4502, "unauthenticated")
    assert await wire.ended() == 4502


async def test_a_refused_join_does_not_buy_time(lab: Lab) -> None:
    relay = await lab.serve(unauthenticated=10)
    ann = await lab.connect(relay)
    lab.later(9)
    await ann.refused(Join(channel="standup", user="ann", token="007"))
    lab.later(1)
    assert await ann.ended() == (4502, "unauthenticated")


async def test_a_member_is_not_ended_as_unauthenticated_until_it_left_its_last_channel(lab: Lab) -> None:
    relay = await lab.serve(unauthenticated=10, heartbeat=600)
    ann = await lab.connect(relay)
    one, two = await ann.join("standup", "ann"), await ann.join("lunch", "ann")
    lab.later(60)
    await ann.ask(Leave(channel=one.number))
    lab.later(60)
    await ann.ask(Leave(channel=two.number))
    lab.later(9)
    await ann.settle()
    lab.later(1)
    assert await ann.ended() == (4502, "unauthenticated")


async def test_a_silent_connection_is_pinged_and_then_ended(lab: Lab) -> None:
    relay = await lab.serve(heartbeat=20)
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    await wire.join("standup", "ann")
    await bob.join("standup", "bob")
    lab.later(20)
    while (received := await wire.received())[0] != 9:
        assert received[0] == 2
    assert received == (9, b"")
    await bob.settle()
    lab.later(10)
    await bob.settle()
    lab.later(10)
    assert (await bob.told(MemberLeft)).reason == "heartbeat_timeout"
    assert await wire.ended() == 4003


@pytest.mark.parametrize("opcode", [9, 10, 2])
async def test_anything_that_is_heard_counts_as_a_sign_of_life(lab: Lab, opcode: int) -> None:
    relay = await lab.serve(heartbeat=20)
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    room = await wire.join("standup", "ann")
    await bob.join("standup", "bob")
    payload = room.frame() if opcode == 2 else b""
    for _ in range(5):
        lab.later(19)
        await wire.frame(opcode, room.frame() if payload else b"")
        await bob.settle()  # the relay has read what was sent before
    await wire.binary(room.frame())
    await bob.until(lambda item: isinstance(item, lab.Frame) and item.member == room.member)
    assert relay.metrics.ended == {}


async def test_welcome_announces_what_is_enforced(lab: Lab) -> None:
    rates = {**dict(AppRates.unlimited()), "burst": 3, "frames_per_app": 500}
    app = lab.app(limits={"frame": 1000, "members": 5}, rates=rates)
    relay = await lab.serve(app, heartbeat=7, node="one")
    wire = await lab.wire(relay)
    welcome, ref = await wire.told(Welcome)
    assert ref == 0
    assert welcome.server.startswith("sealcast/")
    assert (welcome.node, welcome.heartbeat) == ("one", 7)
    assert welcome.limits == {
        "frame": 1000,
        "message": 65536,
        "control": CLIENT_CONTROL_MAX,
        "hello": HELLO_MAX,
        "direct": DIRECT_MAX,
        "channels": 32,
        "members": 5,
        "joins_per_minute": 120,
        "directs_per_minute": 6000,
        "requests_per_minute": 1200,
        "changes_per_minute": 600,
        "value": 4096,
        "metadata_items": 64,
        "metadata_bytes": 65536,
        "locks": 32,
        "lock_ttl": 300,
        "unauthenticated": 10,
        "burst": 3,
        "frames_per_app": 500,
    }


async def test_a_connection_that_was_ended_takes_nothing_more(lab: Lab) -> None:
    relay = await lab.serve()
    wire, bob = await lab.wire(relay), await lab.connect(relay)
    room = await wire.join("standup", "ann")
    await bob.join("standup", "bob")
    await bob.settle()
    await wire.frame(1, b"text")
    for _ in range(10):
        await wire.binary(room.frame())
    assert await wire.ended() == 4504
    told = await bob.settle()
    assert [type(item.control) for item in told] == [MemberLeft]  # type: ignore[union-attr]


# --- a fault of our own ---


async def test_a_session_that_fails_in_its_turn_does_not_stop_the_time_of_the_others(lab: Lab) -> None:
    relay = await lab.serve(unauthenticated=10)
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context["message"]))

    class Broken:
        due: float | None = None

        def on_time(self, now: float) -> float | None:
            raise RuntimeError("a bug")

    ann = await lab.connect(relay)
    relay.hub.wheel.schedule(Broken(), lab.clock.now)
    lab.clock.now += 11  # the relay's own ticks have to notice
    assert await ann.ended() == (4502, "unauthenticated")
    assert len(faults) == 1
