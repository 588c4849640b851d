"""Who may join: tokens, names, limits, and the answer to each refusal."""

from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.protocol import token_006
from sealcast.protocol.codes import reply
from sealcast.protocol.controls import Error, Join, Joined, Leave, MemberJoined, MemberLeft
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import AccessToken
from sealcast.server.engine.memory import MemoryBroker
from sealcast.server.interfaces import EngineDown

if TYPE_CHECKING:
    from .conftest import Lab

JOIN = Privilege.JOIN


def token_of_006(app_id: str, certificate: str, channel: str, user: str, end: int) -> str:
    """Sign a token of the older version, which lasts until *end*."""
    message = (1).to_bytes(4, "little") + end.to_bytes(4, "little") + (4).to_bytes(2, "little")
    message += b"".join(p.to_bytes(2, "little") + bytes(4) for p in Privilege)
    signature = token_006.sign(certificate, app_id, channel, user, message)
    body = len(signature).to_bytes(2, "little") + signature
    body += token_006.name_crc(channel).to_bytes(4, "little") + token_006.name_crc(user).to_bytes(4, "little")
    body += len(message).to_bytes(2, "little") + message
    return "006" + app_id + base64.b64encode(body).decode()


async def test_joined_says_everything_a_member_needs(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    first = await ann.join("standup", "ann", hello=b"ann's keys")
    await ann.message(first)
    second = await bob.join("standup", "bob", hello=b"bob's keys", ttl=600)
    joined = second.joined
    assert joined.channel == first.number
    assert joined.member != first.member
    assert (joined.epoch, joined.offset) == (first.joined.epoch, 1)
    assert [(other.member, other.user, other.hello) for other in joined.members] == [
        (first.member, "ann", b"ann's keys")
    ]
    assert joined.grant == {"audio": 600, "video": 600, "data": 600}
    assert joined.expires_in == 600
    assert joined.policy == {"encryption": "required", "delivery": "realtime"}
    assert joined.recovered is False
    assert await ann.told(MemberJoined) == MemberJoined(
        channel=first.number, member=second.member, user="bob", hello=b"bob's keys"
    )


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ({"token": None}, "token_required"),
        ({"token": ""}, "invalid_token"),
        ({"token": "007"}, "invalid_token"),
        ({"token": "not a token at all"}, "invalid_token"),
        ({"certificate": "f" * 32}, "invalid_token"),
        ({"app_id": "OTHER"}, "app_mismatch"),
        ({"channel": "lunch"}, "channel_mismatch"),
        ({"user": "bob"}, "user_mismatch"),
        ({"rights": {Privilege.AUDIO: 0}}, "not_permitted"),
        ({"rights": {}}, "not_permitted"),
        ({"ttl": 600, "age": 600}, "token_expired"),
        ({"ttl": 0}, "token_expired"),
        ({"rights": {JOIN: 10}, "age": 10}, "token_expired"),
        ({"age": -61}, "token_not_yet_valid"),
    ],
    ids=str,
)
async def test_each_refusal_of_a_token_has_its_code(lab: Lab, how: dict[str, Any], name: str) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP))
    async with lab.undisturbed(relay):
        ann = await lab.connect(relay)
        if "token" in how:
            token = how["token"]
        else:
            how = {"channel": "standup", "user": "ann", **how}
            if how.get("app_id") == "OTHER":
                how["app_id"] = lab.OTHER_APP
            token = lab.token(**how)
        error = await ann.refused(Join(channel="standup", user="ann", token=token))
        assert (error.code, error.name) == (reply(name).number, name)
        assert error.temporary is reply(name).temporary
        assert relay.metrics.refused == {name: 1}
        await ann.join("standup", "ann")  # the connection lives on


BAD = ("", "*", "a*b", "ä", "tab\t", "nul\0", "line\n", "\x7f", "🎤")
BAD_IN_CHANNELS = ("a/b", 'a"b', "a'b", "a\\b", "a`b")


@pytest.mark.parametrize(
    ("part", "name"),
    [*itertools.product(("channel", "user"), BAD), *itertools.product(("channel",), BAD_IN_CHANNELS)],
)
async def test_a_name_with_a_forbidden_character_is_refused(lab: Lab, part: str, name: str) -> None:
    relay = await lab.serve(lab.app(policy={"allow_app_id_only": True}))
    async with lab.undisturbed(relay):
        ann = await lab.connect(relay)
        names = {"channel": "standup", "user": "ann", part: name}
        error = await ann.refused(Join(channel=names["channel"], user=names["user"]))
        assert error.name == "invalid_name"
        assert list(relay.hub.app(lab.APP).channels) == ["calm"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("part", "most"), [("channel", 64), ("user", 255)])
async def test_names_may_be_as_long_as_the_protocol_says_and_no_longer(
    lab: Lab, part: str, most: int
) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        ann = await lab.connect(relay)
        names = {"channel": "standup", "user": "ann", part: "x" * most}
        await ann.join(names["channel"], names["user"])
        names[part] += "x"
        error = await ann.refused(Join(channel=names["channel"], user=names["user"], token="007"))
        assert error.name == "bad_request"


async def test_a_secondary_certificate_admits_as_well(lab: Lab) -> None:
    relay = await lab.serve(lab.app(secondary_certificate="5" * 32))
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    await ann.join("standup", "ann", certificate="5" * 32)
    await bob.join("standup", "bob")


@pytest.mark.parametrize(
    ("channel", "user"), [("*", "ann"), ("", "ann"), ("standup", "*"), ("standup", ""), ("stand*", "a*")]
)
async def test_a_wildcard_token_admits(lab: Lab, channel: str, user: str) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    token = AccessToken(
        lab.APP, "fedcba9876543210fedcba9876543210", issued_at=int(lab.clock.wall()), salt=1, expire=60
    )
    joined = await ann.ask(
        Join(channel="standup", user="ann", token=token.add_rtc(channel, user, {JOIN: 0}).build())
    )
    assert isinstance(joined, Joined)
    assert joined.grant == {}


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_token_of_version_006_is_accepted_by_policy_only(lab: Lab, accepted: bool) -> None:
    relay = await lab.serve(lab.app(policy={"accept_006": accepted}))
    ann = await lab.connect(relay)
    end = int(lab.clock.wall()) + 3600
    token = token_of_006(lab.APP, "fedcba9876543210fedcba9876543210", "standup", "ann", end)
    answer = await ann.ask(Join(channel="standup", user="ann", token=token))
    if accepted:
        assert isinstance(answer, Joined)
        assert answer.expires_in == 3600
    else:
        assert isinstance(answer, Error)
        assert answer.name == "token_version_refused"


async def test_the_app_id_alone_admits_by_policy_only(lab: Lab) -> None:
    relay = await lab.serve(
        lab.app(policy={"allow_app_id_only": True}, certificate=None), lab.app(lab.OTHER_APP)
    )
    ann, bob = await lab.connect(relay), await lab.connect(relay, lab.OTHER_APP)
    room = await ann.join("standup", "ann", token=None)
    assert room.joined.expires_in == 86400
    assert room.joined.grant.keys() == {"audio", "video", "data"}
    assert (await bob.refused(Join(channel="standup", user="bob"))).name == "token_required"


async def test_a_bad_token_is_refused_even_where_none_is_needed(lab: Lab) -> None:
    relay = await lab.serve(lab.app(policy={"allow_app_id_only": True}))
    ann = await lab.connect(relay)
    error = await ann.refused(
        Join(channel="standup", user="ann", token=lab.token("standup", "ann", certificate="0" * 32))
    )
    assert error.name == "invalid_token"


async def test_joining_the_same_channel_twice_on_one_connection_is_refused(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    room = await ann.join("standup", "ann")
    for user in ("ann", "eve"):
        error = await ann.refused(Join(channel="standup", user=user, token=lab.token("standup", user)))
        assert error.name == "already_joined"
    await ann.message(room)


async def test_a_full_channel_takes_the_next_one_when_somebody_leaves(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"members": 2}))
    ann, bob, eve = [await lab.connect(relay) for _ in range(3)]
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    join = Join(channel="standup", user="eve", token=lab.token("standup", "eve"))
    error = await eve.refused(join)
    assert (error.name, error.temporary) == ("channel_full", True)
    await ann.ask(Leave(channel=room.number))
    assert isinstance(await eve.ask(join), Joined)


async def test_a_user_replaces_itself_in_a_full_channel(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"members": 1, "channels": 1}))
    old, new = await lab.connect(relay), await lab.connect(relay)
    await old.join("standup", "ann")
    await new.join("standup", "ann")
    assert await old.ended() == (4506, "replaced")


async def test_a_full_app_refuses_new_channels_and_not_new_members(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"channels": 1}), lab.app(lab.OTHER_APP))
    ann, bob, eve = (
        await lab.connect(relay),
        await lab.connect(relay),
        await lab.connect(relay, lab.OTHER_APP),
    )
    await ann.join("standup", "ann")
    error = await bob.refused(Join(channel="lunch", user="bob", token=lab.token("lunch", "bob")))
    assert (error.name, error.temporary) == ("app_full", True)
    await bob.join("standup", "bob")
    await eve.join("lunch", "eve")


async def test_a_channel_that_cannot_be_read_is_the_servers_fault_and_may_be_joined_later(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object) -> None:
        raise EngineDown("the disk does not answer")

    relay = await lab.serve()
    ann = await lab.connect(relay)
    join = Join(channel="standup", user="ann", token=lab.token("standup", "ann"))
    with monkeypatch.context() as patch:
        patch.setattr(MemoryBroker, "subscribe", down)
        error = await ann.refused(join)
    assert (error.name, error.temporary) == ("internal_error", True)
    assert "disk" not in error.message
    assert isinstance(await ann.ask(join), Joined)


async def test_a_connection_joins_as_many_channels_as_it_may(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"channels_per_connection": 3}))
    ann = await lab.connect(relay)
    rooms = [await ann.join(f"room {number}", "ann") for number in range(3)]
    error = await ann.refused(Join(channel="room 3", user="ann", token=lab.token("room 3", "ann")))
    assert error.name == "too_many_channels"
    await ann.ask(Leave(channel=rooms[0].number))
    await ann.join("room 3", "ann")


async def test_joins_are_rate_limited_and_say_how_long_to_wait(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"joins_per_minute": 6}))
    async with lab.undisturbed(relay):
        ann = await lab.connect(relay)
        for number in range(6):
            await ann.join(f"room {number}", "ann")
        join = Join(channel="room 6", user="ann", token=lab.token("room 6", "ann"))
        error = await ann.refused(join)
        assert (error.name, error.temporary) == ("rate_limited", True)
        assert error.retry_after == pytest.approx(10)
        lab.later(10)
        assert isinstance(await ann.ask(join), Joined)


async def test_refused_joins_count_against_the_rate(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"joins_per_minute": 5}))
    async with lab.undisturbed(relay):
        eve = await lab.connect(relay)
        names = [(await eve.refused(Join(channel="standup", user="eve", token="007"))).name for _ in range(8)]
        assert names == ["invalid_token"] * 5 + ["rate_limited"] * 3


async def test_who_joins_and_leaves_is_told_once_to_everybody_else(lab: Lab) -> None:
    relay = await lab.serve()
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    first = await ann.join("standup", "ann")
    second = await bob.join("standup", "bob")
    await bob.ask(Leave(channel=second.number))
    assert [item.control for item in await ann.settle()] == [  # type: ignore[union-attr]
        MemberJoined(channel=first.number, member=second.member, user="bob"),
        MemberLeft(channel=first.number, member=second.member, reason="left"),
    ]
    assert await bob.settle() == []
