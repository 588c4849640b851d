"""Numbers that people compare: who holds which identity key, and who is in a channel.

::

    fingerprint   = SHA-512("sealcast/1 fp" | lp16(user) | identity)
    half          = for i in 0..5: (bytes 5i..5i+4 of the fingerprint, a big-endian number) mod 100000,
                    as five digits                                                 30 digits
    safety number = the halves of both members, the smaller one first              60 digits
    channel code  = SHA-256("sealcast/1 roster" | ctx | all SHA-256(hello), sorted), a big-endian
                    number, mod 10^60                                              60 digits

A key alone, without the user it belongs to, has the half of the empty user name, which is nobody's.
Here a hello is its signed bytes, without signature and certificate.

Whoever wants to stand in for a member needs a key with that member's own half: about 2^99 attempts,
each with a new key, because the halves stand side by side and are never mixed. A channel code has
nothing to hold on to but itself, and somebody who sits in the middle may choose keys on both sides of
it; its 60 digits come from one hash, so that two alike take about 2^99 attempts as well.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from sealcast.protocol.names import user_id

from .context import lp16
from .roster_hash import roster_hash

__all__ = [
    "DIGITS",
    "Holder",
    "channel_code",
    "grouped",
    "key_fingerprint",
    "member_fingerprint",
    "read_digits",
    "safety_number",
    "same_digits",
]

DIGITS: Final = 60
"""The digits of a safety number, and of a channel code."""

_GROUP: Final = 5
_HALF_GROUPS: Final = 6
_GROUP_BYTES: Final = 5
_IDENTITY: Final = 32
_CTX: Final = 32

_TEXT_MAX: Final = 1024
_APART: Final = re.compile(r"[\s-]+")


class Holder(NamedTuple):
    """A user, and the identity key that this side has for that user (32 bytes, public)."""

    user: str
    identity: bytes


def key_fingerprint(identity: bytes) -> str:
    """Return 30 digits that stand for an identity key, whoever holds it.

    Raises:
        ValueError: the key does not have 32 bytes.

    """
    return _digits_of("", identity)


def member_fingerprint(holder: Holder) -> str:
    """Return the 30 digits of one member: this member's half of all its safety numbers.

    Raises:
        InvalidName: the user's name is not one.
        ValueError: the key does not have 32 bytes.

    """
    return _digits_of(user_id(holder.user), holder.identity)


def safety_number(one: Holder, other: Holder) -> str:
    """Return the safety number of two members, 60 digits; the order of the two does not matter.

    Both sides compute it from their own key and from the key that they were given for the other. It is
    the same on both sides only if both were given the right one.

    Raises:
        InvalidName: a user's name is not one.
        ValueError: a key does not have 32 bytes, or both are the same user with the same key, which
            would compare somebody with themselves.

    """
    halves = sorted((member_fingerprint(one), member_fingerprint(other)))
    if one == other:
        raise ValueError("a safety number is of two members, and both are the same one")
    return "".join(halves)


def channel_code(ctx: bytes, hellos: Iterable[bytes]) -> str:
    """Return the 60 digits that stand for who is in a channel, the same for all who see the same.

    Args:
        ctx: the channel (``context.context_id``).
        hellos: the signed bytes of each session's hello (``SentHello.body``), this side's own included,
            in any order. The same session twice counts once: it may be listed under two member numbers.

    Raises:
        ValueError: *ctx* does not have 32 bytes, or there is no hello.

    """
    leaves = {hashlib.sha256(hello).digest() for hello in hellos}
    if len(ctx) != _CTX or not leaves:
        raise ValueError("a channel code is of a channel, named by 32 bytes, with somebody in it")
    number = int.from_bytes(roster_hash(ctx, leaves), "big")
    return f"{number % 10**DIGITS:0{DIGITS}}"


def grouped(digits: str) -> list[str]:
    """Return lines to show: six groups of five digits each. In a safety number a line is a half."""
    groups = [digits[at : at + _GROUP] for at in range(0, len(digits), _GROUP)]
    return [" ".join(groups[at : at + _HALF_GROUPS]) for at in range(0, len(groups), _HALF_GROUPS)]


def read_digits(text: str) -> str:
    """Return the 60 digits that somebody typed, pasted or scanned, however they were grouped.

    White space and hyphens may stand anywhere.

    Raises:
        ValueError: what is left is not 60 digits. The text is not repeated.

    """
    digits = _APART.sub("", text) if len(text) <= _TEXT_MAX else ""
    if len(digits) != DIGITS or not (digits.isascii() and digits.isdigit()):
        raise ValueError(f"a safety number and a channel code have {DIGITS} digits")
    return digits


def same_digits(one: str, other: str) -> bool:
    """Whether two numbers are the same, in a time that does not tell where they differ.

    Both are digits alone, as the functions here return them: what people typed goes through
    ``read_digits`` first.
    """
    return hmac.compare_digest(one.encode(), other.encode())


def _digits_of(user: str, identity: bytes) -> str:
    if len(identity) != _IDENTITY:
        raise ValueError(f"an identity key has {_IDENTITY} bytes")
    fingerprint = hashlib.sha512(b"sealcast/1 fp" + lp16(user.encode("ascii")) + identity).digest()
    chunks = (fingerprint[at * _GROUP_BYTES : (at + 1) * _GROUP_BYTES] for at in range(_HALF_GROUPS))
    return "".join(f"{int.from_bytes(chunk, 'big') % 10**_GROUP:0{_GROUP}}" for chunk in chunks)
