"""Tokens that end: renewed by hand, by a callback, or not."""

from __future__ import annotations

import asyncio

import pytest

from sealcast.client import (
    ChannelClosed,
    Disconnected,
    DisconnectedError,
    Left,
    NotConnected,
    Renewed,
    RenewFailed,
    RequestRefused,
    Resumed,
    TokenExpiring,
)
from sealcast.client.upkeep import RENEW_PAUSE
from sealcast.protocol import controls


async def expire(relay, name: str = "standup", seconds: float = 30.0) -> None:
    await relay.session.send(controls.TokenExpiring(channel=relay.room(name).number, seconds=seconds))


async def test_with_a_plain_token_the_application_is_told_and_renews(relay, lab):
    room = await lab.joined()
    await expire(relay)
    assert await lab.told(room, TokenExpiring) == TokenExpiring(30.0)
    relay.grant, relay.expires_in = {"data": 50.0}, 60.0
    await room.renew("a new token")
    assert relay.session.last(controls.Renew).token == "a new token"
    assert await lab.told(room, Renewed) == Renewed(60.0, {"data": 50.0})
    assert room.expires_in == pytest.approx(60.0, abs=5.0)
    assert room.grant == {"data": pytest.approx(50.0, abs=5.0)}


async def test_a_renewed_token_is_the_one_that_a_rejoin_presents(relay, lab):
    room = await lab.joined(token="old")
    await room.renew("new")
    relay.session.cut()
    await lab.until(room, Resumed)
    assert relay.session.last(controls.Join).token == "new"


async def test_a_refused_renewal_says_why_and_the_old_token_stays(relay, lab):
    room = await lab.joined(token="old")
    relay.renewals.append(relay.error("channel_mismatch"))
    with pytest.raises(RequestRefused, match="channel_mismatch"):
        await room.renew("for another channel")
    relay.session.cut()
    await lab.until(room, Resumed)
    assert relay.session.last(controls.Join).token == "old"


async def test_a_renewal_that_the_connection_cuts_short_is_an_error(relay, lab):
    room = await lab.joined()
    relay.ignored.add(controls.Renew)
    renewing = asyncio.create_task(room.renew("new"))
    await relay.until(lambda: relay.session.count(controls.Renew) == 1)
    lab.naps.hold()
    relay.session.cut()
    with pytest.raises(DisconnectedError):
        await renewing
    with pytest.raises(NotConnected):
        await room.renew("new")
    await room.leave()
    with pytest.raises(ChannelClosed):
        await room.renew("new")


async def test_a_callback_renews_by_itself(relay, lab):
    tokens = iter(("first", "second"))

    async def callback(channel: str, user: str) -> str:
        assert (channel, user) == ("standup", "alice")
        return next(tokens)

    room = await lab.joined(token=callback)
    relay.expires_in = 120.0
    await expire(relay)
    assert (await lab.told(room, Renewed)).expires_in == 120.0
    assert relay.session.last(controls.Renew).token == "second"


async def test_a_second_warning_while_renewing_asks_once(relay, lab):
    asked = 0
    release = asyncio.Event()

    async def callback(channel: str, user: str) -> str:
        nonlocal asked
        asked += 1
        if asked > 1:
            await release.wait()
        return f"token {asked}"

    room = await lab.joined(token=callback)
    await expire(relay)
    await expire(relay, seconds=20.0)
    await relay.session.send(controls.Dropped(channel=relay.room("standup").number, counts={}))
    await lab.next(room)
    release.set()
    await lab.told(room, Renewed)
    assert asked == 2
    assert relay.session.count(controls.Renew) == 1


async def test_tokens_that_live_for_less_than_the_warning_are_not_renewed_round_and_round(relay, lab):
    room = await lab.joined(token=lambda channel, user: "a token")
    relay.expires_in = 20.0
    await expire(relay, seconds=20.0)
    await lab.told(room, Renewed)
    assert lab.naps.taken == [], "the first time at once"
    for _ in range(3):
        await expire(relay, seconds=20.0)
        await lab.told(room, Renewed)
    assert lab.naps.taken == [pytest.approx(10.0, abs=1.0)] * 3
    relay.expires_in = 0.001
    await expire(relay)
    await lab.told(room, Renewed)
    await expire(relay)
    await lab.told(room, Renewed)
    assert lab.naps.taken[-1] == RENEW_PAUSE


async def test_a_callback_that_fails_is_told_and_asked_again_after_a_while(relay, lab):
    answers = iter(("first", OSError("down"), OSError("still down"), "fourth"))

    def callback(channel: str, user: str) -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    room = await lab.joined(token=callback)
    await expire(relay)
    for _ in range(2):
        failed = await lab.told(room, RenewFailed)
        assert isinstance(failed.error, OSError)
        assert failed.will_retry
    await lab.told(room, Renewed)
    assert lab.naps.taken == [1.0, 2.0]
    assert relay.session.last(controls.Renew).token == "fourth"


async def test_a_refused_token_of_a_callback_is_told_and_not_asked_for_again(relay, lab):
    room = await lab.joined(token=lambda channel, user: "a token")
    relay.renewals += [relay.error("rate_limited"), relay.error("invalid_token")]
    await expire(relay)
    temporary, final = [await lab.told(room, RenewFailed) for _ in range(2)]
    assert temporary.will_retry
    assert not final.will_retry
    assert isinstance(final.error, RequestRefused)
    assert final.error.code.name == "invalid_token"
    assert lab.naps.taken == [1.0]


async def test_a_renewal_under_way_ends_with_the_connection_and_the_rejoin_asks_anew(relay, lab):
    asked = 0
    never = asyncio.Event()

    async def callback(channel: str, user: str) -> str:
        nonlocal asked
        asked += 1
        if asked == 2:
            await never.wait()
        return f"token {asked}"

    room = await lab.joined(token=callback)
    await expire(relay)
    while asked < 2:
        await asyncio.sleep(0)
    relay.session.cut()
    await lab.told(room, Disconnected)
    await lab.told(room, Resumed)
    assert relay.session.last(controls.Join).token == "token 3"
    # Renewing works again on the new connection.
    await expire(relay)
    await lab.told(room, Renewed)


async def test_a_renewal_under_way_ends_with_the_client(relay, lab):
    started = asyncio.Event()

    async def callback(channel: str, user: str) -> str:
        if started.is_set():
            await asyncio.Event().wait()
        started.set()
        return "a token"

    client = await lab.client(token=callback)
    room = await client.join("standup", user="alice", key=lab.key)
    await expire(relay)
    await relay.session.send(controls.Dropped(channel=relay.room("standup").number, counts={}))
    await lab.next(room)
    await client.close()
    assert isinstance((await lab.rest(room))[-1], Left)
