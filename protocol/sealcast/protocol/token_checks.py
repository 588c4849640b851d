"""The checks that every kind of token goes through: app, signature, life, names."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from .errors import (
    InvalidName,
    TokenAppMismatch,
    TokenBadSignature,
    TokenExpired,
    TokenNotForChannel,
    TokenNotForUser,
    TokenNotYetValid,
)
from .names import AppId, ChannelName, UserId, channel_name, user_id
from .token_007 import SIGNATURE_SIZE

__all__ = [
    "TOKEN_ID_LENGTH",
    "check_app",
    "check_life",
    "check_signature",
    "deadline",
    "legal_channel",
    "legal_user",
    "signature_id",
]

TOKEN_ID_LENGTH: Final = 32
"""Hexadecimal digits of a token's id."""


def check_app(named: AppId, wanted: str) -> None:
    """Refuse a token of another app."""
    if named != wanted:
        raise TokenAppMismatch("the token is for another app")


def check_signature(signature: bytes, expected: Iterable[bytes]) -> None:
    """Compare with every expected signature, in constant time and without stopping at a match."""
    if len(signature) != SIGNATURE_SIZE:
        raise TokenBadSignature("the token's signature has the wrong length")
    matched = False
    for candidate in expected:
        matched |= hmac.compare_digest(signature, candidate)
    if not matched:
        raise TokenBadSignature("the token is not signed with a valid certificate of this app")


def signature_id(signature: bytes) -> str:
    """Return the id of the token with this signature: the first 128 bits of its SHA-256.

    Of the signature and not of the text, because the text can be written in many ways (it is compressed,
    and base64) that are all the same token: whoever holds a revoked one would write it differently.
    """
    return hashlib.sha256(signature).hexdigest()[:TOKEN_ID_LENGTH]


# Comparisons with `now` are written so that a clock that is not a number refuses.


def check_life(issued_at: int, end: int, now: float, max_skew: int | None) -> None:
    """Refuse a token that has ended, never lived, or begins further ahead than the clocks may differ."""
    if not issued_at < end:
        raise TokenExpired("the token was issued with a life of 0 seconds")
    if not now < end:
        raise TokenExpired("the token has ended")
    if max_skew is not None and not issued_at <= now + max_skew:
        raise TokenNotYetValid("the token was issued in the future")


def deadline(issued_at: int, end: int, seconds: int) -> int:
    """Return when a privilege of so many seconds ends, in Unix seconds; 0 means with the token."""
    return min(end, issued_at + seconds) if seconds else end


def legal_channel(channel: str) -> ChannelName:
    """Refuse a name that no channel can have, as if no token named it: even ``*`` does not."""
    try:
        return channel_name(channel)
    except InvalidName as error:
        raise TokenNotForChannel(str(error)) from None


def legal_user(user: str) -> UserId:
    """Refuse a name that no user can have."""
    try:
        return user_id(user)
    except InvalidName as error:
        raise TokenNotForUser(str(error)) from None
