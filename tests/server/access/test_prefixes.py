"""Addresses and networks as operators write them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.server.prefixes import Network, network, place_of


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("192.0.2.7", "192.0.2.7"),
        (" 192.0.2.7/24 ", "192.0.2.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8::1/128", "2001:db8::1"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
    ],
)
def test_a_network_is_what_it_says(text: str, meant: str) -> None:
    assert str(network(text)) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "192.0.2.0/33",
        "192.0.2.0/",
        "192.0.2.0/x",
        "192.0.2.0/-1",
        "::/129",
        "fe80::1%eth0",
        "192.0.2.0/24/8",
        "::ffff:0:0/90",
        "1/2",
    ],
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be an address"):
        network(text)


@given(st.ip_addresses())
def test_a_single_address_is_in_the_network_that_it_stands_for(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    net = network(str(address))
    version, number = place_of(str(address))
    assert net.version == version
    assert net.prefix == number >> ((32 if version == 4 else 128) - net.bits)
    if version == 6:
        assert net.bits == 64


@given(st.ip_addresses(), st.integers(0, 32))
def test_what_is_printed_is_read_again(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, bits: int
) -> None:
    net = network(f"{address}/{bits}") if address.version == 4 else network(str(address))
    assert network(str(net)) == net


def test_what_is_no_address_is_in_no_network() -> None:
    assert place_of("") == (0, 0)
    assert place_of("fe80::1%eth0") == (6, 0xFE80 << 112 | 1)
    assert network("192.0.2.1") == Network(4, 32, 0xC0000201)
