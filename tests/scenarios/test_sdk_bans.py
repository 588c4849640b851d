"""The SDK against a relay whose operator bans and revokes: what the application is told, and what it does."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from sealcast.client import Channel, Client, Disconnected, Event, Left, NotPermitted, Renewed, Resumed
from sealcast.client.errors import ConnectFailed, JoinRefused
from sealcast.protocol.tokens import token_id
from sealcast.server.access import new_rule_id
from sealcast.server.bans import Ban
from sealcast.server.relay import Relay
from sealcast.server.revocations import Revocation

from .sdk_lab import APP, Lab, rest, told


@pytest_asyncio.fixture
async def lab() -> AsyncIterator[Lab]:
    async with contextlib.AsyncExitStack() as stack:
        yield Lab(stack)


@contextlib.asynccontextmanager
async def serving(lab: Lab) -> AsyncIterator[Relay]:
    relay = await lab.serve()
    try:
        yield relay
    finally:
        await relay.stop()


async def ban(relay: Relay, *privileges: str, lasts: float | None = None, **what: Any) -> Ban:
    now = relay.clock.wall()
    until = None if lasts is None else now + lasts
    plain = Ban(new_rule_id(now), APP, None, None, None, privileges or ("join",), until, "", "test", now)
    rule = replace(plain, **what)
    await relay.access.bans.add(rule, 100)
    return rule


async def revoke(relay: Relay, **what: Any) -> None:
    now = relay.clock.wall()
    plain = Revocation(new_rule_id(now), APP, None, None, None, None, now + 90_000, "", "test", now)
    await relay.access.revocations.add(replace(plain, **what), 100)


async def test_a_banned_member_is_told_and_stays_away(lab: Lab) -> None:
    relay = await lab.stack.enter_async_context(serving(lab))
    client = await lab.client()
    room = await lab.join(client, "standup", "ann")
    await ban(relay, user="ann")
    left = (await rest(room))[-1]
    assert isinstance(left, Left)
    assert (left.code, left.name) == (4508, "banned")
    other = await lab.client()
    with pytest.raises(JoinRefused) as refused:
        await lab.join(other, "standup", "ann")
    assert refused.value.code.name == "banned"
    assert not refused.value.temporary


async def test_a_banned_address_is_refused_before_anything_is_sent(lab: Lab) -> None:
    relay = await lab.stack.enter_async_context(serving(lab))
    await ban(relay, address="127.0.0.1")
    with pytest.raises(ConnectFailed) as refused:
        await lab.client()
    assert refused.value.status == 403


async def test_rights_that_are_taken_stop_a_stream_before_it_sends_and_come_back(lab: Lab) -> None:
    relay = await lab.stack.enter_async_context(serving(lab))
    client = await lab.client()
    room = await lab.join(client, "standup", "ann")
    mic = room.stream("audio")
    mic.send(b"one")
    await room.send(b"what was sent before has arrived")
    rule = await ban(relay, "audio", user="ann")
    told_of = await told(room, Renewed)
    assert set(told_of.grant) == {"video", "data"}
    with pytest.raises(NotPermitted):
        mic.send(b"two")
    await relay.access.bans.lift(APP, rule.ban_id)
    assert set((await told(room, Renewed)).grant) == {"audio", "video", "data"}
    mic.send(b"three")


async def test_a_member_without_a_callback_is_out_when_its_token_is_revoked(lab: Lab) -> None:
    relay = await lab.stack.enter_async_context(serving(lab))
    client = await lab.client()
    room = await lab.join(client, "standup", "ann")
    await revoke(relay, user="ann", issued_before=relay.clock.wall() + 1)
    events: list[Event] = await rest(room)
    assert isinstance(events[-1], Left)
    assert (events[-1].code, events[-1].name) == (4006, "token_revoked")


async def test_a_member_with_a_callback_comes_back_by_a_new_token(lab: Lab) -> None:
    relay = await lab.stack.enter_async_context(serving(lab))
    client: Client = await lab.client()
    minted: list[str] = []

    def fresh(channel: str, user: str) -> str:
        minted.append(lab.token(channel, user))
        return minted[-1]

    room: Channel = await client.join("standup", user="ann", token=fresh, key=lab.key)
    issued = relay.clock.wall()
    await revoke(relay, user="ann", issued_before=int(issued))  # the token of this second is not meant
    await revoke(relay, token_id=token_id(minted[0]))
    gone = await told(room, Disconnected)
    assert (gone.name, gone.will_retry) == ("token_revoked", True)
    assert await told(room, Resumed)
    assert len(minted) == 2
