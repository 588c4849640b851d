"""When a certificate ends: the one thing that the relay reads in one, to warn of it in time.

A certificate begins with SEQUENCE { SEQUENCE { [0] version, INTEGER serial, SEQUENCE algorithm, SEQUENCE
issuer, SEQUENCE { notBefore, notAfter } … (RFC 5280 §4.1). The standard library
shows those dates of a peer's only.
"""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import Final

__all__ = ["end_of", "not_after"]

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_BEFORE_VALIDITY: Final = 3
"""Serial number, algorithm and issuer."""


def end_of(path: str) -> float | None:
    """Return when the first certificate in a PEM file ends, in Unix seconds; None when it cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            found = _PEM.search(file.read())
        return None if found is None else not_after(ssl.PEM_cert_to_DER_cert(found[0]))
    except (OSError, ValueError):
        return None


def not_after(der: bytes) -> float:
    """Return when a certificate ends, in Unix seconds. Raises ValueError for what is none."""
    certificate, _ = _take(der, _SEQUENCE)
    rest, _ = _take(certificate, _SEQUENCE)
    if rest[:1] == bytes([_VERSION]):
        _, rest = _take(rest, _VERSION)
    for _part in range(_BEFORE_VALIDITY):
        _, rest = _take(rest)
    validity, _ = _take(rest, _SEQUENCE)
    _, after = _take(validity)
    text, _ = _take(after)
    # Two digits of the year are 1950 to 2049 (RFC 5280 §4.1.2.5.1).
    said = text.decode("ascii")
    if after[0] == _UTC_TIME:
        said = ("19" if said[:2] >= "50" else "20") + said
    return datetime.strptime(said, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _take(data: bytes, tag: int | None = None) -> tuple[bytes, bytes]:
    """Return the content of the first element, and what is after it."""
    if len(data) < 2 or (tag is not None and data[0] != tag):
        raise ValueError("not a certificate")
    size, start = data[1], 2
    if size & 0x80:
        count = size & 0x7F
        start += count
        if not 1 <= count <= 4 or len(data) < start:
            raise ValueError("not a certificate")
        size = int.from_bytes(data[2:start], "big")
    if len(data) < start + size:
        raise ValueError("not a certificate")
    return data[start : start + size], data[start + size :]
