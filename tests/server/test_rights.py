"""What a member may publish: kinds against privileges, each with its own end, and renewing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sealcast.protocol.controls import Error, Left, Renew, Renewed, TokenExpiring
from sealcast.protocol.names import PRIVILEGE_OF_KIND, Kind, Privilege

from .raw import Told

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Client, Room

FRAMES = [kind for kind in Kind if kind is not Kind.MESSAGE]


async def passes(client: Client, room: Room, kind: Kind) -> str | None:
    """Send a frame or message of this kind; return the name of its refusal, or None."""
    if kind is Kind.MESSAGE:
        ref = next(client.refs)
        await client.ws.send(room.message(ref))
        answer = await client.until(lambda item: getattr(item, "ref", 0) == ref)
        return answer.control.name if isinstance(answer.control, Error) else None
    await client.frame(room, kind)
    items = await client.settle()
    client.lab.later(1)  # refused frames are reported once a second
    items += await client.settle()
    controls = [item.control for item in items if isinstance(item, Told)]
    return next((control.name for control in controls if isinstance(control, Error)), None)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("held", [None, Privilege.AUDIO, Privilege.VIDEO, Privilege.DATA])
async def test_a_kind_needs_its_privilege(lab: Lab, kind: Kind, held: Privilege | None) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    rights = {Privilege.JOIN: 0, **({} if held is None else {held: 0})}
    room = await ann.join("standup", "ann", rights=rights)
    await bob.join("standup", "bob")
    await bob.settle()
    needed = PRIVILEGE_OF_KIND[kind]
    allowed = needed in rights
    assert await passes(ann, room, kind) == (None if allowed else "not_permitted")
    received = [item for item in await bob.settle() if not isinstance(item, lab.Told)]
    assert len(received) == (1 if allowed else 0)


async def test_a_subscriber_receives_everything(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob", rights={Privilege.JOIN: 0})
    await ann.settle()
    sent = [await ann.frame(room, kind) for kind in FRAMES]
    message, _ = await ann.message(room)
    assert [item.sealed for item in await bob.settle()] == [*sent, message]  # type: ignore[union-attr]


async def test_a_refused_frame_is_reported_and_counted_and_reaches_nobody(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann", rights={Privilege.JOIN: 0})
    await bob.join("standup", "bob")
    await ann.settle()
    for _ in range(10):
        await ann.frame(room)
    await ann.settle()
    lab.later(1)
    assert await bob.settle() == []
    assert relay.metrics.refused == {"not_permitted": 10}
    assert relay.metrics.frames_in == 0


async def test_refused_frames_are_reported_at_once_and_then_once_a_second_together(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", rights={Privilege.JOIN: 0})
    for _ in range(10):
        await ann.frame(room)
    (first,) = await ann.settle()
    assert (first.control.name, first.control.count, first.ref) == ("not_permitted", 1, 0)  # type: ignore[union-attr]
    lab.later(1)
    (second,) = await ann.settle()
    assert (second.control.count, second.control.channel) == (9, room.number)  # type: ignore[union-attr]


@pytest.mark.parametrize("privilege", [Privilege.AUDIO, Privilege.VIDEO, Privilege.DATA])
async def test_a_right_that_ends_earlier_ends_by_itself_and_silently(lab: Lab, privilege: Privilege) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    rights = {**dict.fromkeys(Privilege, 0), privilege: 60}
    room = await ann.join("standup", "ann", rights=rights)
    assert room.joined.expires_in == 3600
    assert sorted(room.joined.grant.values()) == [60, 3600, 3600]
    kinds = [kind for kind in Kind if PRIVILEGE_OF_KIND[kind] is privilege]
    lab.later(50)
    for kind in kinds:
        assert await passes(ann, room, kind) is None
    lab.later(10)
    assert await ann.settle() == []
    for kind in Kind:
        expected = "not_permitted" if kind in kinds else None
        assert await passes(ann, room, kind) == expected


async def test_no_right_outlives_the_membership(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", rights={Privilege.JOIN: 60, Privilege.AUDIO: 600})
    assert room.joined.expires_in == 60
    assert room.joined.grant == {"audio": 60}


# --- renewing ---


async def test_a_renewal_extends_the_membership(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", ttl=100)
    lab.later(70)
    assert (await ann.told(TokenExpiring)).seconds == pytest.approx(30, abs=0.1)
    renewed = await ann.ask(Renew(channel=room.number, token=lab.token("standup", "ann", ttl=200)))
    assert isinstance(renewed, Renewed)
    assert renewed.channel == room.number
    assert renewed.expires_in == pytest.approx(200, abs=1)
    assert renewed.grant.keys() == {"audio", "video", "data"}
    lab.later(169)
    await ann.message(room)
    lab.later(2)
    assert (await ann.told(TokenExpiring)).seconds == pytest.approx(29, abs=1.1)
    lab.later(30)
    assert await ann.ended() == (4004, "token_expired")


async def test_a_renewal_changes_rights_at_once_both_ways(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", rights={Privilege.JOIN: 0, Privilege.AUDIO: 0})
    for rights, audio, video in (
        ({Privilege.JOIN: 0, Privilege.VIDEO: 0}, "not_permitted", None),
        ({Privilege.JOIN: 0}, "not_permitted", "not_permitted"),
        (dict.fromkeys(Privilege, 0), None, None),
    ):
        token = lab.token("standup", "ann", rights)
        assert isinstance(await ann.ask(Renew(channel=room.number, token=token)), Renewed)
        assert await passes(ann, room, Kind.AUDIO) == audio
        assert await passes(ann, room, Kind.VIDEO) == video


async def test_a_renewal_may_shorten(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", ttl=3600)
    await ann.ask(Renew(channel=room.number, token=lab.token("standup", "ann", ttl=10)))
    lab.later(10)
    left = await ann.told(Left)
    assert (left.channel, left.name) == (room.number, "token_expired")


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ({"user": "bob"}, "user_mismatch"),
        ({"channel": "lunch"}, "channel_mismatch"),
        ({"certificate": "0" * 32}, "invalid_token"),
        ({"ttl": 10, "age": 10}, "token_expired"),
        ({"rights": {Privilege.AUDIO: 0}}, "not_permitted"),
    ],
    ids=str,
)
async def test_a_refused_renewal_changes_nothing(lab: Lab, how: dict[str, Any], name: str) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", ttl=100)
    token = lab.token(**{"channel": "standup", "user": "ann", **how})
    error = await ann.refused(Renew(channel=room.number, token=token))
    assert (error.name, error.channel) == (name, room.number)
    await ann.message(room)
    lab.later(100)
    assert await ann.ended() == (4004, "token_expired")


async def test_only_a_membership_of_this_connection_can_be_renewed(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann")
    error = await bob.refused(Renew(channel=room.number, token=lab.token("standup", "ann")))
    assert error.name == "not_joined"


async def test_renewals_are_rate_limited_with_the_joins(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"joins_per_minute": 2}))
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    renew = Renew(channel=room.number, token=lab.token("standup", "ann"))
    assert isinstance(await ann.ask(renew), Renewed)
    error = await ann.refused(renew)
    assert error.name == "rate_limited"
    assert error.retry_after == pytest.approx(30)
    await ann.message(room)
