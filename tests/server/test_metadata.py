"""A channel's metadata over sockets: who may change it, who hears of it, what survives, what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.protocol import controls
from sealcast.protocol.controls import (
    Control,
    Done,
    Error,
    Leave,
    MemberInfo,
    MemberJoined,
    Metadata,
    MetadataChanged,
    MetadataItems,
    SetMetadata,
    Side,
)
from sealcast.protocol.names import Privilege
from sealcast.protocol.parts import Item
from sealcast.server.engine.memory import MemoryBroker

from .raw import Message, Told

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Client, Room

pytestmark = pytest.mark.usefixtures("no_blocking_calls")


async def pair(lab: Lab, **limits: Any) -> tuple[Client, Room, Client, Room]:
    """Ann and Bob in one channel."""
    relay = await lab.serve(lab.app(limits=limits))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    rooms = [await ann.join("stage", "ann", hello=b"I am ann"), await bob.join("stage", "bob")]
    await ann.settle()
    return ann, rooms[0], bob, rooms[1]


async def put(
    client: Client, room: Room, name: str, value: bytes | None, revision: int | None = None
) -> int | str:
    """Set an item; return its revision, or the name of the refusal."""
    answer = await client.ask(SetMetadata(channel=room.number, name=name, value=value, revision=revision))
    if isinstance(answer, Error):
        return answer.name
    assert isinstance(answer, Done)
    return answer.revision


async def items(client: Client, room: Room) -> MetadataItems:
    answer = await client.ask(Metadata(channel=room.number))
    assert isinstance(answer, MetadataItems)
    return answer


def changes(heard: list[Any]) -> list[tuple[str, bytes | None, int, int]]:
    """Name, value, revision and author of what a member was told."""
    return [
        (control.name, control.value, control.revision, control.member)
        for item in heard
        if isinstance(item, Told) and isinstance(control := item.control, MetadataChanged)
    ]


async def test_everybody_else_is_told_of_a_change_and_everybody_can_read_it(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab)
    assert await put(ann, room, "title", b"one") == 1
    assert await put(bob, other, "agenda", b"two") == 2
    assert changes(await bob.settle()) == [("title", b"one", 1, room.member)]
    assert changes(await ann.settle()) == [("agenda", b"two", 2, other.member)]
    expected = (
        Item(name="title", value=b"one", revision=1, member=room.member),
        Item(name="agenda", value=b"two", revision=2, member=other.member),
    )
    authors = (
        MemberInfo(member=room.member, user="ann", hello=b"I am ann"),
        MemberInfo(member=other.member, user="bob"),
    )
    for client in (ann, bob):
        found = await items(client, room)
        assert (found.revision, found.items, found.authors, found.locks) == (2, expected, authors, ())


async def test_a_change_that_expects_another_revision_is_refused(lab: Lab) -> None:
    ann, room, bob, _ = await pair(lab)
    assert await put(ann, room, "title", b"one", revision=0) == 1
    assert await put(bob, room, "title", b"two", revision=0) == "revision_conflict"
    assert await put(bob, room, "title", b"two", revision=1) == 2
    assert await put(ann, room, "title", None, revision=1) == "revision_conflict"
    assert await put(ann, room, "title", None, revision=2) == 3
    assert (await items(bob, room)).items == ()
    assert changes(await bob.settle())[-1] == ("title", None, 3, room.member)


async def test_of_many_who_change_the_same_at_once_one_succeeds(lab: Lab) -> None:
    relay = await lab.serve()
    clients = [await lab.connect(relay) for _ in range(8)]
    rooms = [await client.join("stage", f"user{n}") for n, client in enumerate(clients)]
    outcomes = await asyncio.gather(
        *(put(client, room, "title", b"mine", 0) for client, room in zip(clients, rooms, strict=True))
    )
    assert sorted(map(str, outcomes)) == ["1", *["revision_conflict"] * 7]


async def test_to_take_away_what_is_not_there_is_done_and_nobody_is_told(lab: Lab) -> None:
    ann, room, bob, _ = await pair(lab)
    await put(ann, room, "title", b"one")
    assert await put(ann, room, "agenda", None) == 1
    assert await put(ann, room, "agenda", None, revision=0) == 1
    assert len(changes(await bob.settle())) == 1


async def test_changes_and_messages_have_one_order_for_everybody_who_hears_both(lab: Lab) -> None:
    ann, room, bob, _ = await pair(lab)
    for revision in range(1, 6):
        await put(ann, room, "title", b"x")
        _, offset = await ann.message(room)
        assert offset == revision
    heard = [
        item.offset if isinstance(item, Message) else item.control.revision  # type: ignore[union-attr]
        for item in await bob.settle()
        if isinstance(item, Message) or isinstance(item.control, MetadataChanged)  # type: ignore[union-attr]
    ]
    assert heard == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


async def test_what_happened_before_an_answer_is_told_before_it(lab: Lab) -> None:
    ann, room, bob, _ = await pair(lab)
    # Both requests are in one turn of the relay.
    await asyncio.gather(
        ann.send(SetMetadata(channel=room.number, name="a", value=b"1")),
        bob.send(SetMetadata(channel=room.number, name="a", value=b"2")),
    )
    for client in (ann, bob):
        heard = [item.control for item in await client.settle() if isinstance(item, Told)]
        revisions = [c.revision for c in heard if isinstance(c, Done | MetadataChanged)]
        assert revisions == [1, 2]


async def test_in_a_large_channel_who_sets_something_is_introduced_before_it(lab: Lab) -> None:
    relay = await lab.serve(lab.app(presence={"instant": 1, "interval": 60}))
    ann, bob, eve = [await lab.connect(relay) for _ in range(3)]
    await ann.join("stage", "ann")
    await bob.join("stage", "bob")
    room = await eve.join("stage", "eve", hello=b"I am eve")
    await ann.settle()
    await put(eve, room, "title", b"one")
    controls = [item.control for item in await ann.settle() if isinstance(item, Told)]
    assert controls == [
        MemberJoined(channel=room.number, member=room.member, user="eve", hello=b"I am eve"),
        MetadataChanged(channel=room.number, name="title", value=b"one", revision=1, member=room.member),
    ]


async def test_who_joins_later_is_told_of_nothing_and_can_read_everything(lab: Lab) -> None:
    ann, room, _, _ = await pair(lab)
    await put(ann, room, "title", b"one")
    eve = await lab.connect(lab.relays[0])
    late = await eve.join("stage", "eve")
    assert changes(await eve.settle()) == []
    assert [item.value for item in (await items(eve, late)).items] == [b"one"]


async def test_metadata_and_who_set_it_outlive_the_members(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab)
    await put(ann, room, "title", b"one")
    await ann.ask(Leave(channel=room.number))
    assert [info.user for info in (await items(bob, other)).authors] == ["ann"]
    await bob.ask(Leave(channel=other.number))
    again = await bob.join("stage", "bob")
    found = await items(bob, again)
    assert [(item.value, item.revision) for item in found.items] == [(b"one", 1)]
    assert [(info.user, info.hello) for info in found.authors] == [("ann", b"I am ann")]
    assert await put(bob, again, "title", b"two", revision=1) == 2


async def test_the_same_channel_of_another_app_has_metadata_of_its_own(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    ann, eve = await lab.connect(relay), await lab.connect(relay, lab.OTHER_APP)
    room, other = await ann.join("stage", "ann"), await eve.join("stage", "ann")
    await put(ann, room, "title", b"one")
    assert (await items(eve, other)).items == ()
    assert await put(eve, other, "title", b"two", revision=0) == 1
    assert [item.value for item in (await items(ann, room)).items] == [b"one"]
    assert changes(await ann.settle()) == changes(await eve.settle()) == []


# --- an engine that takes its time ---


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What the engine has done and has not said yet."""
    waiting: list[Callable[[], None]] = []
    at_once = MemoryBroker.set_item

    def set_item(broker: MemoryBroker, *asked: Any) -> None:
        *how, done = asked
        at_once(broker, *how, lambda outcome: waiting.append(partial(done, outcome)))

    monkeypatch.setattr(MemoryBroker, "set_item", set_item)
    return waiting


async def test_nobody_hears_of_a_change_before_it_is_kept(lab: Lab, late: list[Callable[[], None]]) -> None:
    ann, room, bob, _ = await pair(lab)
    ref = await ann.send(SetMetadata(channel=room.number, name="a", value=b"x"))
    assert await ann.settle() == await bob.settle() == []
    late.pop()()
    assert await ann.receive() == Told(Done(channel=room.number, revision=1), ref)
    assert (await bob.told(MetadataChanged)).revision == 1


async def test_a_change_counts_when_its_author_has_left_meanwhile(
    lab: Lab, late: list[Callable[[], None]]
) -> None:
    ann, room, bob, _ = await pair(lab)
    ref = await ann.send(SetMetadata(channel=room.number, name="a", value=b"x"))
    await ann.ask(Leave(channel=room.number))
    await ann.join("stage", "ann")
    late.pop()()
    refused = await ann.until(lambda item: isinstance(item, Told) and item.ref == ref)
    assert (refused.control.name, refused.control.channel) == ("not_joined", None)
    changed = await bob.told(MetadataChanged)
    assert (changed.revision, changed.member) == (1, room.member)


@pytest.mark.parametrize("ending", ["leaves", "breaks off"])
async def test_a_change_whose_channel_has_no_members_any_more_is_kept(
    lab: Lab, late: list[Callable[[], None]], ending: str
) -> None:
    ann, room, bob, other = await pair(lab)
    await ann.send(SetMetadata(channel=room.number, name="a", value=b"x"))
    await ann.settle()
    await bob.ask(Leave(channel=other.number))
    if ending == "leaves":
        await ann.ask(Leave(channel=room.number))
    else:
        ann.ws.transport.abort()
        while "stage" in lab.relays[0].hub.app(lab.APP).channels:  # type: ignore[union-attr]
            await lab.turn()
    late.pop()()
    again = await bob.join("stage", "bob")
    assert [item.value for item in (await items(bob, again)).items] == [b"x"]


async def test_a_change_that_cannot_be_kept_is_refused_and_nobody_hears_of_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryBroker, "set_item", lambda broker, *asked: asked[-1]("not_stored"))
    ann, room, bob, _ = await pair(lab)
    refused = await ann.refused(SetMetadata(channel=room.number, name="a", value=b"x"))
    assert (refused.name, refused.temporary) == ("not_stored", True)
    assert changes(await bob.settle()) == []


# --- rights ---


@pytest.mark.parametrize("held", [None, Privilege.AUDIO, Privilege.VIDEO, Privilege.DATA])
async def test_to_change_metadata_needs_the_data_privilege_and_to_read_it_none(
    lab: Lab, held: Privilege | None
) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    rights = {Privilege.JOIN: 0, **({} if held is None else {held: 0})}
    room = await ann.join("stage", "ann", rights=rights)
    allowed = held is Privilege.DATA
    assert await put(ann, room, "title", b"one") == (1 if allowed else "not_permitted")
    assert len((await items(ann, room)).items) == allowed


async def test_the_privilege_counts_at_that_moment(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("stage", "ann", rights={Privilege.JOIN: 0, Privilege.DATA: 60})
    assert await put(ann, room, "title", b"one") == 1
    lab.later(61)
    assert await put(ann, room, "title", b"two") == "not_permitted"


@pytest.mark.parametrize(
    "asked", [Metadata(channel=1), SetMetadata(channel=1, name="title", value=b"x")], ids=lambda c: c.NAME
)
async def test_only_a_member_reads_or_changes_metadata(lab: Lab, asked: Control) -> None:
    _, room, _, _ = await pair(lab)
    assert room.number == 1
    eve = await lab.connect(lab.relays[0])
    assert (await eve.refused(asked)).name == "not_joined"
    await eve.join("lunch", "eve")
    assert (await eve.refused(asked)).name == "not_joined"


# --- bounds ---


@pytest.mark.parametrize("name", ["", "tab\t", "nul\x00", "é", "\u202eright"])
async def test_a_name_is_printable_ascii(lab: Lab, name: str) -> None:
    ann, room, _, _ = await pair(lab)
    assert await put(ann, room, name, b"x") == "invalid_name"


async def test_a_channel_has_so_much_metadata_and_no_more(lab: Lab) -> None:
    ann, room, _, _ = await pair(lab, metadata_items=3, metadata_bytes=10)
    assert await put(ann, room, "a", b"x") == 1
    assert await put(ann, room, "b", b"x" * 8) == "too_many_items"
    assert await put(ann, room, "b", b"x") == 2
    assert await put(ann, room, "c", b"") == 3
    assert await put(ann, room, "d", b"") == "too_many_items"
    assert await put(ann, room, "b", None) == 4
    assert await put(ann, room, "d", b"") == 5


async def test_the_channels_of_an_app_share_a_bound_and_other_apps_do_not(lab: Lab) -> None:
    relay = await lab.serve(
        lab.app(limits={"metadata_total": 50}), lab.app(lab.OTHER_APP, limits={"metadata_total": 50})
    )
    ann, eve = await lab.connect(relay), await lab.connect(relay, lab.OTHER_APP)
    one, two = await ann.join("stage", "ann"), await ann.join("lunch", "ann")
    other = await eve.join("stage", "ann")
    assert await put(ann, one, "a", bytes(40)) == 1
    assert await put(ann, two, "a", bytes(10)) == "too_many_items"
    assert await put(eve, other, "a", bytes(40)) == 1
    assert await put(ann, one, "a", None) == 2
    assert await put(ann, two, "a", bytes(40)) == 1


async def test_an_app_may_have_none(lab: Lab) -> None:
    ann, room, _, _ = await pair(lab, metadata_items=0)
    assert await put(ann, room, "a", b"") == "too_many_items"
    assert (await items(ann, room)).items == ()


async def test_a_connection_changes_so_much_a_minute(lab: Lab) -> None:
    ann, room, bob, other = await pair(lab, changes_per_minute=3)
    for revision in (1, 2, 3):
        assert await put(ann, room, "a", b"x") == revision
    refused = await ann.refused(SetMetadata(channel=room.number, name="a", value=b"x"))
    assert (refused.name, refused.temporary, refused.channel) == ("rate_limited", True, room.number)
    assert refused.retry_after == pytest.approx(20)
    assert await put(bob, other, "a", b"x") == 4
    lab.later(20)
    assert await put(ann, room, "a", b"x") == 5


async def test_the_largest_metadata_of_a_channel_can_be_read(lab: Lab) -> None:
    relay = await lab.serve(
        lab.app(limits={"metadata_items": 256, "metadata_bytes": 2**20, "changes_per_minute": 1000})
    )
    ann = await lab.connect(relay)
    room = await ann.join("stage", "a" * 255, hello=bytes(3072))
    for n in range(256):
        assert await put(ann, room, f"{n:064}", bytes(4032)) == n + 1
    found = await items(ann, room)
    assert (len(found.items), len(found.authors)) == (256, 1)


# --- what is not a request ---


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a", "value": b"x"},
        {"channel": 1, "value": b"x"},
        {"channel": "1", "name": "a"},
        {"channel": 1, "name": b"a"},
        {"channel": 1, "name": "a" * 65},
        {"channel": 1, "name": "a", "value": "text"},
        {"channel": 1, "name": "a", "value": bytes(4097)},
        {"channel": 1, "name": "a", "value": b"", "revision": -1},
        {"channel": 1, "name": "a", "value": b"", "revision": True},
        {"channel": 1, "name": "a", "value": b"", "revision": 2**64 - 1, "extra": 1},
    ],
    ids=range(10),
)
async def test_a_malformed_request_is_refused_and_changes_nothing(lab: Lab, body: dict[str, Any]) -> None:
    ann, room, bob, _ = await pair(lab)
    assert room.number == 1
    await ann.ws.send(b"\x00" + controls.msgpack.packb(["set_metadata", 77, body]))
    answer = await ann.until(lambda item: isinstance(item, Told) and item.ref == 77)
    expected = "revision_conflict" if "extra" in body else "bad_request"
    assert answer.control.name == expected
    assert (await items(ann, room)).revision == 0
    assert changes(await bob.settle()) == []


async def test_what_only_the_relay_says_ends_the_connection_of_a_client_that_says_it(lab: Lab) -> None:
    ann, room, bob, _ = await pair(lab)
    told = MetadataChanged(channel=room.number, name="a", value=b"x", revision=1, member=room.member)
    await ann.ws.send(controls.encode(told, 0))
    answer = await ann.receive()
    assert isinstance(answer, Told)
    assert isinstance(answer.control, Error)
    assert answer.control.name == "unknown_control"
    assert changes(await bob.settle()) == []


async def test_a_slow_member_is_told_everything_later(lab: Lab) -> None:
    ann, room, _, _ = await pair(lab)
    wire = await lab.wire(lab.relays[0], room_for=4096)
    await wire.join("stage", "eve")
    await ann.until(lambda item: isinstance(item, Told) and isinstance(item.control, MemberJoined))
    for _ in range(100):
        await put(ann, room, "a", bytes(4000))
    for revision in range(1, 101):
        changed, ref = await wire.told(MetadataChanged)
        assert (changed.revision, ref) == (revision, 0)


def test_nothing_that_is_logged_of_a_control_shows_a_value() -> None:
    for control in (
        SetMetadata(channel=1, name="a", value=b"secret"),
        MetadataChanged(channel=1, name="a", value=b"secret", revision=1, member=1),
        MetadataItems(channel=1, revision=1, items=(Item(name="a", value=b"secret", revision=1, member=1),)),
    ):
        assert "secret" not in repr(control)
        side = Side.CLIENT if isinstance(control, SetMetadata) else Side.SERVER
        assert controls.decode(controls.encode(control, 1), side)[0] == control
