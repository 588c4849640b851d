"""What is told of the life of channels and members, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sealcast.protocol.codes import reply
from sealcast.protocol.controls import Join
from sealcast.server.config import Config, ServerConfig
from sealcast.server.interfaces import ChannelKey
from sealcast.server.member import Member
from sealcast.server.relay import Relay
from sealcast.server.visitor import AGENT_MAX, Visitor, printable_agent
from sealcast.server.witness import Nobody, Several

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .conftest import Lab


class Diary:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.visitors: list[Visitor | None] = []

    def channel_opened(self, key: ChannelKey, number: int) -> None:
        self.told.append(("opened", key.channel, number))

    def channel_closed(self, key: ChannelKey, number: int) -> None:
        self.told.append(("closed", key.channel, number))

    def member_joined(self, member: Member) -> None:
        self.told.append(("joined", member.channel.key.channel, member.user))
        self.visitors.append(member.visitor)

    def member_left(self, member: Member, reason: str) -> None:
        self.told.append(("left", member.channel.key.channel, member.user, reason))

    def token_refused(self, visitor: Visitor, channel: str, user: str, reason: str) -> None:
        self.told.append(("refused", channel, user, reason))
        self.visitors.append(visitor)

    def address_blocked(self, app_id: str, address: str, reason: str, seconds: float) -> None:
        self.told.append(("blocked", app_id, address, reason, seconds))


@pytest.fixture
def diary() -> Diary:
    return Diary()


@pytest_asyncio.fixture
async def relay(lab: Lab, diary: Diary) -> AsyncIterator[Relay]:
    server = ServerConfig(port=0, close=0.2, drain_spread=0.0, heartbeat=3600.0)
    relay = Relay(Config(server=server, apps=(lab.app(presence={"linger": 5}),)), lab.clock)
    relay.witness = Several([Nobody(), diary])
    async with relay.running():
        lab.relays.append(relay)
        yield relay


async def test_a_channel_and_its_members_are_told_from_birth_to_end(
    lab: Lab, relay: Relay, diary: Diary
) -> None:
    ann, bob = await lab.connect(relay), await lab.connect(relay)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    await ann.ws.close()
    await bob.settle()
    await bob.ws.close()
    while diary.told[-1][0] != "closed":
        await lab.turn()
    assert diary.told == [
        ("opened", "standup", room.number),
        ("joined", "standup", "ann"),
        ("joined", "standup", "bob"),
        ("left", "standup", "ann", "left"),
        ("left", "standup", "bob", "left"),
        ("closed", "standup", room.number),
    ]


async def test_who_comes_back_within_the_time_to_linger_has_not_left(
    lab: Lab, relay: Relay, diary: Diary
) -> None:
    ann = await lab.connect(relay)
    await ann.join("standup", "ann")
    ann.ws.transport.abort()
    (app,) = relay.hub.apps()
    while app.connections:
        await lab.turn()
    again = await lab.connect(relay)
    await again.join("standup", "ann")
    assert [what for what, *_ in diary.told] == ["opened", "joined"]
    again.ws.transport.abort()
    while app.connections:
        await lab.turn()
    lab.later(5)
    assert diary.told[2:] == [
        ("left", "standup", "ann", "connection_lost"),
        ("closed", "standup", 1),
    ]


async def test_a_refused_token_is_told_with_who_came(lab: Lab, relay: Relay, diary: Diary) -> None:
    ann = await lab.connect(relay, user_agent_header="probe/1\u00e9")
    refused = await ann.refused(Join(channel="standup", user="ann", token="007nonsense"))
    assert refused.code == reply("invalid_token").number
    assert diary.told == [("refused", "standup", "ann", "invalid_token")]
    (visitor,) = diary.visitors
    assert visitor is not None
    assert (visitor.app_id, visitor.address) == (lab.APP, "127.0.0.1")
    assert visitor.agent.startswith("probe/1?")
    assert visitor.since == pytest.approx(lab.clock.wall())


def test_a_user_agent_is_bounded_and_fit_for_a_log() -> None:
    assert printable_agent("a\x1b[2Jb") == "a?[2Jb"
    assert len(printable_agent("x" * 10_000)) == AGENT_MAX
