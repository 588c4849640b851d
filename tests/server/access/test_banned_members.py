"""What a rule does to members, by real sockets: put out, silenced, given back, refused at the door."""

from __future__ import annotations

import base64
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from sealcast.protocol.codes import end
from sealcast.protocol.controls import Join, Joined, Left, MemberLeft, Renew, Renewed
from sealcast.protocol.names import Kind, Privilege
from sealcast.protocol.tokens import token_id
from sealcast.server.access import new_rule_id
from sealcast.server.bans import Ban
from sealcast.server.config import AppPresence
from sealcast.server.revocations import Revocation

from ..raw import Told

if TYPE_CHECKING:
    from sealcast.server.relay import Relay

    from ..conftest import Lab
    from ..raw import Client, Room

HERE = "127.0.0.1"


async def ban(relay: Relay, lab: Lab, *privileges: str, lasts: float | None = 60.0, **what: Any) -> Ban:
    now = lab.clock.wall()
    rule = Ban(
        ban_id=new_rule_id(now),
        app_id=what.pop("app_id", lab.APP),
        address=what.pop("address", None),
        channel=what.pop("channel", None),
        user=what.pop("user", None),
        privileges=privileges or ("join",),
        until=None if lasts is None else now + lasts,
        reason="SECRET-REASON",
        creator="test",
        created=now,
    )
    assert not what
    await relay.access.bans.add(rule, 100)
    return rule


async def revoke(relay: Relay, lab: Lab, **what: Any) -> Revocation:
    now = lab.clock.wall()
    plain = Revocation(new_rule_id(now), lab.APP, None, None, None, None, now + 90_000, "", "test", now)
    rule = replace(plain, **what)
    await relay.access.revocations.add(rule, 100)
    return rule


async def refusal(client: Client, user: str, channel: str = "standup", token: str | None = None) -> str:
    token = token or client.lab.token(channel, user)
    answer = await client.ask(Join(channel=channel, user=user, token=token))
    return "" if isinstance(answer, Joined) else answer.name  # type: ignore[attr-defined]


async def stays(client: Client) -> bool:
    """Say whether a client has not been told that it has left something."""
    return not any(
        isinstance(item, Told) and isinstance(item.control, Left) for item in await client.settle()
    )


async def kinds(client: Client, room: Room) -> set[Kind]:
    """Send a frame of every kind; return those that were not refused."""
    allowed = set()
    for kind in (Kind.AUDIO, Kind.VIDEO, Kind.DATA):
        before = client.lab.relays[0].metrics.frames_in
        await client.frame(room, kind)
        await client.settle()
        if client.lab.relays[0].metrics.frames_in > before:
            allowed.add(kind)
    return allowed


async def test_a_banned_member_goes_at_once_and_comes_back_when_the_time_is_over(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    await bob.join("standup", "bob")
    await ann.join("standup", "ann")
    await ban(relay, lab, user="ann", channel="standup")
    left = await ann.told(Left)
    assert (left.code, left.name) == (4508, "banned")
    assert await ann.ended() == (4508, "banned")
    assert (await bob.told(MemberLeft)).reason == "banned"
    again = await lab.connect(relay)
    assert await refusal(again, "ann") == "banned"
    assert await refusal(again, "ann", "lobby") == "", "the rule is about one channel"
    lab.later(59.9)
    assert await refusal(again, "ann") == "banned"
    lab.later(0.1)
    assert await refusal(again, "ann") == ""
    assert relay.metrics.refused["banned"] == 2


async def test_reasons_are_not_told_to_clients(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    await ann.join("standup", "ann")
    await ban(relay, lab, user="ann")
    assert "SECRET-REASON" not in repr(await ann.told(Left))


@pytest.mark.parametrize(
    "what", [{"user": "ann"}, {"channel": "standup"}, {"channel": "standup", "user": "ann"}]
)
async def test_a_rule_puts_out_whom_it_names_and_nobody_else(lab: Lab, what: dict[str, str]) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    where = [("standup", "ann"), ("standup", "bob"), ("lobby", "ann"), ("lobby", "bob")]
    inside = {}
    for channel, user in where:
        client = inside[channel, user] = await lab.connect(relay)
        await client.join(channel, user)
    other = await lab.connect(relay, lab.OTHER_APP)
    await other.join("standup", "ann")
    await ban(relay, lab, **what)
    for (channel, user), client in inside.items():
        if what.get("channel", channel) == channel and what.get("user", user) == user:
            assert await client.ended() == (4508, "banned")
        else:
            assert not any(
                isinstance(item, Told) and isinstance(item.control, Left) for item in await client.settle()
            )
    assert await other.settle() == []


async def test_a_banned_address_is_put_out_and_refused_before_the_upgrade(lab: Lab) -> None:
    relay = await lab.serve()
    ann, idle = await lab.connect(relay), await lab.connect(relay)
    await ann.join("standup", "ann")
    rule = await ban(relay, lab, address="127.0.0.0/8")
    assert await ann.ended() == (4508, "banned")
    assert await idle.ended() == (4508, "banned"), "it was a member of nothing"
    with pytest.raises(InvalidStatus) as refused:
        await lab.connect(relay)
    assert refused.value.response.status_code == 403
    assert relay.metrics.handshakes_refused["banned"] == 1
    await relay.access.bans.lift(lab.APP, rule.ban_id)
    assert await refusal(await lab.connect(relay), "ann") == ""


async def test_an_address_that_may_not_join_one_channel_may_connect(lab: Lab) -> None:
    relay = await lab.serve()
    await ban(relay, lab, address=HERE, channel="standup")
    await ban(relay, lab, "audio", address=HERE)
    ann = await lab.connect(relay)
    assert await refusal(ann, "ann") == "banned"
    assert await refusal(ann, "ann", "lobby") == ""


async def test_one_address_of_ipv6_stands_for_its_network(lab: Lab) -> None:
    relay = await lab.serve()
    await ban(relay, lab, address="2001:db8:1:2::/64")
    assert relay.banned(lab.APP, "2001:db8:1:2:ffff::9")
    assert not relay.banned(lab.APP, "2001:db8:1:3::9")


async def test_what_is_taken_away_is_gone_for_the_next_frame_and_given_back_by_time(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    assert await kinds(ann, room) == {Kind.AUDIO, Kind.VIDEO, Kind.DATA}
    await ban(relay, lab, "audio", "data", user="ann", lasts=60)
    told = await ann.told(Renewed)
    assert set(told.grant) == {"video"}
    assert await kinds(ann, room) == {Kind.VIDEO}
    lab.later(59.5)
    assert await kinds(ann, room) == {Kind.VIDEO}
    lab.later(0.5)
    assert set((await ann.told(Renewed)).grant) == {"audio", "video", "data"}
    assert await kinds(ann, room) == {Kind.AUDIO, Kind.VIDEO, Kind.DATA}


async def test_a_ban_without_join_holds_for_joins_and_renewals_too(lab: Lab) -> None:
    relay = await lab.serve()
    await ban(relay, lab, "video", channel="standup")
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    assert set(room.joined.grant) == {"audio", "data"}
    answer = await ann.ask(Renew(channel=room.number, token=lab.token("standup", "ann")))
    assert isinstance(answer, Renewed)
    assert set(answer.grant) == {"audio", "data"}
    assert await kinds(ann, room) == {Kind.AUDIO, Kind.DATA}


async def test_a_ban_gives_nobody_what_the_token_does_not(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann", rights={Privilege.JOIN: 0, Privilege.AUDIO: 30})
    rule = await ban(relay, lab, "audio", "video", user="ann", lasts=10)
    assert (await ann.told(Renewed)).grant == {}
    await relay.access.bans.change(lab.APP, rule.ban_id, lab.clock.wall() + 5)
    lab.later(5)
    assert set((await ann.told(Renewed)).grant) == {"audio"}
    assert await kinds(ann, room) == {Kind.AUDIO}
    lab.later(25)
    assert await kinds(ann, room) == set(), "the privilege has ended by itself"


async def test_a_lifted_ban_gives_back_at_once(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    rule = await ban(relay, lab, "audio", user="ann", lasts=None)
    assert set((await ann.told(Renewed)).grant) == {"video", "data"}
    await relay.access.bans.lift(lab.APP, rule.ban_id)
    assert set((await ann.told(Renewed)).grant) == {"audio", "video", "data"}
    assert await kinds(ann, room) == {Kind.AUDIO, Kind.VIDEO, Kind.DATA}


async def test_a_member_that_loses_nothing_by_a_rule_is_told_nothing(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    await ann.join("standup", "ann", rights={Privilege.JOIN: 0, Privilege.DATA: 0})
    await ban(relay, lab, "audio", channel="standup")
    assert await ann.settle() == []


async def test_a_member_that_lingers_is_put_out_too(lab: Lab) -> None:
    relay = await lab.serve(lab.app(presence=AppPresence(linger=30)))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    await bob.join("standup", "bob")
    room = await ann.join("standup", "ann")
    await bob.settle()
    ann.ws.transport.abort()
    (app,) = relay.hub.apps()
    member = app.channels["standup"].members[room.member]
    while hasattr(member.outlet, "receive"):
        await lab.turn()
    await ban(relay, lab, user="ann")
    assert (await bob.told(MemberLeft)).reason == "banned"


async def test_a_kick_puts_out_once_and_is_no_rule(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    now = lab.clock.wall()
    relay.access.bans.kick(Ban("0" * 20, lab.APP, HERE, None, "ann", ("join",), now, "", "test", now))
    assert await ann.ended() == (4507, "kicked")
    assert await refusal(await lab.connect(relay), "ann") == ""
    assert relay.access.bans.of(lab.APP) == []


async def test_thousands_are_put_out_in_slices_and_all_of_them_go(lab: Lab) -> None:
    relay = await lab.serve()
    clients = [await lab.connect(relay) for _ in range(20)]
    for number, client in enumerate(clients):
        for channel in range(20):
            await client.join(f"room-{channel}", f"user-{number}")
    await ban(relay, lab, address=HERE)
    for client in clients:
        assert await client.ended() == (4508, "banned")
    (app,) = relay.hub.apps()
    assert not app.channels


async def test_rules_that_have_ended_are_forgotten(lab: Lab) -> None:
    relay = await lab.serve()
    rule = await ban(relay, lab, user="ann", lasts=10)
    assert relay.access.bans.of(lab.APP) == [rule]
    lab.later(10)
    assert relay.access.bans.of(lab.APP) == []
    await ban(relay, lab, user="bob", lasts=10)
    lab.later(30)
    with pytest.raises(Exception, match="no such ban"):
        relay.access.bans.get(lab.APP, rule.ban_id)


# --- revocations ---


async def test_who_is_in_by_a_revoked_token_goes_and_a_new_token_is_good(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    old = lab.token("standup", "ann")
    await ann.ask(Join(channel="standup", user="ann", token=old))
    await bob.join("standup", "bob")
    await revoke(relay, lab, user="ann", issued_before=lab.clock.wall() + 1)
    left = await ann.told(Left)
    assert (left.code, left.name) == (4006, "token_revoked")
    assert await ann.ended() == (4006, "token_revoked")
    assert await stays(bob)
    again = await lab.connect(relay)
    assert await refusal(again, "ann", token=old) == "token_revoked"
    lab.later(2)
    assert await refusal(again, "ann", token=lab.token("standup", "ann")) == ""
    assert relay.metrics.refused["token_revoked"] == 1


async def test_a_renewal_by_a_revoked_token_is_refused_and_the_old_one_stays_good(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    stolen = lab.token("standup", "ann")
    await revoke(relay, lab, token_id=token_id(stolen))
    assert await ann.settle() == []
    refused = await ann.refused(Renew(channel=room.number, token=stolen))
    assert refused.name == "token_revoked"
    assert await kinds(ann, room) == {Kind.AUDIO, Kind.VIDEO, Kind.DATA}


async def test_by_id_one_token_is_revoked_however_it_is_written(lab: Lab) -> None:
    relay = await lab.serve()
    token = lab.token("standup", "ann")
    raw = zlib.decompress(base64.b64decode(token[3:]))
    rewritten = "007" + base64.b64encode(zlib.compress(raw, 0)).decode()
    assert rewritten != token
    ann = await lab.connect(relay)
    await ann.ask(Join(channel="standup", user="ann", token=rewritten))
    rule = await revoke(relay, lab, token_id=token_id(token))
    assert await ann.ended() == (end("token_revoked").number, "token_revoked")
    again = await lab.connect(relay)
    assert await refusal(again, "ann", token=rewritten) == "token_revoked"
    assert await refusal(again, "ann") == "", "another token"
    await relay.access.revocations.lift(lab.APP, rule.revocation_id)
    assert await refusal(await lab.connect(relay), "ann", token=token) == ""


async def test_all_tokens_of_an_app_that_were_issued_before_a_time_are_revoked(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    old, new, other = (
        await lab.connect(relay),
        await lab.connect(relay),
        await lab.connect(relay, lab.OTHER_APP),
    )
    await old.join("standup", "ann", age=100)
    await new.join("standup", "bob", age=10)
    await other.join("standup", "ann", age=100)
    await revoke(relay, lab, issued_before=lab.clock.wall() - 50)
    assert await old.ended() == (4006, "token_revoked")
    for client in (new, other):
        assert not any(
            isinstance(item, Told) and isinstance(item.control, Left) for item in await client.settle()
        )


async def test_who_is_in_without_a_token_is_in_by_none_that_could_be_revoked(lab: Lab) -> None:
    relay = await lab.serve(lab.app(policy={"allow_app_id_only": True}))
    ann = await lab.connect(relay)
    await ann.join("standup", "ann", token=None)
    await revoke(relay, lab, issued_before=lab.clock.wall() + 1)
    assert await ann.settle() == []
