"""What docs/security.md says of the public port: who may say what, who hears what, and nobody else.

New controls have to be added here, or these tests fail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.protocol import controls as known
from sealcast.protocol.controls import (
    CLIENT_CONTROLS,
    SERVER_CONTROLS,
    Control,
    Direct,
    History,
    Leave,
    Lock,
    Metadata,
    Presence,
    Renew,
    SetMetadata,
    State,
    Unlock,
)
from sealcast.protocol.names import Privilege

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Client, Room

Ask = Callable[["Lab", "Room"], Control]

ABOUT_A_CHANNEL: dict[str, Ask] = {
    "leave": lambda lab, room: Leave(channel=room.number),
    "renew": lambda lab, room: Renew(channel=room.number, token=lab.token(room.name, room.user)),
    "direct": lambda lab, room: Direct(channel=room.number, member=room.member, data=b"x"),
    "history": lambda lab, room: History(channel=room.number, limit=1),
    "presence": lambda lab, room: Presence(channel=room.number),
    "state": lambda lab, room: State(channel=room.number, data=b"x"),
    "metadata": lambda lab, room: Metadata(channel=room.number),
    "set_metadata": lambda lab, room: SetMetadata(channel=room.number, name="topic", value=b"x"),
    "lock": lambda lab, room: Lock(channel=room.number, name="floor", ttl=5.0),
    "unlock": lambda lab, room: Unlock(channel=room.number, name="floor"),
}
"""How each control about a channel is said; the numbers are those of a member of it."""

NOT_ABOUT_ONE = {"join", "ping"}
BY_EVERYBODY_ABOUT_THEMSELVES = {"welcome", "pong", "drain", "error"}


def test_nothing_that_clients_can_say_is_left_out() -> None:
    assert set(CLIENT_CONTROLS) == set(ABOUT_A_CHANNEL) | NOT_ABOUT_ONE


async def outsiders(lab: Lab, relay: Any) -> list[Client]:
    """Return who has no business in the channel: in another one, in its namesake, and in none."""
    near, far, nowhere = (
        await lab.connect(relay),
        await lab.connect(relay, lab.OTHER_APP),
        await lab.connect(relay),
    )
    await near.join("kitchen", "eve")
    await far.join("standup", "eve")
    return [near, far, nowhere]


@pytest.mark.parametrize("name", ABOUT_A_CHANNEL)
async def test_nobody_outside_a_channel_asks_anything_of_it(lab: Lab, name: str) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    for eve in await outsiders(lab, relay):
        refused = await eve.refused(ABOUT_A_CHANNEL[name](lab, room))
        assert refused.name == "not_joined"
    assert await ann.settle() == []


async def test_nobody_outside_a_channel_sends_to_it_with_a_members_numbers(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    await ann.settle()
    for eve in await outsiders(lab, relay):
        await eve.ws.send(room.frame())
        await eve.ws.send(room.message(77))
        told = [item.control for item in await eve.settle() if isinstance(item, lab.Told)]
        assert [control.name for control in told if isinstance(control, known.Error)] == ["not_joined"] * 2
    assert await ann.settle() == await bob.settle() == []


async def test_a_member_cannot_send_as_another_of_its_channel(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    await ann.settle()
    await bob.ws.send(room.frame())
    await bob.ws.send(room.message(77))
    assert [item.control.name for item in await bob.settle()] == ["not_joined"] * 2
    assert await ann.settle() == []


async def test_what_happens_in_a_channel_is_heard_there_and_nowhere_else(lab: Lab) -> None:
    relay = await lab.serve(
        lab.app(presence={"instant": 1, "interval": 0.5}),
        lab.app(lab.OTHER_APP, presence={"instant": 1, "interval": 0.5}),
    )
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann", ttl=31)
    other = await bob.join("standup", "bob")
    strangers = await outsiders(lab, relay)
    for stranger in strangers:
        await stranger.settle()
    heard = {type(item.control).NAME for item in ann.aside + bob.aside if isinstance(item, lab.Told)}
    heard |= {"joined"}
    asked = [
        *(ABOUT_A_CHANNEL[name](lab, room) for name in ("state", "presence", "history")),
        *(ABOUT_A_CHANNEL[name](lab, room) for name in ("set_metadata", "metadata", "lock", "unlock")),
        Direct(channel=room.number, member=other.member, data=b"x"),
    ]
    for control in asked:
        heard.add(type(await ann.ask(control)).NAME)
    await ann.frame(room)
    await ann.message(room)
    heard.add("ack")
    lab.later(1.5)
    heard.add(type(await ann.ask(ABOUT_A_CHANNEL["renew"](lab, room))).NAME)
    lab.later(0.6)
    heard.add(type(await ann.ask(Leave(channel=room.number))).NAME)
    lab.later(0.6)
    for item in await ann.settle() + await bob.settle():
        if isinstance(item, lab.Told):
            heard.add(type(item.control).NAME)
    for stranger in strangers:
        assert await stranger.settle() == []
    untried = set(SERVER_CONTROLS) - heard - BY_EVERYBODY_ABOUT_THEMSELVES
    # Told at once in small channels instead; and `dropped` is for a member that is slow.
    assert untried <= {"member_joined", "member_left", "dropped"}


@pytest.mark.parametrize("name", ["set_metadata", "lock", "unlock", "state"])
async def test_what_changes_a_channel_needs_the_privilege_for_data(lab: Lab, name: str) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann", rights={Privilege.JOIN: 0})
    await bob.join("standup", "bob")
    await ann.settle()
    answer = await ann.ask(ABOUT_A_CHANNEL[name](lab, room))
    if name == "state":  # what a member says of itself is part of its being there
        assert isinstance(answer, known.Done)
    else:
        assert isinstance(answer, known.Error)
        assert answer.name == "not_permitted"
        assert await bob.settle() == []
