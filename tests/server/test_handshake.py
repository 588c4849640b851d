"""Before the upgrade: what is answered to whom, and what a peer can make the relay hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sealcast.protocol import controls
from sealcast.protocol.controls import Ping, Pong, Welcome

if TYPE_CHECKING:
    from sealcast.server.relay import Relay

    from .conftest import Lab

pytestmark = pytest.mark.timeout(30)


async def answer(lab: Lab, relay: Relay, data: bytes) -> tuple[int, bytes]:
    """Send bytes; return the status and the whole answer without its date, to the end of the stream."""
    wire = await lab.wire(relay, upgrade=False)
    await wire.send(data)
    response = await wire.rest()
    wire.close()
    if not response:
        return 0, b""
    return int(response.split(b" ", 2)[1]), re.sub(rb"Date: [^\r]+\r\n", b"", response)


async def test_the_upgrade_is_answered_by_the_book(lab: Lab) -> None:
    relay = await lab.serve()
    wire = await lab.wire(relay, upgrade=False)
    await wire.send(lab.request(f"/v1/{lab.APP}", "Sec-WebSocket-Extensions: permessage-deflate"))
    head = (await wire.head()).decode()
    assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert "Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n" in head
    assert "Sec-WebSocket-Protocol: sealcast.1\r\n" in head
    assert "Sec-WebSocket-Extensions" not in head
    await wire.told(Welcome)


async def test_unknown_malformed_and_disabled_apps_get_the_same_bytes(lab: Lab) -> None:
    relay = await lab.serve(lab.app(), lab.app(lab.OTHER_APP, enabled=False))
    async with lab.undisturbed(relay):
        app = lab.APP
        paths = [
            f"/v1/{lab.OTHER_APP}",
            f"/v1/{'f' * 32}",
            f"/v1/{app.upper()}",
            f"/v1/{app}/",
            f"/v1/{app}?token=x",
            f"/v1/{app[:-1]}",
            f"/v1/{app}0",
            "/v1/",
            "/v1",
            "/",
            f"/v2/{app}",
            f"//v1/{app}",
            f"/v1/../v1/{app}",
            f"http://relay/v1/{app}",
            "*",
            "/v1/" + "x" * 4000,
        ]
        answers = {await answer(lab, relay, lab.request(path)) for path in paths}
        ((status, _),) = answers
        assert status == 404
        assert relay.metrics.handshakes_refused == {"unknown_app": len(paths)}


@pytest.mark.parametrize("offered", ["", "chat", "sealcast.2", "sealcast.10", "SEALCAST.1"])
async def test_a_missing_subprotocol_is_400(lab: Lab, offered: str) -> None:
    relay = await lab.serve()
    status, body = await answer(lab, relay, lab.request(f"/v1/{lab.APP}", subprotocol=offered))
    assert status == 400
    assert b"subprotocol" in body


async def test_the_subprotocol_is_found_among_others(lab: Lab) -> None:
    relay = await lab.serve()
    wire = await lab.wire(relay, upgrade=False)
    await wire.send(lab.request(f"/v1/{lab.APP}", subprotocol="chat, sealcast.1"))
    assert b"Sec-WebSocket-Protocol: sealcast.1\r\n" in await wire.head()


@pytest.mark.parametrize(
    ("origins", "lines", "status"),
    [
        ((), (), 101),
        ((), ("Origin: https://a.example",), 403),
        (("https://a.example",), ("Origin: https://a.example",), 101),
        (("https://a.example",), ("Origin: https://b.example",), 403),
        (("https://a.example",), ("Origin: http://a.example",), 403),
        (("https://a.example",), ("Origin: null",), 403),
        (("https://a.example",), ("Origin: https://a.example", "Origin: https://b.example"), 403),
        (("*",), ("Origin: https://b.example",), 101),
    ],
)
async def test_a_page_connects_only_from_an_allowed_origin(
    lab: Lab, origins: tuple[str, ...], lines: tuple[str, ...], status: int
) -> None:
    relay = await lab.serve(lab.app(policy={"origins": origins}))
    async with lab.undisturbed(relay):
        wire = await lab.wire(relay, upgrade=False)
        await wire.send(lab.request(f"/v1/{lab.APP}", *lines))
        assert int((await wire.head()).split(b" ")[1]) == status


async def test_an_origin_is_not_asked_for_an_unknown_app(lab: Lab) -> None:
    relay = await lab.serve()
    request = lab.request(f"/v1/{'f' * 32}", "Origin: https://a.example")
    assert (await answer(lab, relay, request))[0] == 404


@pytest.mark.parametrize("limit", ["app", "server"])
async def test_a_full_relay_says_when_to_come_back(lab: Lab, limit: str) -> None:
    if limit == "app":
        relay = await lab.serve(lab.app(limits={"connections": 2}), lab.app(lab.OTHER_APP))
    else:
        relay = await lab.serve(connections=2)
    first = await lab.connect(relay)
    await lab.connect(relay)
    status, body = await answer(lab, relay, lab.request(f"/v1/{lab.APP}"))
    assert status == 503
    assert b"\r\nRetry-After: 5\r\n" in body
    if limit == "app":
        await lab.connect(relay, lab.OTHER_APP)
    await first.ws.close()
    await first.ws.wait_closed()
    while relay.hub.app(lab.APP).connections > 1:  # type: ignore[union-attr]
        await lab.turn()
    await lab.connect(relay)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST /v1/{app} HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"GET /v1/{app} HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (b"GET /v1/{app} HTTP/1.0\r\nHost: x\r\n\r\n", 505),
        (b"GET /v1/{app} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /v1/{app} HTTP/2.0\r\n\r\n", 0),
        (b"GET /v1/{app} HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 0),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 0),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", 0),
        (b"GET /\xff HTTP/1.1\r\n\r\n", 0),
        (b"GET\r\n\r\n", 0),
        (b"\r\n\r\n", 0),
        (b"garbage without any sense\r\n\r\n", 0),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 0),
        (b"\0" * 100, 0),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_what_is_not_a_handshake_is_refused_or_cut(lab: Lab, request_: bytes, status: int) -> None:
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        data = request_.replace(b"{app}", lab.APP.encode())
        assert (await answer(lab, relay, data))[0] == status


@pytest.mark.parametrize("piece", [1, 7, 100])
async def test_a_handshake_may_come_in_pieces(lab: Lab, piece: int) -> None:
    relay = await lab.serve()
    wire = await lab.wire(relay, upgrade=False)
    request = lab.request(f"/v1/{lab.APP}")
    for start in range(0, len(request), piece):
        await wire.send(request[start : start + piece])
        await lab.turn()
    assert (await wire.head()).startswith(b"HTTP/1.1 101 ")


async def test_a_head_over_the_limit_is_refused_before_it_is_complete(lab: Lab) -> None:
    """A request of a kilobyte is a long one; a peer without a name does not get a megabyte."""
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        for data in (
            lab.request(f"/v1/{lab.APP}", *(f"X-{number}: {'y' * 1000}" for number in range(17))),
            b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 4000,
            b"GET /" + b"x" * 20_000,
            b"G" * 20_000,
        ):
            assert (await answer(lab, relay, data))[0] == 431


@pytest.mark.parametrize(
    "extra",
    [
        b"\0\0",
        b"\x88\x80\0\0\0\0",
        b"\x89\x80\0\0\0\0",
        b"\x82\xfe\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xff" * 3000,
    ],
    ids=lambda value: value[:8].hex(),
)
@pytest.mark.parametrize("path", ["/v1/{app}", "/nowhere"])
async def test_bytes_sent_along_with_the_request_break_nothing(
    lab: Lab, extra: bytes, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A client has to wait for the answer; what comes before it must not be taken for HTTP, nor fail."""
    relay = await lab.serve()
    async with lab.undisturbed(relay):
        wire = await lab.wire(relay, upgrade=False)
        await wire.send(lab.request(path.format(app=lab.APP)) + extra)
        head = await wire.head()
        assert head.startswith(b"HTTP/1.1 404" if path == "/nowhere" else b"HTTP/1.1 101")
        for _ in range(2):  # what is still open is ended, and then cut
            lab.later(60)
        await wire.rest()
    assert caplog.records == [], "nothing failed inside"


async def test_a_first_control_sent_along_with_the_request_is_not_lost(lab: Lab) -> None:
    relay = await lab.serve()
    wire = await lab.wire(relay, upgrade=False)
    await wire.send(lab.request(f"/v1/{lab.APP}") + lab.ws_frame(2, controls.encode(Ping(), 9)))
    await wire.head()
    assert await wire.told(Pong) == (Pong(), 9)


# --- floods ---


async def test_a_handshake_that_takes_too_long_is_cut(lab: Lab) -> None:
    relay = await lab.serve(handshake=5)
    async with lab.undisturbed(relay):
        slow = [await lab.wire(relay, upgrade=False) for _ in range(3)]
        await slow[1].send(b"GET /v1/")
        request = lab.request(f"/v1/{lab.APP}")
        for byte in range(40):
            await slow[2].send(request[byte : byte + 1])
            await lab.turn()
        lab.later(4.8)
        await lab.connect(relay)
        await slow[2].send(request[40:41])  # a byte now and then does not help
        assert relay.metrics.handshakes_refused == {}
        lab.later(0.3)
        for wire in slow:
            assert await wire.rest() == b""
    assert relay.metrics.handshakes_refused == {"unfinished": 3}


async def test_the_oldest_handshake_gives_way_when_there_are_too_many(lab: Lab) -> None:
    relay = await lab.serve(handshakes=10)
    async with lab.undisturbed(relay):
        waiting = [await lab.wire(relay, upgrade=False) for _ in range(10)]
        await waiting[0].send(b"GET ")
        newest = await lab.wire(relay, upgrade=False)
        assert await waiting[0].rest() == b"", "the oldest was cut"
        request = lab.request(f"/v1/{lab.APP}")
        for wire in (*waiting[1:], newest):
            await wire.send(request)
            assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
    assert relay.metrics.handshakes_refused == {"crowded_out": 1}


async def test_a_refused_handshake_makes_room_for_others(lab: Lab) -> None:
    relay = await lab.serve(handshakes=2)
    for _ in range(10):
        assert (await answer(lab, relay, lab.request("/nowhere")))[0] == 404
    await lab.connect(relay)
    assert relay.metrics.handshakes_refused == {"unknown_app": 10}


@pytest.mark.slow
@pytest.mark.asyncio(loop_factories=["uvloop"])
async def test_thousands_of_half_open_connections_do_not_shut_the_others_out(
    lab: Lab, open_files: int
) -> None:
    count = min(2_500, (open_files - 200) // 2)
    relay = await lab.serve(handshakes=200)
    async with lab.undisturbed(relay):
        for number in range(count):
            wire = await lab.wire(relay, upgrade=False)
            if number % 3 == 1:
                await wire.send(b"GET /v1/" + lab.APP.encode())
            if number % 500 == 499:
                await lab.connect(relay)
    assert relay.metrics.connections <= 200 + 2 + count // 500
    assert relay.metrics.handshakes_refused["crowded_out"] >= count - 210
