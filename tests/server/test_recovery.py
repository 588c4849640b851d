"""Coming back with a place: all that was missed follows, whole and in order, or nothing and it is said."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.protocol import envelope
from sealcast.protocol.controls import MemberInfo, MemberLeft
from sealcast.protocol.names import Kind
from sealcast.server import answering

if TYPE_CHECKING:
    from sealcast.server.relay import Relay

    from .conftest import Lab
    from .raw import Client, Room

RUN = bytes(range(16))


async def talk(
    lab: Lab, count: int, relay: Relay | None = None, **app: Any
) -> tuple[Client, Room, list[bytes]]:
    """Let ann say so many messages in a channel that bob has left."""
    relay = relay or await lab.serve(lab.app(**app))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room, other = await ann.join("standup", "ann", hello=b"I am ann"), await bob.join("standup", "bob")
    assert other.joined.offset == 0
    await bob.ws.close()
    said = [(await ann.message(room))[0] for _ in range(count)]
    await ann.settle()
    return ann, room, said


async def back(lab: Lab, room: Room, offset: int, user: str = "bob", **how: Any) -> tuple[Client, Room]:
    """Come back with a place in the epoch of *room*."""
    client = await lab.connect(lab.relays[0])
    return client, await client.join("standup", user, since=(room.joined.epoch, offset), **how)


async def test_what_was_missed_follows_the_answer_in_order(lab: Lab) -> None:
    _, room, said = await talk(lab, 5)
    bob, again = await back(lab, room, 2)
    assert again.joined.recovered
    assert again.joined.offset == 5
    replayed = await bob.settle()
    assert replayed == [
        lab.Message(again.number, room.member, offset, said[offset - 1]) for offset in (3, 4, 5)
    ]


async def test_who_missed_nothing_is_told_so(lab: Lab) -> None:
    _, room, _ = await talk(lab, 3)
    bob, again = await back(lab, room, 3)
    assert again.joined.recovered
    assert await bob.settle() == []


async def test_who_names_no_place_gets_nothing_of_the_past(lab: Lab) -> None:
    await talk(lab, 3)
    bob = await lab.connect(lab.relays[0])
    again = await bob.join("standup", "bob")
    assert not again.joined.recovered
    assert await bob.settle() == []


@pytest.mark.parametrize("place", ["another epoch", "ahead", "trimmed", "too many", "too large", "expired"])
async def test_what_cannot_be_whole_is_not_sent_in_part(lab: Lab, place: str) -> None:
    limits: dict[str, Any] = {}
    history: dict[str, Any] = {}
    if place == "trimmed":
        history = {"messages": 2}
    if place == "too many":
        limits = {"recovery_messages": 2}
    if place == "too large":
        limits = {"recovery_bytes": 100}
    _, room, _ = await talk(lab, 5, limits=limits, history=history)
    if place == "expired":
        lab.clock.now += 301
    since = (room.joined.epoch, 9 if place == "ahead" else 1)
    bob = await lab.connect(lab.relays[0])
    again = await bob.join(
        "standup", "bob", since=("another" if place == "another epoch" else since[0], since[1])
    )
    assert not again.joined.recovered
    assert again.joined.offset == 5
    assert await bob.settle() == []


async def test_senders_that_have_left_meanwhile_are_introduced(lab: Lab) -> None:
    ann, room, said = await talk(lab, 1)
    carol = await lab.connect(lab.relays[0])
    here = await carol.join("standup", "carol", hello=b"I am carol")
    last, _ = await carol.message(here)
    await ann.ws.close()
    await carol.told(MemberLeft)
    bob, again = await back(lab, room, 0)
    assert again.joined.members == (MemberInfo(member=here.member, user="carol", hello=b"I am carol"),)
    assert again.joined.authors == (MemberInfo(member=room.member, user="ann", hello=b"I am ann"),)
    assert [item.sealed for item in await bob.settle()] == [said[0], last]  # type: ignore[union-attr]


@pytest.mark.parametrize("bound", ["SERVER_CONTROL_MAX", "_LISTED_MAX"])
async def test_when_the_senders_cannot_be_listed_nothing_is_recovered(
    lab: Lab, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, room, _ = await talk(lab, 1)
    carol = await lab.connect(lab.relays[0])
    await carol.join("standup", "carol")
    await ann.ws.close()
    await carol.told(MemberLeft)
    channel = lab.relays[0].hub.app(lab.APP).channels["standup"]  # type: ignore[union-attr]
    size = channel.roster + 100 if bound == "SERVER_CONTROL_MAX" else 1
    monkeypatch.setattr(answering, bound, size)
    bob, again = await back(lab, room, 0)
    assert not again.joined.recovered
    assert again.joined.authors == ()
    assert await bob.settle() == []
    _, again = await back(lab, room, 1, user="dave")
    assert again.joined.recovered, "nobody is to be listed"


async def test_own_messages_are_not_sent_back(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann")
    mine = await bob.join("standup", "bob", run=RUN)
    await bob.message(mine)
    theirs, _ = await ann.message(room)
    await bob.message(mine)
    await bob.ws.close()
    await ann.told(MemberLeft)
    bob, again = await back(lab, room, 0, run=RUN)
    assert again.joined.recovered
    assert await bob.settle() == [lab.Message(again.number, room.member, 2, theirs)]
    other, _ = await back(lab, room, 0, user="carol", run=RUN)
    assert len(await other.settle()) == 3, "the same run of another user is another run"


async def test_what_is_said_while_somebody_comes_back_reaches_it_once_and_in_order(lab: Lab) -> None:
    ann, room, _ = await talk(lab, 3)
    stop = 40
    arrived: list[tuple[Client, Room]] = []
    for number in range(stop):
        await ann.ws.send(room.message(1000 + number))
        if number % 5 == 0:
            arrived.append(await back(lab, room, 0, user=f"user-{number}"))
    await ann.settle()
    for client, again in arrived:
        items = [item for item in await client.settle() if isinstance(item, lab.Message)]
        assert [item.offset for item in items] == list(range(1, 3 + stop + 1))
        assert again.joined.recovered


async def test_frames_are_not_replayed(lab: Lab) -> None:
    ann, room, said = await talk(lab, 1)
    await ann.frame(room, Kind.AUDIO)
    last, _ = await ann.message(room)
    bob, _ = await back(lab, room, 0)
    assert [item.sealed for item in await bob.settle()] == [said[0], last]  # type: ignore[union-attr]


async def test_a_channel_that_everybody_has_left_can_be_come_back_to(lab: Lab) -> None:
    ann, room, said = await talk(lab, 4)
    await ann.ws.close()
    while lab.relays[0].metrics.connections:
        await lab.turn()
    bob, again = await back(lab, room, 1)
    assert again.joined.recovered
    assert again.joined.members == ()
    assert [info.user for info in again.joined.authors] == ["ann"]
    assert [item.sealed for item in await bob.settle()] == said[1:]  # type: ignore[union-attr]
    assert again.member > room.member, "no number of a sender is given again"


async def test_one_app_never_gets_what_another_has_kept(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    _, room, _ = await talk(lab, 3, relay)
    stranger = await lab.connect(relay, lab.OTHER_APP)
    there = await stranger.join("standup", "bob", since=(room.joined.epoch, 0))
    assert not there.joined.recovered
    assert there.joined.offset == 0
    assert await stranger.settle() == []


async def test_joins_that_went_on_and_those_that_did_not_are_counted(lab: Lab) -> None:
    _, room, _ = await talk(lab, 3)
    await back(lab, room, 1)
    await back(lab, room, 99, user="carol")
    metrics = lab.relays[0].metrics
    assert (metrics.recovered, metrics.not_recovered, metrics.replayed) == (1, 1, 2)


@pytest.mark.parametrize("seed", range(10))
async def test_whoever_comes_and_goes_has_every_message_once(lab: Lab, seed: int) -> None:
    """Members leave and come back at random places of a conversation; what each has is the whole of it."""
    chance = random.Random(seed)
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    has: dict[str, list[tuple[int, bytes]]] = {user: [] for user in ("bob", "carol", "dave")}
    here: dict[str, Client] = {}
    said: list[bytes] = []

    async def read(user: str) -> None:
        items = await here[user].settle()
        has[user] += [(item.offset, item.sealed) for item in items if isinstance(item, lab.Message)]

    async def come(user: str) -> None:
        here[user] = await lab.connect(relay)
        place = has[user][-1][0] if has[user] else 0
        there = await here[user].join("standup", user, since=(room.joined.epoch, place))
        assert there.joined.recovered
        await read(user)

    for _ in range(60):
        user = chance.choice(list(has))
        if chance.random() < 0.6:
            said.append((await ann.message(room))[0])
        elif user in here:
            if chance.random() < 0.5:
                await read(user)
            await here.pop(user).ws.close()
        else:
            await come(user)
    for user in has:
        if user not in here:
            await come(user)
        await read(user)
        assert has[user] == list(enumerate(said, 1))


async def test_a_replay_is_what_was_delivered_byte_for_byte(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room, there = await ann.join("standup", "ann"), await bob.join("standup", "bob")
    await ann.message(room, payload=bytes(5000))
    live = await bob.until(lambda item: isinstance(item, lab.Message))
    await bob.ws.close()
    carol, again = await back(lab, room, 0, user="carol")
    (replayed,) = await carol.settle()
    assert (replayed.member, replayed.offset, replayed.sealed) == (live.member, live.offset, live.sealed)  # type: ignore[union-attr]
    assert again.number == there.number
    assert len(replayed.sealed) > 5000 - envelope.DELIVERED_START  # type: ignore[union-attr]
