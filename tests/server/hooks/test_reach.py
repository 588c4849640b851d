"""Where deliveries may go: public addresses, the ones that were checked, and over TLS to who it should be."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sealcast.server.hooks.outbox import Delivery, Endpoint
from sealcast.server.hooks.reach import is_public
from sealcast.server.hooks.sender import HttpSender

from .conftest import Receiver, happened, receiving

PEM = Path(__file__).parents[2] / "vectors" / "tls"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::1", False),
    ],
)
def test_what_is_an_address_of_the_internet_at_large(address: str, public: bool) -> None:
    assert is_public(address) is public


class Names:
    """Answers look-ups in turn."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[Any]:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


@pytest_asyncio.fixture
async def tls_receiver() -> AsyncIterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM / "relay.pem", PEM / "relay.key")
    async with receiving(context) as receiver:
        yield receiver


def bound_for(receiver: Receiver, url: str) -> Delivery:
    return Delivery(1, Endpoint("1", "0" * 32, url, (receiver.secret,)), happened(1))


async def said(sender: HttpSender, delivery: Delivery) -> str:
    try:
        return (await sender.send(delivery)).said
    finally:
        await sender.close()


async def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The second answer is what an attacker would have us connect to after the check.
    names = Names(["93.184.216.34"], ["127.0.0.1"])
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo, raising=False)
    connected: list[str] = []

    async def connect_tcp(self: object, host: str, *_: object) -> Any:
        connected.append(host)
        raise TimeoutError

    monkeypatch.setattr("httpcore.AnyIOBackend.connect_tcp", connect_tcp)
    url = f"http://rebinding.example:{receiver.port}/hook"
    assert "no answer" in await said(HttpSender(), bound_for(receiver, url))
    assert (names.asked, connected) == (1, ["93.184.216.34"])
    assert receiver.requests == 0


async def test_one_private_address_among_public_ones_is_enough_to_refuse(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(["93.184.216.34", "127.0.0.1"])
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo, raising=False)
    url = f"http://mixed.example:{receiver.port}/hook"
    assert "private address" in await said(HttpSender(), bound_for(receiver, url))
    assert receiver.requests == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "2130706433", "0x7f.1"])
async def test_this_machine_is_not_reached_however_it_is_written(receiver: Receiver, host: str) -> None:
    url = f"http://{host}:{receiver.port}/hook"
    answer = await said(HttpSender(), bound_for(receiver, url))
    assert "private address" in answer or "cannot be looked up" in answer
    assert receiver.requests == 0


async def test_a_delivery_over_tls_goes_to_the_name_that_the_certificate_has(tls_receiver: Receiver) -> None:
    sender = HttpSender(private=True, authorities=str(PEM / "relay.pem"))
    delivery = bound_for(tls_receiver, f"https://localhost:{tls_receiver.port}/hook")
    assert await said(sender, delivery) == "204"
    assert tls_receiver.hosts == [f"localhost:{tls_receiver.port}"]


async def test_one_with_another_name_or_issuer_gets_nothing(
    tls_receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = bound_for(tls_receiver, f"https://localhost:{tls_receiver.port}/hook")
    assert "CERTIFICATE_VERIFY_FAILED" in await said(HttpSender(private=True), delivery)
    names = Names(["127.0.0.1"])
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", names.getaddrinfo, raising=False)
    sender = HttpSender(private=True, authorities=str(PEM / "relay.pem"))
    delivery = bound_for(tls_receiver, f"https://other.example:{tls_receiver.port}/hook")
    assert "CERTIFICATE_VERIFY_FAILED" in await said(sender, delivery)
    assert not tls_receiver.told


async def test_a_receiver_that_talks_without_end_is_not_listened_to_without_end(
    receiver: Receiver,
) -> None:
    receiver.body, receiver.answer = b"x" * 4_000_000, lambda event: (200, {})
    sender = HttpSender(private=True)
    assert await said(sender, bound_for(receiver, receiver.url)) == "200"
