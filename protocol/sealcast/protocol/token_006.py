"""AccessToken, the older format whose text begins with ``006``: text to fields, signature.

::

    text     "006" + App ID (32 characters) + base64 of: text signature, u32 crc32(channel),
             u32 crc32(user), text MESSAGE
    MESSAGE  u32 salt, u32 end, map of u16 privilege to u32 Unix seconds

    signature = HMAC-SHA256(key = certificate, message = app_id ‖ channel ‖ user ‖ MESSAGE)

The channel and the user are not in the token; who verifies must know them. A user 0, which any user
may present, is signed as the empty text. ``end`` is the build time plus 24 hours.

Nothing separates the two names in the signed message and the checksums are not signed, so a token for
channel ``ab``, user ``c`` can be rewritten into one for channel ``a``, user ``bc``, or for channel
``abc`` and any user. That is a flaw of the format which no verifier can mend; 007 does not have it.

This module is a part of ``sealcast.protocol.tokens``, which is the public one.
"""

from __future__ import annotations

import hmac
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from .names import AppId
from .token_007 import read_app_id
from .token_bytes import FrozenMap, Reader, decode_base64

__all__ = ["PREFIX", "Claims006", "Envelope", "decode", "name_crc", "sign"]

PREFIX: Final = "006"

_APP_ID_END: Final = len(PREFIX) + 32


@dataclass(frozen=True, slots=True)
class Envelope:
    """The fields of a 006 token, none of them verified.

    ``end`` and the values of ``privileges`` are Unix seconds; a value of 0 means no deadline of its
    own. ``message`` is the part of the signed bytes that is inside the token.
    """

    app_id: AppId
    salt: int
    end: int
    privileges: FrozenMap[int, int]
    channel_crc: int
    user_crc: int
    signature: bytes = field(repr=False)
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Claims006:
    """What a 006 token has in place of services: checksums of two names, and deadlines.

    ``privileges`` maps a privilege's number to Unix seconds; 0 means no deadline of its own.
    """

    channel_crc: int
    user_crc: int
    privileges: Mapping[int, int]


def decode(token: str) -> Envelope:
    """Take a token apart without verifying it. Raises TokenMalformed.

    *token* begins with PREFIX and is within the cap of a token's text: the caller has looked.
    """
    app = read_app_id(token[len(PREFIX) : _APP_ID_END])
    outer = Reader(decode_base64(token[_APP_ID_END:]))
    signature, channel_crc, user_crc, message = outer.data(), outer.u32(), outer.u32(), outer.data()
    outer.close()
    inner = Reader(message)
    salt, end, privileges = inner.u32(), inner.u32(), inner.map()
    inner.close()
    return Envelope(app, salt, end, privileges, channel_crc, user_crc, signature, message)


def name_crc(name: str) -> int:
    """Return the checksum by which a 006 token names a channel or a user."""
    return zlib.crc32(name.encode())


def sign(certificate: str, app: str, channel: str, user: str, message: bytes) -> bytes:
    """Return the 32-byte signature that *certificate* makes for these names and this message."""
    signed = (app + channel + user).encode() + message
    return hmac.digest(certificate.encode("ascii"), signed, "sha256")
