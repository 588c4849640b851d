"""`sealcast channels`, `members` and `kick`: an operator who looks at a relay that runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from sealcast.client import Channel, Client, Key, Left
from sealcast.client.tokens import mint
from sealcast.server.config import Config
from sealcast.server.station import Station

Start = Callable[..., Awaitable[Any]]

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
API_KEY = "key-of-the-operator-0123456789abcdef"
HOSTILE = "a b?c#d%2F&e=[x]"


class Desk:
    """A station in this process, members, and an operator's commands."""

    def __init__(self, station: Station, start: Start, stack: contextlib.AsyncExitStack) -> None:
        assert station.internal_url is not None
        self._station = station
        self._start = start
        self._stack = stack
        self.env = {"SEALCAST_API_URL": station.internal_url, "SEALCAST_API_KEY": API_KEY}

    async def join(self, channel: str, user: str) -> Channel:
        assert self._station.address is not None
        url = "ws://{}:{}".format(*self._station.address)
        client = await self._stack.enter_async_context(Client(url, app_id=APP_ID, proxy=None))
        token = mint(APP_ID, CERTIFICATE, channel, user)
        return await client.join(channel, user=user, token=token, key=Key.raw(bytes(32)))

    async def run(self, *arguments: str, status: int = 0) -> str:
        done = await (await self._start(*arguments, env=self.env)).finish()
        assert done.status == status, done.err
        assert not status or (done.out == b"" and done.err.count("\n") == 1), done.err
        return str(done.err) if status else str(done.out.decode())


@pytest.fixture
async def desk(start: Start) -> AsyncIterator[Desk]:
    server = {"port": 0, "internal_port": 0, "internal_key": API_KEY, "drain_spread": 0}
    app = {"app_id": APP_ID, "certificate": CERTIFICATE}
    async with contextlib.AsyncExitStack() as stack:
        station = Station(Config.model_validate({"server": server, "apps": [app]}))
        await stack.enter_async_context(station.running())
        yield Desk(station, start, stack)


async def test_channels_and_members_are_listed_and_shown(desk: Desk) -> None:
    room = await desk.join(HOSTILE, "ann")
    await desk.join("team-1", "bob")
    await room.send(b"hello")
    listed = await desk.run("channels", "list", APP_ID)
    assert HOSTILE in listed
    assert "team-1" in listed
    only = json.loads(await desk.run("channels", "list", APP_ID, "--prefix", "team-", "--json"))
    assert [each["channel"] for each in only] == ["team-1"]
    shown = json.loads(await desk.run("channels", "show", APP_ID, HOSTILE, "--json"))
    assert (shown["members"], shown["kinds"]["message"]["count"]) == (1, 1)
    text = await desk.run("channels", "show", APP_ID, HOSTILE)
    assert "kinds.message.count = 1\n" in text
    assert "encrypted = 1.0\n" in text
    assert "ann" in await desk.run("members", "list", APP_ID, HOSTILE)
    (found,) = json.loads(await desk.run("members", "list", APP_ID, "--user", "bob", "--json"))
    assert found["channel"] == "team-1"
    member = json.loads(await desk.run("members", "show", APP_ID, HOSTILE, "ann", "--json"))
    assert (member["address"], member["encrypted"]) == ("127.0.0.1", 1.0)
    text = await desk.run("members", "show", APP_ID, HOSTILE, "ann")
    assert "address = 127.0.0.1\n" in text
    assert "lingering = no\n" in text


async def test_a_user_is_kicked_and_then_a_channel(desk: Desk) -> None:
    ann, bob = await desk.join(HOSTILE, "ann"), await desk.join(HOSTILE, "bob")
    assert await desk.run("kick", APP_ID, "--channel", HOSTILE, "--user", "ann") == "1 kicked\n"
    assert await left(ann) == "kicked"
    assert json.loads(await desk.run("kick", APP_ID, "--channel", HOSTILE, "--json")) == {"kicked": 1}
    assert await left(bob) == "kicked"
    assert await desk.run("kick", APP_ID, "--user", "ann") == "0 kicked\n"
    assert await desk.run("channels", "list", APP_ID) == "none\n"


async def left(room: Channel) -> str:
    async with asyncio.timeout(20):
        async for event in room:
            if isinstance(event, Left):
                return event.name
    raise AssertionError("it did not leave")


async def test_history_is_deleted(desk: Desk) -> None:
    room = await desk.join(HOSTILE, "ann")
    for _ in range(3):
        await room.send(b"hello")
    assert await desk.run("channels", "delete-history", APP_ID, HOSTILE, "--upto", "1") == "1 deleted\n"
    done = await desk.run("channels", "delete-history", APP_ID, HOSTILE, "--json")
    assert json.loads(done) == {"erased": 2}
    assert [message async for message in room.history()] == []


async def test_what_cannot_be_done_is_one_line(desk: Desk) -> None:
    for arguments, status, said in (
        (["channels", "show", APP_ID, "nowhere"], 1, "nobody is in a channel of that name (not_found)"),
        (["channels", "list", "f" * 32], 1, "no such app (not_found)"),
        (["channels", "show", APP_ID, "a/b"], 1, "(invalid)"),
        (["members", "show", APP_ID, "nowhere", "ann"], 1, "(not_found)"),
        (["members", "list", APP_ID], 2, "neither a channel nor a user"),
        (["members", "list", APP_ID, "standup", "--user", "ann"], 2, "neither a channel nor a user"),
        (["kick", APP_ID], 2, "nobody is named; try --user, --channel, or both"),
        (["kick", APP_ID, "--user", "*"], 1, "(invalid)"),
    ):
        assert said in await desk.run(*arguments, status=status), arguments
