"""Apps that change while members talk: what holds at once, and for whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from sealcast.protocol.codes import end, reply
from sealcast.protocol.controls import Error, Join, Left, Renew, Renewed
from sealcast.server.config import AppRates

if TYPE_CHECKING:
    from .conftest import Lab

SECOND = "0f" * 16


async def test_disabling_an_app_ends_its_sessions_and_nobody_else_s(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    await ann.join("standup", "ann")
    async with lab.undisturbed(relay, lab.OTHER_APP):
        relay.put(lab.app(enabled=False))
        gone = end("app_disabled")
        assert await ann.ended() == (gone.number, gone.name)
        assert await bob.ended() == (gone.number, gone.name)
        with pytest.raises(InvalidStatus, match="404"):
            await lab.connect(relay)
    assert relay.metrics.ended["app_disabled"] == 2


async def test_an_app_that_is_enabled_again_takes_members_again(lab: Lab) -> None:
    relay = await lab.serve()
    relay.put(lab.app(enabled=False))
    relay.put(lab.app())
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    await ann.frame(room)
    await ann.settle()
    assert any(isinstance(item, lab.Frame) for item in await bob.settle())


async def test_who_lingers_in_a_disabled_app_is_gone_too(lab: Lab) -> None:
    relay = await lab.serve(lab.app(presence={"linger": 30}))
    ann = await lab.connect(relay)
    await ann.join("standup", "ann")
    (app,) = relay.hub.apps()
    ann.ws.transport.abort()
    while app.connections:
        await lab.turn()
    assert app.channels
    relay.put(lab.app(presence={"linger": 30}, enabled=False))
    assert not app.channels


async def test_an_app_is_added_while_the_relay_runs(lab: Lab) -> None:
    relay = await lab.serve()
    with pytest.raises(InvalidStatus, match="404"):
        await lab.connect(relay, lab.OTHER_APP)
    relay.put(lab.app(lab.OTHER_APP))
    ann = await lab.connect(relay, lab.OTHER_APP)
    await ann.join("standup", "ann")


async def test_an_app_that_is_removed_is_unknown_and_its_sessions_end(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    await ann.message(room)
    relay.remove(lab.APP)
    assert (await ann.ended())[1] == "app_disabled"
    assert list(relay.hub.apps()) == []
    with pytest.raises(InvalidStatus, match="404"):
        await lab.connect(relay)
    relay.remove(lab.APP)  # and nobody minds the second time


async def test_a_removed_app_that_comes_back_begins_afresh(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    await ann.join("standup", "ann")
    relay.remove(lab.APP)
    relay.put(lab.app())
    bob = await lab.connect(relay)
    await bob.join("standup", "bob")
    await ann.ended()
    (app,) = relay.hub.apps()
    assert list(app.channels) == ["standup"]
    assert len(app.channels["standup"].members) == 1


async def test_tokens_of_a_certificate_that_is_gone_are_refused_at_the_next_join_and_renewal(
    lab: Lab,
) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    relay.put(lab.app(certificate=SECOND))
    old = lab.token("standup", "ann")
    new = lab.token("standup", "ann", certificate=SECOND)
    refused = await ann.refused(Renew(channel=room.number, token=old))
    assert refused.name == reply("invalid_token").name
    assert isinstance(await ann.ask(Renew(channel=room.number, token=new)), Renewed)
    bob = await lab.connect(relay)
    assert (await bob.refused(Join(channel="standup", user="ann", token=old))).name == "invalid_token"


async def test_both_certificates_are_good_while_rotating(lab: Lab) -> None:
    relay = await lab.serve()
    relay.put(lab.app(certificate=SECOND, secondary_certificate=lab.CERTIFICATE))
    for certificate in (SECOND, lab.CERTIFICATE):
        ann = await lab.connect(relay)
        token = lab.token("standup", "ann", certificate=certificate)
        await ann.ask(Join(channel="standup", user="ann", token=token))


async def test_lower_limits_hold_for_the_next_frame_of_a_running_member(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    relay.put(lab.app(limits={"message": 100, "joins_per_minute": 1}))
    ref = next(ann.refs)
    await ann.ws.send(room.message(ref, payload=bytes(200)))
    answer = await ann.until(lambda item: getattr(item, "ref", 0) == ref)
    assert (type(answer.control), answer.control.name) == (Error, "too_big")
    token = lab.token("other", "ann")
    await ann.ask(Join(channel="other", user="ann", token=token))
    refused = await ann.refused(Join(channel="third", user="ann", token=lab.token("third", "ann")))
    assert refused.name == "rate_limited"


async def test_lower_rates_hold_for_a_member_that_was_granted_more(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    for _ in range(20):
        await ann.frame(room)
    assert not any(isinstance(item, lab.Told) for item in await ann.settle())
    relay.put(lab.app(rates=AppRates(burst=1, frames_per_member=2)))
    for _ in range(4):
        await ann.frame(room)
    await ann.settle()
    lab.later(1)
    told = [item.control for item in await ann.settle() if isinstance(item, lab.Told)]
    assert [control.name for control in told if isinstance(control, Error)] == ["rate_limited"]
    assert relay.metrics.refused["rate_limited"] == 2, "what was sent before is not counted again"


async def test_encryption_is_asked_for_at_once_in_channels_that_are_open(lab: Lab) -> None:
    relay = await lab.serve(lab.app(policy={"encryption": "optional"}))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    relay.put(lab.app())
    await ann.frame(room, version=2)
    told = [item.control for item in await ann.settle() if isinstance(item, lab.Told)]
    assert not any(isinstance(item, lab.Frame) for item in await bob.settle())
    assert [control.name for control in told if isinstance(control, Error)] == ["encryption_required"]


async def test_a_change_that_concerns_nobody_disturbs_nobody(lab: Lab) -> None:
    relay = await lab.serve()
    changes: list[dict[str, Any]] = [
        {"name": "other"},
        {"limits": {"flush_tick": 0.001}},
        {"policy": {"origins": ("https://a.example",)}},
        {"rates": AppRates(burst=3)},
        {},
    ]
    async with lab.undisturbed(relay):
        for change in changes:
            relay.put(lab.app(**change))
            await lab.turn()


async def test_a_left_member_is_told_why(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    (channel,) = (channel for app in relay.hub.apps() for channel in app.channels.values())
    channel.members[room.member].outlet.leave(room.number, end("app_disabled"))
    assert (await ann.told(Left)).name == "app_disabled"
