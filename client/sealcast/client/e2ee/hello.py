"""The hello: how a sending context introduces itself to the other members.

::

    hello = "SCH1" | u8 role | u16 suite | lp16(user) | session(16) | identity(32, Ed25519 public key)
            | u16 kem | lp16(kem public key) | u64 milliseconds since 1970 | challenge(8)
    sent  = hello | Ed25519(identity, "sealcast/1 hello" | ctx | hello)(64)

The relay carries it unread. It names the session that key derivation needs, and its signature ties
all fields to one key pair. Who owns that key pair is another question: with a raw shared secret the
pair is made for the session and thrown away, so a hello proves nothing about a person. It gives no
power either, since frames open only under keys that come from the secret.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealcast.client.errors import HelloRefused
from sealcast.protocol.errors import InvalidName
from sealcast.protocol.names import user_id

from .context import SESSION, lp16

__all__ = [
    "CHALLENGE",
    "HELLO_MAX",
    "KEM_NONE",
    "KEM_X25519",
    "KEM_X_WING",
    "SIGNATURE",
    "Hello",
    "Role",
    "public_bytes",
    "read_hello",
    "sign_hello",
]

HELLO_MAX: Final = 3072
"""The largest hello with its signature, in bytes."""
SIGNATURE: Final = 64
CHALLENGE: Final = 8

KEM_NONE: Final = 0
"""No key is wrapped to this member: everybody has the secret already."""
KEM_X25519: Final = 0x0020
KEM_X_WING: Final = 0x647A

_KEM_SIZES: Final = {KEM_NONE: 0, KEM_X25519: 32, KEM_X_WING: 1216}
_MAGIC = b"SCH1"
_SIGNED = b"sealcast/1 hello"
_IDENTITY = 32


class Role(enum.IntEnum):
    """What a member says it is. Nothing proves it unless a certificate does."""

    MEMBER = 0
    GATEWAY = 1
    RECORDER = 2
    AUDIENCE = 3


@dataclass(frozen=True, slots=True)
class Hello:
    """The fields of a hello. Nothing in it is secret."""

    role: Role
    suite: int
    user: str
    session: bytes
    identity: bytes
    kem: int
    kem_public: bytes
    time_ms: int
    challenge: bytes

    def encode(self) -> bytes:
        """Return the bytes that are signed, without the signature."""
        return b"".join(
            (
                _MAGIC,
                self.role.to_bytes(1, "big"),
                self.suite.to_bytes(2, "big"),
                lp16(user_id(self.user).encode("ascii")),
                self.session,
                self.identity,
                self.kem.to_bytes(2, "big"),
                lp16(self.kem_public),
                self.time_ms.to_bytes(8, "big"),
                self.challenge,
            )
        )


def public_bytes(identity: Ed25519PrivateKey) -> bytes:
    """Return the 32 bytes of the public half of *identity*."""
    return identity.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign_hello(hello: Hello, ctx: bytes, identity: Ed25519PrivateKey) -> bytes:
    """Return the hello as it is sent: encoded, with its signature after it."""
    body = hello.encode()
    return body + identity.sign(_SIGNED + ctx + body)


def read_hello(data: bytes, ctx: bytes) -> Hello:
    """Parse a hello and verify its signature for the channel that *ctx* stands for.

    Raises:
        HelloRefused: longer than HELLO_MAX, malformed, with bytes left over, or wrongly signed.

    """
    if len(data) > HELLO_MAX:
        raise HelloRefused("the hello is longer than 3072 bytes")
    body, signature = data[:-SIGNATURE], data[-SIGNATURE:]
    hello = _parse(body)
    try:
        Ed25519PublicKey.from_public_bytes(hello.identity).verify(signature, _SIGNED + ctx + body)
    except (InvalidSignature, ValueError):
        raise HelloRefused("the hello's signature is wrong, or made for another channel") from None
    return hello


class _Reader:
    """Takes fields off the front; every shortage is one refusal."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise HelloRefused("the hello is cut short")
        part = self._data[self._at : end]
        self._at = end
        return part

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def prefixed(self) -> bytes:
        return self.take(self.integer(2))

    def end(self) -> None:
        if self._at != len(self._data):
            raise HelloRefused("the hello has bytes left over")


def _parse(body: bytes) -> Hello:
    reader = _Reader(body)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise HelloRefused("the hello is of another version")
    try:
        role = Role(reader.integer(1))
    except ValueError:
        raise HelloRefused("the hello names an unknown role") from None
    suite = reader.integer(2)
    try:
        user = user_id(reader.prefixed().decode("ascii"))
    except (UnicodeDecodeError, InvalidName):
        raise HelloRefused("the hello's user name is not allowed") from None
    session, identity = reader.take(SESSION), reader.take(_IDENTITY)
    kem, kem_public = reader.integer(2), reader.prefixed()
    if _KEM_SIZES.get(kem) != len(kem_public):
        raise HelloRefused("the hello's key encapsulation is unknown, or its key has the wrong size")
    time_ms, challenge = reader.integer(8), reader.take(CHALLENGE)
    reader.end()
    return Hello(role, suite, user, session, identity, kem, kem_public, time_ms, challenge)
