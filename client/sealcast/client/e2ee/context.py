"""From a secret to the key of one sender: the sealcast/1 key derivation.

Integers are big-endian, ``lp16(x)`` is ``u16 length | x``, the hash is the suite's where none is named::

    ctx      = SHA-256("sealcast/1 ctx" | lp16(app_id) | lp16(channel))
    base_key = HKDF-Expand(HKDF-Extract(salt=ctx, secret),
                           "sealcast/1 base" | u16 suite | u32 epoch | lp16(user) | session, Nh)
    bind16   = SHA-256("sealcast/1 bind" | ctx | u16 suite | u32 epoch | lp16(user) | session)[:16]
    KID      = stream (8 bits) << 8 | (epoch & 15) << 4 | (ratchet step & 15)

Every sender, every run of its program and every epoch has a base key of its own. ``bind16`` repeats
the same facts in each frame's authenticated data, because a key provider may hand over base keys
that were not derived from them. Names are ASCII (``sealcast.protocol.names``), so one name has one
spelling and needs no normalisation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from sealcast.protocol.descriptor import CUSTOM, PADDED, SIGNED
from sealcast.protocol.names import app_id as check_app_id
from sealcast.protocol.names import channel_name, user_id

from .suites import Suite

__all__ = [
    "COUNTER_LIMIT",
    "EPOCH_BITS",
    "EPOCH_MAX",
    "LAYER_FLAGS",
    "SESSION",
    "BaseKey",
    "Entropy",
    "Payload",
    "Sender",
    "Transform",
    "base_key",
    "bind16",
    "context_id",
    "epoch_key",
    "lp16",
    "pack_kid",
    "unpack_kid",
]

Payload: TypeAlias = bytes | bytearray | memoryview
Entropy: TypeAlias = Callable[[int], bytes]
"""``entropy(size)``: fresh random bytes, as ``secrets.token_bytes`` returns them."""
Transform: TypeAlias = Callable[[bytes, Payload, bytes], bytes]
"""``encrypt(nonce, data, aad)`` or ``decrypt(nonce, data, aad)``, with what lies on top of it."""

SESSION: Final = 16
"""The size of a session id: random, made with the sending context, never stored."""
EPOCH_MAX: Final = 2**32 - 1
EPOCH_BITS: Final = 15
"""The mask of what a key id carries of an epoch, and of a ratchet step."""

COUNTER_LIMIT: Final = 2**32
"""How many frames a key id seals in a session's life, whatever the epoch."""
LAYER_FLAGS: Final = PADDED | SIGNED | CUSTOM
"""Flags that change what the plaintext means. Sealing sets them, callers do not; and where nothing takes
off what they announce, as in clear text, frames that carry them are refused."""


class Sender(NamedTuple):
    """Who seals: everything that sets one sending context apart from all others."""

    ctx: bytes
    suite: Suite
    user: str
    session: bytes


class BaseKey(NamedTuple):
    """The base key of one sender for one epoch and ratchet step."""

    epoch: int
    step: int
    key: bytes

    def __repr__(self) -> str:
        return f"BaseKey(epoch={self.epoch}, step={self.step})"


def lp16(data: bytes) -> bytes:
    """Return *data* with its length before it, as two bytes."""
    return len(data).to_bytes(2, "big") + data


def context_id(app_id: str, channel: str) -> bytes:
    """Return ``ctx``: 32 bytes that stand for this channel of this app.

    Raises:
        InvalidName: the App ID or channel name is not one.

    """
    app, room = check_app_id(app_id).encode("ascii"), channel_name(channel).encode("ascii")
    return hashlib.sha256(b"sealcast/1 ctx" + lp16(app) + lp16(room)).digest()


def _facts(sender: Sender, epoch: int) -> bytes:
    user = user_id(sender.user).encode("ascii")
    if len(sender.session) != SESSION:
        raise ValueError(f"a session id has {SESSION} bytes")
    return sender.suite.id.to_bytes(2, "big") + epoch.to_bytes(4, "big") + lp16(user) + sender.session


def epoch_key(suite: Suite, ctx: bytes, secret: bytes) -> bytes:
    """Return what a channel's base keys expand from: HKDF-Extract of the epoch's secret under ``ctx``."""
    return suite.extract(ctx, secret)


def base_key(extracted: bytes, sender: Sender, epoch: int) -> bytes:
    """Return the base key of *sender* in *epoch*; *extracted* comes from ``epoch_key``."""
    info = b"sealcast/1 base" + _facts(sender, epoch)
    return sender.suite.expand(extracted, info, sender.suite.hash_size)


def bind16(sender: Sender, epoch: int) -> bytes:
    """Return the 16 bytes that tie a frame to its sender and epoch; never sent."""
    return hashlib.sha256(b"sealcast/1 bind" + sender.ctx + _facts(sender, epoch)).digest()[:16]


def pack_kid(stream: int, epoch: int, step: int = 0) -> int:
    """Return the key id of a stream (0-255) in an epoch, at a ratchet step."""
    return stream << 8 | (epoch & EPOCH_BITS) << 4 | (step & EPOCH_BITS)


def unpack_kid(kid: int) -> tuple[int, int, int]:
    """Return (stream, low four bits of the epoch, low four bits of the step).

    The stream is above 255 when the key id is not one of this profile.
    """
    return kid >> 8, kid >> 4 & EPOCH_BITS, kid & EPOCH_BITS
