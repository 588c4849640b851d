"""The document is enough: a client written from docs/protocol.md and docs/tokens.md alone.

Nothing of sealcast is used here but the relay under test. What this client needs and the two documents do
not say would be a fault of theirs.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import os
import struct
import time
import zlib
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import pytest
import pytest_asyncio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sealcast.server.config import AppConfig, Config, ServerConfig
from sealcast.server.relay import Relay

pytestmark = pytest.mark.timeout(30)

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
JOIN, AUDIO, VIDEO, DATA = 1, 2, 3, 4


# --- docs/tokens.md: AccessToken2 (007), byte by byte ---


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<H", len(data)) + data


def token_007(channel: str, user: str, privileges: dict[int, int], expire: int = 3600) -> str:
    """Sign one RTC entry."""
    issued_at, salt = int(time.time()), 12345
    service = struct.pack("<HH", 1, len(privileges))
    service += b"".join(struct.pack("<HI", number, end) for number, end in sorted(privileges.items()))
    service += text(channel) + text(user)
    signed = text(APP_ID) + struct.pack("<IIIH", issued_at, expire, salt, 1) + service
    k1 = hmac.digest(struct.pack("<I", issued_at), CERTIFICATE.encode(), "sha256")
    k2 = hmac.digest(struct.pack("<I", salt), k1, "sha256")
    return "007" + base64.b64encode(zlib.compress(text(hmac.digest(k2, signed, "sha256")) + signed)).decode()


# --- docs/protocol.md ---


class RawClient:
    """One connection and, after ``join``, one membership."""

    def __init__(self, ws: ClientConnection) -> None:
        self.ws = ws
        self.refs = itertools.count(1)
        self.counter = itertools.count()
        self.channel = self.member = 0

    async def control(self) -> list[Any]:
        """Receive a control: 00, then one MessagePack array [name, ref, body]."""
        data = await self.ws.recv()
        assert isinstance(data, bytes)
        assert data[0] == 0
        control: list[Any] = msgpack.unpackb(data[1:])
        return control

    async def ask(self, name: str, **body: Any) -> tuple[str, dict[str, Any]]:
        """Send a request; return name and body of its answer, which is the next thing to come."""
        ref = next(self.refs)
        await self.ws.send(b"\0" + msgpack.packb([name, ref, body]))
        answer, answered, fields = await self.control()
        assert answered == ref
        return answer, fields

    async def join(self, channel: str, user: str, privileges: dict[int, int]) -> dict[str, Any]:
        token = token_007(channel, user, privileges)
        name, joined = await self.ask(
            "join", channel=channel, user=user, token=token, hello=b"keys of " + user.encode()
        )
        assert name == "joined", joined
        self.channel, self.member = joined["channel"], joined["member"]
        return joined

    def sealed(self, version_and_kind: int, stream: int) -> bytes:
        """D, an SFrame header with key id 1 and a growing counter, and what would be the ciphertext."""
        counter = next(self.counter)
        header = bytes((0x10 | counter,)) if counter < 8 else bytes((0x18, counter))
        return bytes((version_and_kind, 0, 0, stream)) + header + os.urandom(40)

    async def send_audio(self) -> bytes:
        sealed = self.sealed(0x11, 2)
        await self.ws.send(struct.pack(">III", 0x01000000, self.channel, self.member) + sealed)
        return sealed

    async def send_message(self) -> tuple[bytes, int]:
        sealed, ref = self.sealed(0x14, 1), next(self.refs)
        await self.ws.send(struct.pack(">IIII", 0x02000000, self.channel, self.member, ref) + sealed)
        return sealed, ref


@pytest_asyncio.fixture
async def url() -> AsyncIterator[str]:
    apps = (AppConfig.model_validate({"app_id": APP_ID, "certificate": CERTIFICATE}),)
    async with Relay(Config(server=ServerConfig(port=0, close=0.2), apps=apps)).running() as relay:
        assert relay.address is not None
        yield f"ws://{relay.address[0]}:{relay.address[1]}/v1/"


@pytest_asyncio.fixture
async def pair(url: str) -> AsyncIterator[tuple[RawClient, RawClient]]:
    how: dict[str, Any] = {"subprotocols": ["sealcast.1"], "compression": None, "proxy": None}
    async with connect(url + APP_ID, **how) as one, connect(url + APP_ID, **how) as two:
        yield RawClient(one), RawClient(two)


async def test_the_server_welcomes_with_what_the_document_lists(pair: tuple[RawClient, RawClient]) -> None:
    name, ref, welcome = await pair[0].control()
    assert (name, ref) == ("welcome", 0)
    assert welcome["server"].startswith("sealcast/")
    assert isinstance(welcome["node"], str)
    assert welcome["heartbeat"] > 0
    assert welcome["limits"].keys() >= {
        "frame",
        "message",
        "control",
        "channels",
        "members",
        "joins_per_minute",
        "unauthenticated",
    }
    assert all(isinstance(feature, str) for feature in welcome["features"])


async def test_two_clients_join_and_exchange_a_frame_and_a_message(pair: tuple[RawClient, RawClient]) -> None:
    alice, bob = pair
    for client in pair:
        assert (await client.control())[0] == "welcome"

    joined = await alice.join("standup", "alice", {JOIN: 0, AUDIO: 0, DATA: 600})
    assert joined["members"] == []
    assert joined["offset"] == 0
    assert joined["policy"] == {"encryption": "required", "delivery": "realtime"}
    assert 3590 < joined["expires_in"] <= 3600
    assert joined["grant"].keys() == {"audio", "data"}
    assert 590 < joined["grant"]["data"] <= 600

    seen = await bob.join("standup", "bob", dict.fromkeys((JOIN, AUDIO, VIDEO, DATA), 0))
    assert (seen["channel"], seen["epoch"]) == (joined["channel"], joined["epoch"])
    assert seen["members"] == [{"member": alice.member, "user": "alice", "hello": b"keys of alice"}]
    assert await alice.control() == [
        "member_joined",
        0,
        {"channel": alice.channel, "member": bob.member, "user": "bob", "hello": b"keys of bob"},
    ]

    # A frame: what comes out is what went in, from D on; before it the envelope with the sender's number.
    for sender, receiver in ((alice, bob), (bob, alice)):
        for _ in range(10):
            sealed = await sender.send_audio()
            envelope = struct.pack(">III", 0x01000000, sender.channel, sender.member)
            assert await receiver.ws.recv() == envelope + sealed

    # A message: acknowledged with its offset, delivered with the same one.
    for offset, (sender, receiver) in enumerate(((alice, bob), (bob, alice), (alice, bob)), 1):
        sealed, ref = await sender.send_message()
        ack = {"channel": sender.channel, "offset": offset, "repeated": False}
        assert await sender.control() == ["ack", ref, ack]
        envelope = struct.pack(">IIIQ", 0x03000000, sender.channel, sender.member, offset)
        assert await receiver.ws.recv() == envelope + sealed

    name, left = await alice.ask("leave", channel=alice.channel)
    assert name == "left"
    assert (left["channel"], left["code"], left["name"]) == (alice.channel, 4500, "left")
    name, _, gone = await bob.control()
    assert name == "member_left"
    assert gone == {"channel": bob.channel, "member": alice.member, "reason": "left"}


async def test_refusals_are_as_the_document_says(pair: tuple[RawClient, RawClient]) -> None:
    alice, _ = pair
    await alice.control()
    name, error = await alice.ask("join", channel="standup", user="alice")
    assert (name, error["code"], error["name"], error["temporary"]) == ("error", 110, "token_required", False)
    assert isinstance(error["message"], str)
    token = token_007("lunch", "alice", {JOIN: 0})
    name, error = await alice.ask("join", channel="standup", user="alice", token=token)
    assert (name, error["code"], error["name"]) == ("error", 115, "channel_mismatch")
    assert await alice.ask("ping") == ("pong", {})
    await alice.join("standup", "alice", {JOIN: 0})
    await alice.send_audio()
    name, ref, error = await alice.control()
    assert (name, ref) == ("error", 0)
    assert (error["code"], error["name"], error["channel"], error["count"]) == (
        117,
        "not_permitted",
        alice.channel,
        1,
    )
    name, renewed = await alice.ask(
        "renew", channel=alice.channel, token=token_007("standup", "alice", {JOIN: 0, AUDIO: 0})
    )
    assert name == "renewed"
    assert renewed["grant"].keys() == {"audio"}
    await alice.send_audio()
    assert await alice.ask("ping") == ("pong", {})


async def test_text_ends_the_connection_with_its_code(pair: tuple[RawClient, RawClient]) -> None:
    alice, _ = pair
    await alice.control()
    await alice.ws.send("text")
    with pytest.raises(ConnectionClosed):
        await alice.ws.recv()
    assert (alice.ws.close_code, alice.ws.close_reason) == (4504, "text_refused")


@pytest.mark.parametrize(
    ("path", "subprotocols", "status"),
    [(APP_ID, None, 400), ("f" * 32, ["sealcast.1"], 404), (APP_ID + "/x", ["sealcast.1"], 404)],
)
async def test_the_handshake_is_refused_as_the_document_says(
    url: str, path: str, subprotocols: Any, status: int
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(url + path, subprotocols=subprotocols, proxy=None)
    assert refused.value.response.status_code == status
