"""A message that is sent again under its run and ref is the same: delivered once, acknowledged twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sealcast.protocol.controls import Ack, MemberLeft

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Client, Room

RUN = bytes(range(16))


async def say(client: Client, room: Room, ref: int) -> Ack:
    """Send a message under this ref and return its ack."""
    await client.ws.send(room.message(ref))
    told = await client.until(lambda item: getattr(item, "ref", None) == ref)
    assert isinstance(told.control, Ack)
    ack: Ack = told.control
    return ack


async def test_a_message_that_comes_again_has_the_place_that_it_had(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    await bob.join("standup", "bob")
    room = await ann.join("standup", "ann", run=RUN)
    first = await say(ann, room, 900)
    await say(ann, room, 901)
    await ann.ws.close()
    await bob.told(MemberLeft)
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", run=RUN)
    again = await say(ann, room, 900)
    assert (first.offset, first.repeated) == (1, False)
    assert (again.offset, again.repeated) == (1, True)
    await say(ann, room, 902)
    delivered = [item.offset for item in await bob.settle() if isinstance(item, lab.Message)]
    assert delivered == [1, 2, 3], "nothing twice"


async def test_another_run_is_another_message(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    await say(ann, await ann.join("standup", "ann", run=RUN), 900)
    ack = await say(bob, await bob.join("standup", "bob", run=RUN), 900)
    assert (ack.offset, ack.repeated) == (2, False), "a run is a user's own"
    await ann.ws.close()
    await bob.told(MemberLeft)
    ann = await lab.connect(relay)
    ack = await say(ann, await ann.join("standup", "ann", run=bytes(16)), 900)
    assert (ack.offset, ack.repeated) == (3, False)


async def test_without_a_run_nothing_is_the_same(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    assert [(await say(ann, room, 900)).offset for _ in range(3)] == [1, 2, 3]


async def test_other_members_never_see_a_run(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    seen: list[bytes] = []
    await bob.join("standup", "bob")
    room = await ann.join("standup", "ann", run=RUN)
    await ann.ws.send(room.message(900))
    for _ in range(2):
        data = await bob.ws.recv()
        assert isinstance(data, bytes)
        seen.append(data)
    assert not [data for data in seen if RUN in data]
