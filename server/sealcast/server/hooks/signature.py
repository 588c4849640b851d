"""How a delivery is signed, as Standard Webhooks has it (https://www.standardwebhooks.com).

``webhook-id``, ``webhook-timestamp`` and ``webhook-signature`` go with the request. What is signed are the
raw bytes ``id.timestamp.body``, with HMAC-SHA-256 under the endpoint's secret; there may be several
signatures, one for each secret that is good, while one is being changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["TOLERANCE", "Forged", "headers", "new_secret", "verify"]

TOLERANCE: Final = 300.0
"""Seconds by which a timestamp may differ from the receiver's clock."""

_PREFIX: Final = "whsec_"
_BYTES: Final = 32


class Forged(ValueError):
    """A delivery that was not signed with any of the secrets, or is too old."""


def new_secret() -> str:
    """Return a secret for an endpoint."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode()


def headers(event_id: str, timestamp: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """Return the headers of a delivery at *timestamp* (Unix seconds), signed with each of *keys*."""
    signatures = [f"v1,{base64.b64encode(_mac(key, event_id, timestamp, body)).decode()}" for key in keys]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def verify(sent: Mapping[str, str], body: bytes, key: str, now: float) -> str:
    """Return the id of a delivery whose headers have these lower-case names, as its receiver would check it.

    Raises:
        Forged: it was not signed with *key*, or not within ``TOLERANCE`` of *now*.

    """
    event_id, stamp = sent.get("webhook-id", ""), sent.get("webhook-timestamp", "")
    if not stamp.isascii() or not stamp.isdigit() or abs(now - int(stamp)) > TOLERANCE:
        raise Forged("the timestamp is missing, or too far from now")
    wanted = _mac(key, event_id, int(stamp), body)
    for signature in sent.get("webhook-signature", "").split(" "):
        version, _, encoded = signature.partition(",")
        if version == "v1" and hmac.compare_digest(_decoded(encoded), wanted):
            return event_id
    raise Forged("no signature is right")


def _mac(key: str, event_id: str, timestamp: int, body: bytes) -> bytes:
    secret = _decoded(key.removeprefix(_PREFIX))
    return hmac.new(secret, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
