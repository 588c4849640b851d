"""The PROXY protocol, versions 1 and 2: what a proxy says first of a connection that it passes on.

Read strictly and never beyond its end: what follows is somebody else's, perhaps TLS.
https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Final

from ..networks import Address, address_of

__all__ = ["HEADER_MAX", "BadProxyHeader", "client_in", "missing"]

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = 16
_V1_LEAST: Final = len(b"PROXY UNKNOWN\r\n")
_V1_MAX: Final = 107
_V2_MAX: Final = 2048
"""Bytes after the fixed part: addresses, and what proxies add, which can be a certificate's name."""
HEADER_MAX: Final = _FIXED + _V2_MAX

_V1: Final = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f:.]{2,39}) ([0-9A-Fa-f:.]{2,39}) (\d{1,5}) (\d{1,5})\r\n"
)
_V1_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [ -~]*)?\r\n")
_LOCAL, _PROXIED = 0x20, 0x21
_UNSPECIFIED, _TCP4, _TCP6, _UNIX = 0x00, 0x11, 0x21, 0x31


class BadProxyHeader(Exception):
    """What came is no header of the PROXY protocol."""


def missing(data: bytes) -> int:
    """Return how many bytes more certainly belong to the header that begins with *data*; 0: it is whole.

    Raises:
        BadProxyHeader: it is none, or too long.

    """
    size = len(data)
    if data[:5] == b"PROXY"[:size]:
        if size < _V1_LEAST:
            return _V1_LEAST - size
        if data.endswith(b"\r\n"):
            return 0
        if size >= _V1_MAX or b"\n" in data:
            raise BadProxyHeader
        return 1
    if data[:12] != _SIGNATURE[:size]:
        raise BadProxyHeader
    if size < _FIXED:
        return _FIXED - size
    (length,) = struct.unpack_from(">H", data, 14)
    if length > _V2_MAX:
        raise BadProxyHeader
    return int(_FIXED + length - size)


def client_in(header: bytes) -> Address | None:
    """Return the client's address in a whole header; None when it is about the proxy itself, or does not say.

    Raises:
        BadProxyHeader: it is not as it should be.

    """
    if header.startswith(_SIGNATURE):
        return _of_version_2(header)
    return _of_version_1(header)


def _of_version_1(header: bytes) -> Address | None:
    if _V1_UNKNOWN.fullmatch(header):
        return None
    match = _V1.fullmatch(header)
    if match is None:
        raise BadProxyHeader
    version = 4 if match[1] == b"TCP4" else 6
    for port in (match[4], match[5]):
        if int(port) > 65535 or (len(port) > 1 and port.startswith(b"0")):
            raise BadProxyHeader
    ends = []
    for text in (match[2], match[3]):
        try:
            ends.append(ipaddress.ip_address(text.decode("ascii")))
        except ValueError:
            raise BadProxyHeader from None
    if any(end.version != version for end in ends):
        raise BadProxyHeader
    return address_of(str(ends[0]))


def _of_version_2(header: bytes) -> Address | None:
    command, family = header[12], header[13]
    body = header[_FIXED:]
    if len(body) != struct.unpack_from(">H", header, 14)[0] or command not in (_LOCAL, _PROXIED):
        raise BadProxyHeader
    if command == _LOCAL or family == _UNSPECIFIED:
        return None
    least = {_TCP4: 12, _TCP6: 36, _UNIX: 216}.get(family)
    if least is None or len(body) < least:
        raise BadProxyHeader
    if family == _TCP4:
        return ipaddress.IPv4Address(body[:4])
    if family == _TCP6:
        return address_of(str(ipaddress.IPv6Address(body[:16])))
    return None
