"""Addresses, networks, and what proxies say of their clients, without sockets."""

from __future__ import annotations

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.networks import Networks, address_of, key_of, network_of, spelled
from sealcast.server.transport.forwarded import client_of
from sealcast.server.transport.proxy_header import HEADER_MAX, BadProxyHeader, client_in, missing

V4, V6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
PORTS = st.integers(0, 65535)
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PROXIES = Networks(["10.0.0.0/8", "2001:db8:ffff::/48"])


# --- addresses and networks ---


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("", None),
        ("localhost", None),
        ("192.0.2.1:80", None),
        ("192.0.2.01", None),
        ("1" * 100, None),
    ],
)
def test_an_address_has_one_spelling(text: str, address: str | None) -> None:
    found = address_of(text)
    assert (None if found is None else str(found)) == address


def test_an_ipv6_network_counts_as_one_address() -> None:
    one, other, apart = (address_of(f"2001:db8:0:{net}::{host}") for net, host in ((1, 1), (1, 2), (2, 1)))
    assert one is not None
    assert other is not None
    assert apart is not None
    assert key_of(one) == key_of(other) == "2001:db8:0:1::/64"
    assert key_of(apart) != key_of(one)
    assert key_of(apart, v6=48) == key_of(one, v6=48) == "2001:db8::/48"


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("::1", "::1"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
    ],
)
def test_a_network_has_one_spelling(text: str, network: str) -> None:
    assert spelled(network_of(text)) == network


def test_a_slip_in_a_network_is_named() -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.0/24 is the network"):
        network_of("192.0.2.7/24")
    for wrong in ("", "x", "192.0.2.0/33", "1.2.3.4/255.255.255.0.1", "::/129", "9" * 65):
        with pytest.raises(ValueError, match="should be an address"):
            network_of(wrong)


@given(st.lists(st.tuples(V4 | V6, st.integers(0, 32))), V4 | V6)
def test_to_lie_in_a_network_is_what_the_standard_library_says(
    networks: list[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]],
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    made = [ipaddress.ip_network(each, strict=False) for each in networks]
    assert (address in Networks(made)) is any(address in network for network in made)
    for network in made:
        assert network.network_address in Networks(made)


# --- headers ---


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["203.0.113.7"], "203.0.113.7"),
        (["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        (["1.1.1.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        (["203.0.113.7:4711"], "203.0.113.7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        (["203.0.113.7, 2001:db8:ffff::1"], "203.0.113.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["evil, 10.0.0.2"], "10.0.0.2"),
        (["203.0.113.7, unknown"], None),
        ([""], None),
        (["203.0.113.7,"], None),
        (["10.0.0.1," * 40 + "10.0.0.1"], "10.0.0.1"),
    ],
)
def test_x_forwarded_for_is_read_from_the_end(values: list[str], client: str | None) -> None:
    found = client_of(values, "x-forwarded-for", PROXIES)
    assert (None if found is None else str(found)) == client


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["for=203.0.113.7"], "203.0.113.7"),
        (['For="[2001:db8::7]:4711";proto=https;by=10.0.0.2'], "2001:db8::7"),
        (["proto=https; for=203.0.113.7 , for=10.0.0.2;host=relay"], "203.0.113.7"),
        (['for="x, for=203.0.113.7'], "203.0.113.7"),
        (['for=198.51.100.1, for=203.0.113.7;host="a, for=9.9.9.9;b="'], "203.0.113.7"),
        (["for=9.9.9.9;for=203.0.113.7"], None),
        (["for=_hidden"], None),
        (["for=unknown"], None),
        (["203.0.113.7"], None),
        (["notfor=203.0.113.7"], None),
    ],
)
def test_forwarded_is_read_from_the_end(values: list[str], client: str | None) -> None:
    found = client_of(values, "forwarded", PROXIES)
    assert (None if found is None else str(found)) == client


@given(st.text(max_size=200), V4 | V6, st.sampled_from(["x-forwarded-for", "forwarded"]))
def test_what_a_client_sends_never_decides(
    sent: str, real: ipaddress.IPv4Address | ipaddress.IPv6Address, header: str
) -> None:
    added = f'for="[{real}]"' if real.version == 6 else f"for={real}"
    value = f"{sent}, {added if header == 'forwarded' else real}"
    assert client_of([value], header, Networks()) == address_of(str(real))


# --- the PROXY protocol ---


def read(data: bytes) -> tuple[str | None, bytes]:
    """Read a header as the relay does, a piece at a time; return the client and what was left."""
    header, place = b"", 0
    while more := missing(header):
        if place >= len(data):
            raise EOFError
        header += data[place : place + more]
        place = len(header)
    client = client_in(header)
    return (None if client is None else str(client)), data[place:]


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack(">BBH", command, family, len(body)) + body


@given(st.sampled_from(["4", "6"]), st.data(), PORTS, PORTS, st.binary(max_size=40))
def test_version_1_is_read_to_its_end(
    version: str, data: st.DataObject, source: int, to: int, rest: bytes
) -> None:
    client, server = (data.draw(V4 if version == "4" else V6) for _ in range(2))
    header = f"PROXY TCP{version} {client} {server} {source} {to}\r\n".encode()
    found, left = read(header + rest)
    assert found == str(address_of(str(client)))
    assert left == rest


@given(st.sampled_from([4, 6]), st.data(), PORTS, PORTS, st.binary(max_size=60), st.binary(max_size=40))
def test_version_2_is_read_to_its_end(
    version: int, data: st.DataObject, source: int, to: int, more: bytes, rest: bytes
) -> None:
    client, server = (data.draw(V4 if version == 4 else V6) for _ in range(2))
    body = client.packed + server.packed + struct.pack(">HH", source, to) + more
    found, left = read(v2(0x21, 0x11 if version == 4 else 0x21, body) + rest)
    assert found == str(address_of(str(client)))
    assert left == rest


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, bytes(12)),
        v2(0x21, 0x00, b"more"),
        v2(0x21, 0x31, bytes(216)),
    ],
)
def test_a_header_may_name_nobody(header: bytes) -> None:
    assert read(header + b"GET /") == (None, b"GET /")


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
        b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.400 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
        b"PROXY UNKNOWN " + b"x" * 200,
        b"\x16\x03\x01\x02\x00\x01\x00",
        v2(0x22, 0x11, bytes(12)),
        v2(0x11, 0x11, bytes(12)),
        v2(0x21, 0x12, bytes(12)),
        v2(0x21, 0x41, bytes(12)),
        v2(0x21, 0x11, bytes(11)),
        v2(0x21, 0x21, bytes(35)),
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(100),
    ],
)
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(BadProxyHeader):
        read(header)


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\0\x0c"]), st.binary()
)
def test_whatever_comes_ends_within_bounds(start: bytes, rest: bytes) -> None:
    header = b""
    data = start + rest + bytes(HEADER_MAX)
    try:
        while more := missing(header):
            assert more > 0
            header = data[: len(header) + more]
            assert len(header) <= HEADER_MAX
        client_in(header)
    except BadProxyHeader:
        pass
