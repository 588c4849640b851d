"""Controls that are wrong, out of place or bombs; another channel notices nothing."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sealcast.protocol import controls
from sealcast.protocol.controls import Error, Join, Joined, MemberLeft, Ping, Pong

if TYPE_CHECKING:
    from .conftest import Lab

pytestmark = pytest.mark.timeout(30)


def control(name: Any, ref: Any, body: Any) -> bytes:
    return b"\0" + bytes(msgpack.packb([name, ref, body]))


BOMBS = {
    "nothing": b"",
    "nil": b"\xc0",
    "a number": b"\x07",
    "not three items": b"\x92\xa4ping\x01",
    "trailing bytes": b"\x93\xa4ping\x01\x80\x00",
    "cut short": b"\x93\xa4ping\x01\x81\xa1",
    "depth": b"\x93\xa4ping\x01" + b"\x91" * 10_000 + b"\xc0",
    "depth of maps": b"\x93\xa4ping\x01" + b"\x81\xa1a" * 5_000 + b"\xc0",
    "a declared array": b"\x93\xa4ping\x01\xdd\xff\xff\xff\xff",
    "a declared map": b"\x93\xa4ping\x01\xdf\xff\xff\xff\xff",
    "declared bytes": b"\x93\xa4ping\x01\xc6\xff\xff\xff\xff",
    "declared text": b"\x93\xa4ping\x01\xdb\xff\xff\xff\xff",
    "arrays that claim gigabytes": b"\x93\xa4ping\x01" + b"\xdd\x00\x00\xff\xff" * 3_000,
    "a huge map": msgpack.packb(["ping", 1, {f"k{number}": number for number in range(2000)}]),
    "a map of 65": msgpack.packb(["ping", 1, {f"k{number}": number for number in range(65)}]),
    "an extension": msgpack.packb(["ping", 1, {"x": msgpack.ExtType(5, b"data")}]),
    "a timestamp": msgpack.packb(["ping", 1, {"x": msgpack.Timestamp(1, 2)}]),
    "a key that is no text": msgpack.packb(["ping", 1, {1: 2}]),
    "a key twice": b"\x93\xa4ping\x01\x82\xa1a\x01\xa1a\x02",
    "text that is not UTF-8": b"\x93\xa4ping\x01\x81\xa1a\xa2\xff\xfe",
    "a name that is no text": b"\x93\x01\x01\x80",
    "a ref that is no number": b"\x93\xa4ping\xa1x\x80",
    "a ref below zero": b"\x93\xa4ping\xff\x80",
    "a ref that is too large": b"\x93\xa4ping\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x80",
    "a ref of true": b"\x93\xa4ping\xc3\x80",
    "a body that is no map": b"\x93\xa4ping\x01\x90",
    "more than 16 KiB": msgpack.packb(["ping", 1, {"x": bytes(16_500)}]),
    "the type that does not exist": b"\xc1",
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
async def test_what_is_no_control_ends_the_connection(lab: Lab, bomb: bytes) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve, bob = await lab.connect(relay), await lab.connect(relay)
        await eve.join("standup", "eve")
        await bob.join("standup", "bob")
        await eve.ws.send(b"\0" + bomb)
        assert await eve.ended() == (4501, "protocol_error")
        assert (await bob.told(MemberLeft)).reason == "protocol_error"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"channel": "standup"},
        {"user": "eve"},
        {"channel": "standup", "user": None},
        {"channel": 7, "user": "eve"},
        {"channel": b"standup", "user": "eve"},
        {"channel": ["standup"], "user": "eve"},
        {"channel": "x" * 65, "user": "eve"},
        {"channel": "standup", "user": "x" * 256},
        {"channel": "standup", "user": "eve", "token": "x" * 2048},
        {"channel": "standup", "user": "eve", "token": b"007"},
        {"channel": "standup", "user": "eve", "hello": "text"},
        {"channel": "standup", "user": "eve", "hello": bytes(controls.HELLO_MAX + 1)},
        {"channel": "standup", "user": "eve", "run": bytes(15)},
        {"channel": "standup", "user": "eve", "run": bytes(17)},
        {"channel": "standup", "user": "eve", "run": "x" * 16},
        {"channel": "standup", "user": "eve", "since": 5},
        {"channel": "standup", "user": "eve", "since": {}},
        {"channel": "standup", "user": "eve", "since": {"epoch": "e"}},
        {"channel": "standup", "user": "eve", "since": {"epoch": "x" * 65, "offset": 1}},
        {"channel": "standup", "user": "eve", "since": {"epoch": "e", "offset": -1}},
        {"channel": "standup", "user": "eve", "since": {"epoch": "e", "offset": 1.0}},
        {"channel": "standup", "user": "eve", "since": {"epoch": "e", "offset": True}},
    ],
    ids=lambda body: str(body)[:50],
)
async def test_a_malformed_join_is_refused_and_the_connection_lives_on(lab: Lab, body: Any) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve = await lab.connect(relay)
        await eve.ws.send(control("join", 50, body))
        item = await eve.receive()
        assert isinstance(item, lab.Told)
        assert isinstance(item.control, Error)
        assert (item.ref, item.control.name) == (50, "bad_request")
        await eve.join("standup", "eve")


@pytest.mark.parametrize("name", ["", "JOIN", "welcome", "joined", "ack", "kick", "x" * 5000, "__class__"])
async def test_an_unknown_name_is_refused(lab: Lab, name: str) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve = await lab.connect(relay)
        await eve.ws.send(control(name, 3, {}))
        item = await eve.receive()
        assert isinstance(item, lab.Told)
        assert isinstance(item.control, Error)
        assert (item.ref, item.control.name) == (3, "unknown_control")


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": None},
        {"limit": 257},
        {"limit": -1},
        {"limit": 1.5},
        {"limit": 2**64 - 1},
        {"limit": "1"},
        {"limit": True},
        {"after": -1},
        {"after": "1"},
        {"before": -1},
        {"before": b""},
        {"limit": 0},
        {"limit": 0, "before": 0},
    ],
    ids=str,
)
async def test_a_malformed_request_for_history_is_refused(lab: Lab, wrong: dict[str, Any]) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve = await lab.connect(relay)
        room = await eve.join("standup", "eve")
        await eve.ws.send(control("history", 50, {"channel": room.number, "limit": 1, **wrong}))
        item = await eve.receive()
        assert isinstance(item, lab.Told)
        assert isinstance(item.control, Error)
        assert (item.ref, item.control.name) == (50, "bad_request")


@pytest.mark.parametrize("offset", [0, 1, 2**32, 2**64 - 1])
@pytest.mark.parametrize("epoch", ["", "x", "é" * 64, "\0"])
async def test_a_place_that_never_was_recovers_nothing(lab: Lab, epoch: str, offset: int) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve = await lab.connect(relay)
        room = await eve.join("standup", "eve", since=(epoch, offset))
        assert not room.joined.recovered
        assert await eve.settle() == []


@pytest.mark.parametrize("name", ["leave", "renew", "direct", "history"])
async def test_a_control_before_the_join_is_refused(lab: Lab, name: str) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve = await lab.connect(relay)
        body = {"channel": 1, "token": "007", "member": 1, "data": b"", "limit": 1}
        await eve.ws.send(control(name, 3, body))
        item = await eve.receive()
        assert isinstance(item, lab.Told)
        assert isinstance(item.control, Error)
        assert (item.ref, item.control.name) == (3, "not_joined")


async def test_a_request_without_a_ref_is_refused(lab: Lab) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        eve = await lab.connect(relay)
        join = Join(channel="standup", user="eve", token=lab.token("standup", "eve"))
        for request in (join, Ping()):
            await eve.ws.send(controls.encode(request, 0))
            item = await eve.receive()
            assert isinstance(item, lab.Told)
            assert isinstance(item.control, Error)
            assert (item.ref, item.control.name) == (0, "bad_request")
        assert list(relay.hub.app(lab.APP).channels) == ["calm"]  # type: ignore[union-attr]


async def test_unknown_fields_are_ignored(lab: Lab) -> None:
    relay = await lab.serve()
    eve = await lab.connect(relay)
    token = lab.token("standup", "eve")
    body = {"channel": "standup", "user": "eve", "token": token, "hello": None, "later": [1, {"a": b"b"}]}
    await eve.ws.send(control("join", 3, body))
    item = await eve.receive()
    assert isinstance(item, lab.Told)
    assert isinstance(item.control, Joined)


def packed(payload: bytes) -> str:
    return "007" + base64.b64encode(zlib.compress(payload, 9)).decode()


@pytest.mark.parametrize(
    "token",
    [
        packed(bytes(1_400_000)),
        packed(b"\xff\xff" * 100_000),
        packed(b""),
        "007" + "A" * 2044,
        "007" + base64.b64encode(b"not zlib").decode(),
        "007\n",
        "006" + "0" * 32 + "A" * 64,
        "\0" * 2047,
        "007" + "é" * 500,
    ],
    ids=lambda token: f"{token[:8]!r}:{len(token)}",
)
async def test_a_token_that_is_a_bomb_is_refused_like_any_other(lab: Lab, token: str) -> None:
    assert len(token) <= 2047
    relay = await lab.serve(lab.app(policy={"accept_006": True}))
    async with lab.undisturbed(relay):
        eve = await lab.connect(relay)
        error = await eve.refused(Join(channel="standup", user="eve", token=token))
        assert error.name in ("invalid_token", "app_mismatch")


async def test_a_flood_of_bad_requests_ends_the_connection(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"errors_per_minute": 50}))
    async with lab.undisturbed(relay):
        wire = await lab.wire(relay)
        await wire.send(b"".join(lab.ws_frame(2, control("nonsense", ref, {})) for ref in range(1, 500)))
        answers = 0
        while (received := await wire.received())[0] != 8:
            answers += 1
        assert int.from_bytes(received[1][:2], "big") == 4505
        assert answers == 51, "the welcome, and an answer for each until the budget was spent"


async def test_a_flood_of_joins_and_leaves_ends_in_rate_limits_and_then_in_the_end(lab: Lab) -> None:
    relay = await lab.serve(lab.app(limits={"joins_per_minute": 20, "errors_per_minute": 30}))
    async with lab.undisturbed(relay):
        eve, bob = await lab.connect(relay), await lab.connect(relay)
        await bob.join("standup", "bob")
        token = lab.token("standup", "eve")
        for _ in range(100):
            await eve.send(Join(channel="standup", user="eve", token=token))
        assert await eve.ended() == (4505, "too_many_errors")
        told = [item.control for item in await bob.settle()]  # type: ignore[union-attr]
        assert len(told) == 2, "joined once, left once"
    assert relay.metrics.refused == {"already_joined": 19, "rate_limited": 12}


async def test_pings_are_answered_in_order_under_their_refs(lab: Lab) -> None:
    relay = await lab.serve()
    eve = await lab.connect(relay)
    refs = [5, 2**32 - 1, 5, 1]
    for ref in refs:
        await eve.ws.send(controls.encode(Ping(), ref))
    assert [await eve.receive() for _ in refs] == [lab.Told(Pong(), ref) for ref in refs]


NAMES = st.sampled_from([*controls.CLIENT_CONTROLS, *controls.SERVER_CONTROLS, "nonsense", ""])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
FIELDS = st.sampled_from(["channel", "user", "token", "hello", "member", "data", "since", "other"])
CONTROLS = st.builds(
    control, NAMES | VALUES, st.integers(0, 2**32 - 1) | VALUES, st.dictionaries(FIELDS, VALUES) | VALUES
)


@given(sent=st.lists(CONTROLS | st.binary(max_size=100).map(b"\0".__add__), max_size=25))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_control_makes_the_relay_fail(
    lab: Lab, sent: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    relay = lab.relays[0] if lab.relays else await lab.serve(lab.app(policy={"allow_app_id_only": True}))
    wire = await lab.wire(relay)
    await wire.send(b"".join(lab.ws_frame(2, data) for data in sent) + lab.ws_frame(8, b"\x03\xe8"))
    assert await wire.ended() in (1000, 4501)
    wire.close()
    assert caplog.records == []
    assert all(not app.channels for app in relay.hub.apps())
