"""Behind proxies, over real sockets: who is believed, and what everybody else can make of their headers."""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.protocol.controls import Welcome
from sealcast.server.hub import App
from sealcast.server.relay import Relay

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Guarded

PEM = Path(__file__).parents[2] / "vectors" / "tls"
TLS = {"tls_certificate": str(PEM / "relay.pem"), "tls_key": str(PEM / "relay.key")}
CLIENT, V6 = "203.0.113.7", "2001:db8::7"
V2 = b"\r\n\r\n\0\r\nQUIT\n"

pytestmark = pytest.mark.timeout(60)


def v1(client: str = CLIENT) -> bytes:
    family, server = ("TCP6", "::1") if ":" in client else ("TCP4", "127.0.0.1")
    return f"PROXY {family} {client} {server} 1 2\r\n".encode()


def v2(client: str = CLIENT) -> bytes:
    body = bytes(map(int, client.split("."))) + bytes((127, 0, 0, 1)) + struct.pack(">HH", 1, 2)
    return V2 + struct.pack(">BBH", 0x21, 0x11, len(body)) + body


def addresses(relay: Relay, lab: Lab) -> set[str]:
    """Return where the members of the app are, as operators are told."""
    app = relay.hub.app(lab.APP)
    assert isinstance(app, App)
    return {
        member.visitor.address
        for channel in app.channels.values()
        for member in channel.members.values()
        if member.visitor is not None
    }


async def test_a_trusted_proxy_is_believed_everywhere(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,)})
    header = {"X-Forwarded-For": f"9.9.9.9, {CLIENT}"}
    client = await guarded.client(relay, guarded.PROXY, additional_headers=header)
    await client.join("standup", "ann")
    assert addresses(relay, lab) == {CLIENT}
    await guarded.forge(relay, guarded.PROXY, 20, additional_headers=header)
    assert guarded.blocks.told == [(lab.APP, CLIENT, "invalid_token", 60.0)]
    head = await guarded.answer(relay, guarded.PROXY, f"X-Forwarded-For: {CLIENT}")
    assert head.startswith(b"HTTP/1.1 429 ")
    assert b"\r\nRetry-After: 60\r\n" in head
    other = await guarded.status(relay, guarded.PROXY, "X-Forwarded-For: 203.0.113.8")
    assert other == 101, "the proxy, and whoever else comes through it, is not blocked"
    assert await guarded.status(relay, guarded.PROXY) == 101


async def test_nobody_else_is_believed(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,), "deny": ("203.0.113.9",)})
    header = {"X-Forwarded-For": CLIENT, "Forwarded": f"for={CLIENT}", "X-Real-IP": CLIENT}
    client = await guarded.client(relay, guarded.BAD, additional_headers=header)
    await client.join("standup", "ann")
    assert addresses(relay, lab) == {guarded.BAD}
    await guarded.forge(relay, guarded.BAD, 20, additional_headers=header)
    assert guarded.blocks.told == [(lab.APP, guarded.BAD, "invalid_token", 60.0)]
    assert await guarded.status(relay, guarded.OFFICE, "X-Forwarded-For: 203.0.113.9") == 101


async def test_a_client_cannot_hide_behind_what_it_sends_through_a_proxy(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,), "deny": (CLIENT,)})
    for sent in ("1.1.1.1", "garbage", '"', "unknown", f"{guarded.PROXY}", "", ",", "x" * 500):
        head = await guarded.answer(relay, guarded.PROXY, f"X-Forwarded-For: {sent}, {CLIENT}")
        assert head.startswith(b"HTTP/1.1 403 "), sent
    # The other header is not the proxy's.
    lines = ("Forwarded: for=1.1.1.1", f"X-Forwarded-For: {CLIENT}")
    assert await guarded.status(relay, guarded.PROXY, *lines) == 403


async def test_the_header_that_is_read_is_the_one_that_is_named(guarded: Guarded) -> None:
    options = {"trusted_proxies": (guarded.PROXY,), "deny": ("2001:db8::/64",), "forwarded": "forwarded"}
    relay = await guarded.serve(guard=options)
    assert await guarded.status(relay, guarded.PROXY, f'Forwarded: for="[{V6}]:1";proto=https') == 403
    assert await guarded.status(relay, guarded.PROXY, f"X-Forwarded-For: {V6}") == 101
    relay = await guarded.serve(guard={**options, "forwarded": "none"})
    assert await guarded.status(relay, guarded.PROXY, f'Forwarded: for="[{V6}]:1"') == 101


async def test_ipv6_clients_are_counted_by_network(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,)})
    for host in range(10):
        header = {"X-Forwarded-For": f"2001:db8:1:2::{host:x}"}
        await guarded.forge(relay, guarded.PROXY, 1, additional_headers=header)
    assert guarded.blocks.told == [(lab.APP, "2001:db8:1:2::/64", "invalid_token", 60.0)]
    assert await guarded.status(relay, guarded.PROXY, "X-Forwarded-For: 2001:db8:1:2:ffff::1") == 429
    assert await guarded.status(relay, guarded.PROXY, "X-Forwarded-For: 2001:db8:1:3::1") == 101


async def test_connections_through_a_proxy_are_bounded_by_client(guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,), "connections_per_address": 1})
    for number in range(3):
        header = {"X-Forwarded-For": f"203.0.113.{number}"}
        await guarded.client(relay, guarded.PROXY, additional_headers=header)
    assert await guarded.status(relay, guarded.PROXY, "X-Forwarded-For: 203.0.113.1") == 429


# --- the PROXY protocol ---


@pytest.mark.parametrize("header", [v1(), v1(V6), v2()], ids=["1", "1-ipv6", "2"])
@pytest.mark.parametrize("whole", [True, False])
async def test_the_proxy_protocol_says_who_comes(
    lab: Lab, guarded: Guarded, header: bytes, whole: bool
) -> None:
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,)}, proxy_protocol="required")
    wire = await guarded.wire(relay, guarded.PROXY)
    request = lab.request(f"/v1/{lab.APP}")
    if whole:
        await wire.send(header + request)
    else:
        for place in range(len(header)):
            await wire.send(header[place : place + 1])
            await lab.turn()
        await wire.send(request)
    assert (await wire.head()).startswith(b"HTTP/1.1 101 ")
    await wire.told(Welcome)
    await wire.join("standup", "ann")
    assert addresses(relay, lab) == {V6 if V6.encode() in header else CLIENT}


async def test_who_is_denied_behind_the_proxy_is_cut(guarded: Guarded) -> None:
    options = {"trusted_proxies": (guarded.PROXY,), "deny": (CLIENT,)}
    relay = await guarded.serve(guard=options, proxy_protocol="required")
    assert await guarded.status(relay, guarded.PROXY, first=v1()) == 0
    assert await guarded.status(relay, guarded.PROXY, first=v2("203.0.113.8")) == 101
    assert relay.metrics.handshakes_refused == {"denied": 1}


async def test_a_trusted_proxy_has_to_send_the_header(guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,)}, proxy_protocol="required")
    assert await guarded.status(relay, guarded.PROXY) == 0
    for broken in (b"PROXY TCP4 1.2.3.4\r\n", V2 + b"\x21\x11\xff\xff", b"PROXY UNKNOWN " + b"x" * 200):
        assert await guarded.status(relay, guarded.PROXY, first=broken) == 0
    assert guarded.blocks.told == []


async def test_the_header_of_anybody_else_is_no_header(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,)}, proxy_protocol="required")
    assert await guarded.status(relay, guarded.BAD, first=v1()) != 101
    assert await guarded.status(relay, guarded.BAD, first=v2()) == 0
    client = await guarded.client(relay, guarded.OFFICE)
    await client.join("standup", "ann")
    assert addresses(relay, lab) == {guarded.OFFICE}
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,)})
    assert await guarded.status(relay, guarded.PROXY, first=v1()) != 101, "it is off"


async def test_a_proxy_that_says_nothing_is_not_waited_for_for_ever(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(
        guard={"trusted_proxies": (guarded.PROXY,)}, proxy_protocol="required", handshake=5
    )
    silent, half = [await guarded.wire(relay, guarded.PROXY) for _ in range(2)]
    await half.send(b"PROXY TCP4 ")
    assert await guarded.status(relay, guarded.PROXY, first=v1()) == 101, "the others are served meanwhile"
    lab.later(5)
    assert await silent.rest() == await half.rest() == b""
    assert relay.metrics.handshakes_refused == {"unfinished": 2}


async def test_a_proxy_that_hangs_up_leaves_nothing_behind(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"trusted_proxies": (guarded.PROXY,)}, proxy_protocol="required")
    wire = await guarded.wire(relay, guarded.PROXY)
    await wire.send(b"PROXY TCP4 ")
    wire.close()
    while not relay.metrics.handshakes_refused:
        await asyncio.sleep(0.001)
    assert relay.metrics.handshakes_refused == {"unfinished": 1}


# --- with TLS ---


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(PEM / "relay.pem"))


def knock_by_tls(address: tuple[str, int], source: str, header: bytes, request: bytes) -> bytes:
    """Send the header and the first bytes of TLS in one piece; return the start of the answer."""
    waiting = [header]
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting().wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with socket.create_connection(address, 10, source_address=(source, 0)) as sock:

        def do(action: Callable[[], Any]) -> Any:
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    sock.sendall(b"".join(waiting) + outgoing.read())
                    waiting.clear()
                    data = sock.recv(65536)
                    if not data:
                        raise ConnectionResetError from None
                    incoming.write(data)

        do(tls.do_handshake)
        tls.write(request)
        answer: bytes = do(lambda: tls.read(20))
        return answer


@pytest.mark.parametrize("header", [v1(), v2()], ids=["1", "2"])
async def test_the_proxy_protocol_comes_before_tls(lab: Lab, guarded: Guarded, header: bytes) -> None:
    options = {"trusted_proxies": (guarded.PROXY,), "deny": ("203.0.113.66",)}
    relay = await guarded.serve(guard=options, proxy_protocol="required", **TLS)
    assert relay.address is not None
    request = lab.request(f"/v1/{lab.APP}")
    knock = functools.partial(asyncio.to_thread, knock_by_tls, relay.address)
    assert (await knock(guarded.PROXY, header, request)).startswith(b"HTTP/1.1 101 ")
    assert (await knock(guarded.OFFICE, b"", request)).startswith(b"HTTP/1.1 101 ")
    with pytest.raises(ConnectionResetError):
        await knock(guarded.PROXY, v1("203.0.113.66"), request)
    with pytest.raises((ConnectionResetError, ssl.SSLError)):
        await knock(guarded.PROXY, b"", request)


async def test_a_blocked_address_costs_no_tls_handshake(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(**TLS)
    await guarded.forge(relay, guarded.BAD, 10, ssl=trusting())
    wire = await guarded.wire(relay, guarded.BAD)
    assert await wire.rest() == b"", "closed before the client has said anything"
    assert relay.metrics.handshakes_refused["blocked"] == 1
    client = await guarded.client(relay, guarded.OFFICE, ssl=trusting())
    await client.join("standup", "ann")


async def test_handshakes_of_tls_that_fail_block_after_a_while(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(guard={"threshold": 5}, **TLS)
    for _ in range(10):
        wire = await guarded.wire(relay, guarded.BAD)
        await wire.send(b"no TLS at all" * 10)
        await wire.rest()
        wire.close()
    while not relay.hub.warden.standing(guarded.BAD).refusal:
        await asyncio.sleep(0.001)
    assert guarded.blocks.told == [("", guarded.BAD, "tls_failed", 60.0)]
    assert relay.metrics.handshakes_refused["unfinished"] == 10


async def test_handshakes_of_tls_that_never_end_are_bounded_too(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(handshakes=10, handshake=5, **TLS)
    async with asyncio.timeout(lab.PATIENCE):
        waiting = [await guarded.wire(relay, guarded.BAD) for _ in range(11)]
        assert await waiting[0].rest() == b"", "the oldest gives way"
        lab.later(5)
        for wire in waiting[1:]:
            assert await wire.rest() == b""
    assert relay.metrics.handshakes_refused == {"crowded_out": 1, "unfinished": 10}


async def test_the_relay_stops_while_handshakes_are_under_way(lab: Lab, guarded: Guarded) -> None:
    relay = await guarded.serve(**TLS)
    wires = [await guarded.wire(relay, guarded.BAD) for _ in range(3)]
    await wires[0].send(b"\x16\x03\x01")
    await lab.turn()
    await relay.stop()
    for wire in wires:
        assert await wire.rest() == b""
