"""Who is told when that somebody came or went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.controls import (
    Control,
    Departure,
    Direct,
    Directed,
    Done,
    MemberInfo,
    MemberJoined,
    MemberLeft,
    MemberState,
    PresenceChanged,
    Present,
    State,
)
from sealcast.protocol.controls import Presence as Ask
from sealcast.server.presence import Presence, PresencePolicy

if TYPE_CHECKING:
    from sealcast.server.relay import Relay

    from .conftest import Lab
    from .raw import Client, Room

RUN = bytes(range(16))


def info(number: int) -> MemberInfo:
    return MemberInfo(member=number, user=f"user-{number}")


# --- the rules ---


@given(st.lists(st.tuples(st.sampled_from(["come", "go", "speak", "tick"]), st.integers(0, 7)), max_size=60))
def test_what_is_told_adds_up_to_what_is(steps: list[tuple[str, int]]) -> None:
    presence = Presence(7, PresencePolicy(2, 1.0, 0.0))
    here: dict[int, bool] = {}
    told: set[int] = set()

    def hear(control: Control | None) -> None:
        if isinstance(control, MemberJoined):
            assert control.member not in told, "told twice"
            told.add(control.member)
        elif isinstance(control, MemberLeft):
            told.remove(control.member)
        elif isinstance(control, PresenceChanged):
            left = {departure.member for departure in control.left}
            assert left <= told
            told.difference_update(left)
            came = {member.member for member in control.joined}
            assert not came & told
            told.update(came)

    numbers = iter(range(1, 1000))
    for what, which in steps:
        if what == "come":
            number = next(numbers)
            presence.counted(len(here) + 1)
            hear(presence.came(info(number)))
            here[number] = False
        elif what == "tick":
            hear(presence.summary(len(here)))
            assert told == set(here)
        elif here:
            number = list(here)[which % len(here)]
            if what == "speak":
                hear(presence.speaks(number))
                here[number] = True
                assert number in told, "nobody is heard that is not known"
            else:
                spoke = here.pop(number)
                presence.counted(len(here))
                hear(presence.went(number, "left", spoke=spoke))
                assert not spoke or number not in told, "who spoke is told to have gone at once"
        if not presence.waits:
            assert told == set(here)
    hear(presence.summary(len(here)))
    assert told == set(here)


def test_a_channel_collects_above_a_number_and_stops_well_below_it() -> None:
    presence = Presence(7, PresencePolicy(8, 1.0, 0.0))
    modes = []
    for count in (8, 9, 8, 7, 6, 7, 8, 9):
        presence.counted(count)
        modes.append(presence.collecting)
    assert modes == [False, True, True, True, False, False, False, True]


def test_who_comes_and_goes_within_an_interval_is_not_told() -> None:
    presence = Presence(7, PresencePolicy(1, 1.0, 0.0))
    presence.counted(2)
    assert presence.came(info(2)) is None
    assert presence.went(2, "left", spoke=False) is None
    assert presence.summary(1) is None


# --- through sockets ---


async def crowd(lab: Lab, count: int, **presence: float) -> tuple[Relay, list[tuple[Client, Room]]]:
    relay = await lab.serve(lab.app(presence=presence))
    members = []
    for number in range(count):
        client = await lab.connect(relay)
        members.append((client, await client.join("hall", f"user-{number}", hello=b"hello")))
    for client, _ in members:
        await client.settle()
    return relay, members


def told(lab: Lab, items: list[object]) -> list[Control]:
    return [item.control for item in items if isinstance(item, lab.Told)]


async def test_in_a_large_channel_changes_are_told_together(lab: Lab) -> None:
    relay, members = await crowd(lab, 4, instant=4, interval=5)
    late = [await lab.connect(relay) for _ in range(3)]
    rooms = [await client.join("hall", f"late-{number}") for number, client in enumerate(late)]
    listener, _ = members[0]
    await members[3][0].ws.close()
    while relay.metrics.connections > 6:
        await lab.turn()
    assert await listener.settle() == []
    lab.later(5.1)
    await lab.turn()
    (changed,) = told(lab, await listener.settle())
    assert changed == PresenceChanged(
        channel=rooms[0].number,
        joined=tuple(MemberInfo(member=room.member, user=room.user) for room in rooms),
        left=(Departure(member=4, reason="left"),),
        total=6,
    )
    lab.later(5.1)
    await lab.turn()
    assert await listener.settle() == [], "nothing has changed"


async def test_who_sends_something_is_told_of_before_it(lab: Lab) -> None:
    relay, members = await crowd(lab, 3, instant=2, interval=60)
    client = await lab.connect(relay)
    room = await client.join("hall", "speaker", hello=b"hello")
    listener, _ = members[0]
    assert await listener.settle() == []
    frame = await client.frame(room)
    await client.settle()
    assert await listener.settle() == [
        lab.Told(MemberJoined(channel=room.number, member=room.member, user="speaker", hello=b"hello"), 0),
        lab.Frame(room.number, room.member, frame),
    ]
    await client.ws.close()
    assert (await listener.told(MemberLeft)).member == room.member, "at once, since it had spoken"


async def test_who_sends_to_one_member_is_told_of_before_it(lab: Lab) -> None:
    relay, members = await crowd(lab, 3, instant=2, interval=60)
    client = await lab.connect(relay)
    room = await client.join("hall", "speaker")
    listener, target = members[0]
    await client.ask(Direct(channel=room.number, member=target.member, data=b"key"))
    assert told(lab, await listener.settle()) == [
        MemberJoined(channel=room.number, member=room.member, user="speaker"),
        Directed(channel=room.number, member=room.member, data=b"key"),
    ]


async def test_a_newcomer_hears_nothing_of_those_that_it_was_told_with_its_joining(lab: Lab) -> None:
    relay, _ = await crowd(lab, 3, instant=2, interval=60)
    first, second = await lab.connect(relay), await lab.connect(relay)
    await first.join("hall", "first")
    room = await second.join("hall", "second")
    assert {member.user for member in room.joined.members} == {"user-0", "user-1", "user-2", "first"}
    assert await second.settle() == []


async def test_who_is_there_can_be_asked_for(lab: Lab) -> None:
    _, members = await crowd(lab, 3)
    client, room = members[1]
    answer = await client.ask(Ask(channel=room.number))
    assert answer == Present(
        channel=room.number,
        members=tuple(
            MemberInfo(member=other.member, user=other.user, hello=b"hello")
            for _, other in members
            if other is not room
        ),
        total=3,
    )
    assert room.joined.total == 2


# --- states ---


async def test_a_state_is_told_to_the_others_and_to_newcomers_and_goes_with_its_member(lab: Lab) -> None:
    relay, ((ann, room), (bob, _)) = await crowd(lab, 2)  # type: ignore[misc]
    assert await ann.ask(State(channel=room.number, data=b"hand up")) == Done(channel=room.number)
    assert told(lab, await bob.settle()) == [
        MemberState(channel=room.number, member=room.member, data=b"hand up")
    ]
    carol = await lab.connect(relay)
    there = await carol.join("hall", "carol")
    assert there.joined.members[0].state == b"hand up"
    await ann.ask(State(channel=room.number))
    assert (await carol.told(MemberState)).data is None
    await ann.ask(State(channel=room.number, data=b"again"))
    await ann.ws.close()
    await carol.told(MemberLeft)
    ann = await lab.connect(relay)
    await ann.join("hall", "user-0")
    dave = await lab.connect(relay)
    assert {member.state for member in (await dave.join("hall", "dave")).joined.members} == {None}


async def test_a_state_of_a_member_that_is_not_told_yet_introduces_it(lab: Lab) -> None:
    relay, members = await crowd(lab, 3, instant=2, interval=60)
    client = await lab.connect(relay)
    room = await client.join("hall", "quiet")
    await client.ask(State(channel=room.number, data=b"hi"))
    assert told(lab, await members[0][0].settle()) == [
        MemberJoined(channel=room.number, member=room.member, user="quiet"),
        MemberState(channel=room.number, member=room.member, data=b"hi"),
    ]


async def test_a_state_has_a_bound(lab: Lab) -> None:
    _, ((ann, room), _) = await crowd(lab, 2)  # type: ignore[misc]
    assert (await ann.refused(State(channel=room.number, data=bytes(1025)))).name == "bad_request"


# --- members that linger ---


async def lost(client: Client, relay: Relay, lab: Lab) -> None:
    connections = relay.metrics.connections
    client.ws.transport.abort()
    while relay.metrics.connections == connections:
        await lab.turn()


async def test_who_comes_back_in_time_was_never_away(lab: Lab) -> None:
    relay, ((ann, room), (bob, other)) = await crowd(lab, 2, linger=2)  # type: ignore[misc]
    await lost(ann, relay, lab)
    assert await bob.settle() == []
    await bob.ask(Direct(channel=other.number, member=room.member, data=b"a key"))
    said, _ = await bob.message(other)
    ann = await lab.connect(relay)
    again = await ann.join("hall", "user-0", hello=b"hello", since=(room.joined.epoch, 0))
    assert again.member == room.member
    assert again.joined.recovered
    assert await ann.settle() == [
        lab.Message(other.number, other.member, 1, said),
        lab.Told(Directed(channel=other.number, member=other.member, data=b"a key"), 0),
    ]
    frame = await ann.frame(again)
    await ann.settle()
    assert await bob.settle() == [lab.Frame(room.number, room.member, frame)], "nothing else was told"


async def test_who_does_not_come_back_in_time_has_left(lab: Lab) -> None:
    relay, ((ann, room), (bob, _)) = await crowd(lab, 2, linger=2)  # type: ignore[misc]
    await lost(ann, relay, lab)
    lab.later(1.9)
    assert await bob.settle() == []
    lab.later(0.3)
    assert await bob.told(MemberLeft) == MemberLeft(
        channel=room.number, member=room.member, reason="connection_lost"
    )
    ann = await lab.connect(relay)
    assert (await ann.join("hall", "user-0", hello=b"hello")).member != room.member


async def test_another_session_of_the_user_is_another_member(lab: Lab) -> None:
    relay, ((ann, room), (bob, _)) = await crowd(lab, 2, linger=2)  # type: ignore[misc]
    await lost(ann, relay, lab)
    ann = await lab.connect(relay)
    again = await ann.join("hall", "user-0", hello=b"another hello")
    assert again.member != room.member
    left = await bob.told(MemberLeft)
    assert (left.member, left.reason) == (room.member, "replaced")
    assert (await bob.told(MemberJoined)).member == again.member


async def test_who_says_goodbye_does_not_linger(lab: Lab) -> None:
    relay, ((ann, _), (bob, _)) = await crowd(lab, 2, linger=60)  # type: ignore[misc]
    await ann.ws.close()
    assert (await bob.told(MemberLeft)).reason in ("left", "connection_lost")
    assert relay.metrics.ended


async def test_a_member_that_comes_back_cannot_send_what_it_sent_before(lab: Lab) -> None:
    relay, ((ann, room), (bob, _)) = await crowd(lab, 2, linger=2)  # type: ignore[misc]
    old = room.frame()
    await ann.ws.send(old)
    await ann.settle()
    await bob.settle()
    await lost(ann, relay, lab)
    ann = await lab.connect(relay)
    await ann.join("hall", "user-0", hello=b"hello")
    await ann.ws.send(old)
    await ann.settle()
    assert [item for item in await bob.settle() if isinstance(item, lab.Frame)] == []
    assert relay.metrics.refused["counter_repeated"] == 1


async def test_too_much_for_somebody_that_is_away_ends_its_membership(lab: Lab) -> None:
    relay, ((ann, room), (bob, other)) = await crowd(lab, 2, linger=60)  # type: ignore[misc]
    await lost(ann, relay, lab)
    for _ in range(17):
        await bob.ask(Direct(channel=other.number, member=room.member, data=bytes(4096)))
    lab.later(0.1)
    assert (await bob.told(MemberLeft)).member == room.member


async def test_a_channel_in_which_somebody_lingers_is_not_over(lab: Lab) -> None:
    relay = await lab.serve(lab.app(presence={"linger": 2}))
    ann = await lab.connect(relay)
    room = await ann.join("hall", "ann", hello=b"hello")
    await lost(ann, relay, lab)
    app = relay.hub.app(lab.APP)
    assert app is not None
    assert list(app.channels) == ["hall"]
    ann = await lab.connect(relay)
    again = await ann.join("hall", "ann", hello=b"hello")
    assert (again.number, again.member) == (room.number, room.member)
    await lost(ann, relay, lab)
    lab.later(2.2)
    assert list(app.channels) == []


@pytest.mark.parametrize("reason", ["drain", "expiry"])
async def test_only_a_lost_connection_lingers(lab: Lab, reason: str) -> None:
    relay = await lab.serve(lab.app(presence={"linger": 60}))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("hall", "ann", ttl=100)
    await bob.join("hall", "bob")
    await bob.settle()
    if reason == "expiry":
        lab.later(101)
        left = await bob.told(MemberLeft)
        assert (left.member, left.reason) == (room.member, "token_expired")
    else:
        relay.hub.draining = True
        await lost(ann, relay, lab)
        assert (await bob.told(MemberLeft)).member == room.member
