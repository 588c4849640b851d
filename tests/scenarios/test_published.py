"""A message that is sealed outside the relay and published by HTTP opens at real clients, live and later."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from sealcast.client import Channel, Key, MemberJoined, MemberLeft, Message, SealFailure
from sealcast.client.e2ee import ChannelCrypto, ControlFrame
from sealcast.protocol.descriptor import MESSAGE_STREAM, Descriptor
from sealcast.protocol.names import Kind
from sealcast.server.config import AppConfig, Config, ServerConfig
from sealcast.server.station import Station

from .sdk_lab import APP, CERTIFICATE, PATIENCE, E, Lab

API_KEY = "key-of-the-publisher-0123456789abcdef"
STANDUP = f"/api/v1/apps/{APP}"


class Publisher:
    """A program of the customer's, which has the channel's key and no connection."""

    def __init__(self, api: httpx.AsyncClient, key: Key, channel: str, user: str) -> None:
        self._api = api
        self._channel = channel
        self._user = user
        self._now = 0.0
        self.crypto: ChannelCrypto = key.bind(APP, channel, user)

    async def look(self) -> None:
        """See who is there, to prove to them that what comes is of now."""
        answer = await self._api.get(f"{STANDUP}/presence", params={"channel": self._channel})
        there = answer.json()["items"] if answer.status_code == 200 else []
        self.crypto.joined(
            (each["member"], each["user"], None if each["hello"] is None else base64.b64decode(each["hello"]))
            for each in there
        )

    def seal(self, text: bytes) -> dict[str, Any]:
        """Seal a message; return the body of the request that publishes it."""
        self._now += 10.0
        sealed = self.crypto.seal(Descriptor(Kind.MESSAGE, stream=MESSAGE_STREAM), text)
        self.crypto.hasten()
        controls = [item.data for item in self.crypto.outgoing(self._now) if isinstance(item, ControlFrame)]
        hello = self.crypto.hello
        assert hello is not None
        return {
            "channel": self._channel,
            "user": self._user,
            "hello": base64.b64encode(hello).decode(),
            "controls": [base64.b64encode(each).decode() for each in controls],
            "data": base64.b64encode(sealed).decode(),
        }

    async def publish(self, text: bytes) -> int:
        await self.look()
        answer = await self._api.post(f"{STANDUP}/messages", json=self.seal(text))
        assert answer.status_code == 201, answer.text
        offset: int = answer.json()["offset"]
        return offset


class Place:
    """A station, clients of it, and its API."""

    def __init__(self, lab: Lab, api: httpx.AsyncClient) -> None:
        self.lab = lab
        self.api = api

    def publisher(self, channel: str, user: str, key: Key | None = None) -> Publisher:
        return Publisher(self.api, key or self.lab.key, channel, user)

    async def join(self, channel: str, user: str) -> Channel:
        return await self.lab.join(await self.lab.client(), channel, user)


async def until(room: Channel, kind: type[E], patience: float = PATIENCE) -> E:
    """Return the next event of this kind."""
    async with asyncio.timeout(patience):
        while not isinstance(event := await anext(room), kind):
            pass
    return event


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Place]:
    server = ServerConfig(port=0, internal_port=0, internal_key=API_KEY, close=0.5, drain_spread=0.0)
    config = Config(server=server, apps=(AppConfig(app_id=APP, certificate=CERTIFICATE),))
    async with contextlib.AsyncExitStack() as stack:
        station = await stack.enter_async_context(Station(config).running())
        assert isinstance(station, Station)
        assert station.address is not None
        assert station.internal_url is not None
        lab = Lab(stack)
        lab.port = station.address[1]
        headers = {"Authorization": f"Bearer {API_KEY}"}
        api = httpx.AsyncClient(base_url=station.internal_url, headers=headers, trust_env=False)
        yield Place(lab, await stack.enter_async_context(api))


async def test_members_read_at_once_what_was_sealed_for_them(place: Place) -> None:
    ann, bob = await place.join("standup", "ann"), await place.join("standup", "bob")
    bot = place.publisher("standup", "bot")
    for text in (b"one", b"two"):
        offset = await bot.publish(text)
        for room in (ann, bob):
            # One that is not proved to be of now would wait for ten seconds.
            message = await until(room, Message, 2.0)
            assert (message.user, message.data, message.offset) == ("bot", text, offset)
            assert not message.historical
            assert (await until(room, MemberLeft)).user == "bot"
            assert not room.stats.seal_failures


async def test_who_comes_later_reads_it_from_the_history(place: Place) -> None:
    bot = place.publisher("standup", "bot")
    assert await bot.publish(b"nobody is here") == 1
    ann = await place.join("standup", "ann")
    (message,) = [each async for each in ann.history(limit=10)]
    assert (message.user, message.data, message.historical) == ("bot", b"nobody is here", True)


async def test_what_the_relay_was_given_says_nothing_without_the_key(place: Place) -> None:
    ann = await place.join("standup", "ann")
    stranger = place.publisher("standup", "eve", Key.raw(bytes(32)))
    await stranger.publish(b"forged")
    assert (await until(ann, MemberJoined)).user == "eve"
    failure = await until(ann, SealFailure)
    assert failure.user == "eve"
    assert ann.stats.messages_received == 0


async def test_the_same_sealed_bytes_are_read_once(place: Place) -> None:
    ann = await place.join("standup", "ann")
    bot = place.publisher("standup", "bot")
    await bot.look()
    body = bot.seal(b"once")
    for _ in range(2):
        assert (await place.api.post(f"{STANDUP}/messages", json=body)).status_code == 201
    assert (await until(ann, Message)).data == b"once"
    assert (await until(ann, SealFailure)).reason
    assert ann.stats.messages_received == 1


@pytest.mark.parametrize("user", ["ann", "bot"])
async def test_members_and_publishers_do_not_take_each_others_names(place: Place, user: str) -> None:
    await place.join("standup", "ann")
    bot = place.publisher("standup", user)
    await bot.look()
    answer = await place.api.post(f"{STANDUP}/messages", json=bot.seal(b"who am I"))
    assert answer.status_code == (409 if user == "ann" else 201)
