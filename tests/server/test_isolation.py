"""Who receives what: exactly the other members of the same channel of the same app."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from sealcast.protocol.controls import Ack, History, MemberLeft, Past
from sealcast.protocol.names import Kind

from .raw import Told

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Client, Room

pytestmark = pytest.mark.usefixtures("no_blocking_calls")

CHANNELS = ("standup", "lunch")
USERS = ("ann", "bob", "eve")


async def house(lab: Lab) -> dict[tuple[str, str, str], tuple[Client, Room]]:
    """Join three users to two channels of two apps: the same names everywhere."""
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    members = {}
    for app_id, channel, user in itertools.product((lab.APP, lab.OTHER_APP), CHANNELS, USERS):
        client = await lab.connect(relay, app_id)
        members[app_id, channel, user] = client, await client.join(channel, user)
    for client, _ in members.values():
        await client.settle()
    return members


async def test_a_frame_reaches_the_members_of_its_channel_and_nobody_else(lab: Lab) -> None:
    members = await house(lab)
    for sender, (client, room) in members.items():
        frame = await client.frame(room)
        await client.settle()
        for receiver, (other, _) in members.items():
            inside = receiver[:2] == sender[:2] and receiver != sender
            expected = [lab.Frame(room.number, room.member, frame)] if inside else []
            assert await other.settle() == expected, (sender, receiver)


async def test_a_message_reaches_the_members_of_its_channel_and_nobody_else(lab: Lab) -> None:
    members = await house(lab)
    for sender, (client, room) in members.items():
        message, offset = await client.message(room)
        for receiver, (other, _) in members.items():
            inside = receiver[:2] == sender[:2] and receiver != sender
            expected = [lab.Message(room.number, room.member, offset, message)] if inside else []
            assert await other.settle() == expected, (sender, receiver)


async def test_traffic_of_everybody_at_once_stays_in_its_channel(lab: Lab) -> None:
    members = await house(lab)
    sent = {
        name: [await client.frame(room, kind) for kind in (Kind.AUDIO, Kind.VIDEO, Kind.DATA) * 5]
        for name, (client, room) in members.items()
    }
    early = {name: await client.settle() for name, (client, _) in members.items()}
    for receiver, (client, _) in members.items():
        received: dict[int, list[bytes]] = {}
        for item in early[receiver] + await client.settle():
            assert isinstance(item, lab.Frame)
            received.setdefault(item.member, []).append(item.sealed)
        assert received == {
            members[sender][1].member: frames
            for sender, frames in sent.items()
            if sender[:2] == receiver[:2] and sender != receiver
        }


async def test_channels_of_the_same_name_in_two_apps_have_different_numbers(lab: Lab) -> None:
    members = await house(lab)
    numbers = {name[:2]: room.number for name, (_, room) in members.items()}
    assert len(set(numbers.values())) == 4


async def test_presence_is_told_inside_the_channel_only(lab: Lab) -> None:
    members = await house(lab)
    leaver, room = members[lab.APP, "standup", "eve"]
    await leaver.ws.close()
    told = {}
    for name, (client, _) in members.items():
        if client is not leaver:
            told[name] = await client.settle()
    for name, items in told.items():
        assert len(items) == (1 if name[:2] == (lab.APP, "standup") else 0)
    (left,) = told[lab.APP, "standup", "ann"]
    assert left == Told(MemberLeft(channel=room.number, member=room.member, reason="left"), 0)


async def test_one_connection_in_two_channels_keeps_them_apart(lab: Lab) -> None:
    relay = await lab.serve()
    both, ann, bob = [await lab.connect(relay) for _ in range(3)]
    standup, lunch = await both.join("standup", "both"), await both.join("lunch", "both")
    await ann.join("standup", "ann")
    await bob.join("lunch", "bob")
    for client in (both, ann, bob):
        await client.settle()
    first, second = await both.frame(standup), await both.frame(lunch)
    await both.settle()
    assert await ann.settle() == [lab.Frame(standup.number, standup.member, first)]
    assert await bob.settle() == [lab.Frame(lunch.number, lunch.member, second)]


async def test_what_is_kept_is_read_and_recovered_in_its_channel_and_nowhere_else(lab: Lab) -> None:
    members = await house(lab)
    said: dict[tuple[str, str], list[bytes]] = {}
    for (app_id, channel, _), (client, room) in members.items():
        said.setdefault((app_id, channel), []).append((await client.message(room))[0])
    for (app_id, channel, _), (client, room) in members.items():
        past = await client.ask(History(channel=room.number, limit=256))
        assert isinstance(past, Past)
        assert [message.data for message in past.messages] == said[app_id, channel]
    epochs = {name[:2]: room.joined.epoch for name, (_, room) in members.items()}
    assert len(set(epochs.values())) == 4
    for (app_id, channel), epoch in itertools.product(said, set(epochs.values())):
        late = await lab.connect(lab.relays[0], app_id)
        room = await late.join(channel, "late", since=(epoch, 0))
        replayed = [item.sealed for item in await late.settle() if isinstance(item, lab.Message)]
        assert room.joined.recovered == (epoch == epochs[app_id, channel])
        assert replayed == (said[app_id, channel] if room.joined.recovered else [])
        await late.ws.close()


async def test_a_message_is_the_same_one_in_its_channel_and_nowhere_else(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    for app_id, channel in itertools.product((lab.APP, lab.OTHER_APP), CHANNELS):
        client = await lab.connect(relay, app_id)
        room = await client.join(channel, "ann", run=bytes(16))
        for repeated in (False, True):
            await client.ws.send(room.message(900))
            ack = await client.told(Ack)
            assert (ack.offset, ack.repeated) == (1, repeated)
