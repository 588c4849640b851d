"""The hello: how a sending context introduces itself to the other members.

::

    hello = "SCH1" | u8 role | u16 suite | lp16(user) | session(16) | identity(32, Ed25519 public key)
            | u16 kem | lp16(kem public key) | u64 milliseconds since 1970 | challenge(8)
    sent  = hello | Ed25519(identity, "sealcast/1 hello" | ctx | hello)(64) | certificate, or nothing

The relay carries it unread. It names the session that key derivation needs, and its signature ties
all fields to one key pair. Who owns that key pair is another question: with a raw shared secret the
pair is made for the session and thrown away, so a hello proves nothing about a person. It gives no
power either, since frames open only under keys that come from the secret. With managed keys the
certificate behind the signature says whose the key pair is (``certificate``); with shared secrets
nothing may stand there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sealcast.client.errors import HelloRefused
from sealcast.protocol.names import user_id

from .context import SESSION, lp16
from .reader import Reader

__all__ = [
    "CHALLENGE",
    "HELLO_MAX",
    "KEM_NONE",
    "KEM_X25519",
    "KEM_X_WING",
    "SIGNATURE",
    "Hello",
    "Role",
    "SentHello",
    "public_bytes",
    "read_hello",
    "read_sent_hello",
    "sign_hello",
]

HELLO_MAX: Final = 3072
"""The largest hello with its signature and certificate, in bytes."""
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


class SentHello(NamedTuple):
    """A hello as it was sent, taken apart; its signature was verified."""

    hello: Hello
    body: bytes
    """The bytes that were signed: what hashes of a hello are made over."""
    certificate: bytes
    """What followed the signature, unread; empty when nothing did."""


class _Signer(Protocol):
    def sign(self, data: bytes, /) -> bytes: ...


def sign_hello(hello: Hello, ctx: bytes, identity: _Signer, certificate: bytes = b"") -> bytes:
    """Return the hello as it is sent: encoded, with its signature and the certificate after it."""
    body = hello.encode()
    return body + identity.sign(_SIGNED + ctx + body) + certificate


def read_hello(data: bytes, ctx: bytes) -> Hello:
    """Return the fields of a hello; see ``read_sent_hello``."""
    return read_sent_hello(data, ctx).hello


def read_sent_hello(data: bytes, ctx: bytes) -> SentHello:
    """Parse a hello and verify its signature for the channel that *ctx* stands for.

    Raises:
        HelloRefused: longer than HELLO_MAX, malformed, wrongly signed, or with bytes left over.

    """
    if len(data) > HELLO_MAX:
        raise HelloRefused("the hello is longer than 3072 bytes")
    reader = Reader(data, "hello", HelloRefused)
    hello = _parse(reader)
    body = hello.encode()
    signature, certificate = reader.take(SIGNATURE), reader.rest()
    if hello.kem == KEM_NONE and certificate:
        raise reader.refuse("has bytes left over")
    try:
        Ed25519PublicKey.from_public_bytes(hello.identity).verify(signature, _SIGNED + ctx + body)
    except (InvalidSignature, ValueError):
        raise HelloRefused("the hello's signature is wrong, or made for another channel") from None
    return SentHello(hello, body, certificate)


def _parse(reader: Reader) -> Hello:
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise reader.refuse("is of another version")
    try:
        role = Role(reader.integer(1))
    except ValueError:
        raise reader.refuse("names an unknown role") from None
    suite, user = reader.integer(2), reader.user()
    session, identity = reader.take(SESSION), reader.take(_IDENTITY)
    kem, kem_public = reader.integer(2), reader.prefixed()
    if _KEM_SIZES.get(kem) != len(kem_public):
        raise HelloRefused("the hello's key encapsulation is unknown, or its key has the wrong size")
    return Hello(
        role, suite, user, session, identity, kem, kem_public, reader.integer(8), reader.take(CHALLENGE)
    )
