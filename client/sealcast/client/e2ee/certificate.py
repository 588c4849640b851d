"""The certificate: by it a channel's authority, and nobody else, says who is a member.

::

    cert  = "SCM1" | ctx(32) | lp16(user) | identity(32) | u8 roles | u64 not before | u64 not after
    bytes = cert | Ed25519(authority, "sealcast/1 member" | cert)(64)

Times are Unix seconds; the certificate holds while ``not before <= now < not after``. Bit r of the
roles allows the hello's role r. The relay can mint tokens and so can let anybody join; it has no
authority's key, so it cannot make anybody to whom the members would wrap their keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealcast.client.errors import (
    CertificateExpired,
    CertificateForged,
    CertificateMalformed,
    CertificateMissing,
    CertificateNotYetValid,
    CertificateOfChannel,
    CertificateOfIdentity,
    CertificateOfRole,
    CertificateOfUser,
)
from sealcast.protocol.names import USER_MAX, user_id

from .context import lp16
from .hello import SIGNATURE, Role
from .reader import Reader

__all__ = [
    "CERTIFICATE_MAX",
    "Certificate",
    "read_certificate",
    "role_bits",
    "sign_certificate",
    "verify_certificate",
]

_MAGIC: Final = b"SCM1"
_SIGNED: Final = b"sealcast/1 member"
_CTX = _IDENTITY = 32
_U64: Final = 2**64 - 1

CERTIFICATE_MAX: Final = len(_MAGIC) + _CTX + 2 + USER_MAX + _IDENTITY + 1 + 8 + 8 + SIGNATURE
"""The largest certificate with its signature, in bytes."""


def role_bits(roles: Role | Iterable[Role]) -> int:
    """Return the bits that allow these roles."""
    bits = 0
    for role in (roles,) if isinstance(roles, Role) else roles:
        bits |= 1 << Role(role)
    return bits


_ROLES: Final = role_bits(Role)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The fields of a certificate. Nothing in it is secret."""

    ctx: bytes
    user: str
    identity: bytes
    roles: int
    """Bit r allows role r."""
    not_before: int
    not_after: int
    """Unix seconds; the certificate no longer holds at this one."""

    def __post_init__(self) -> None:
        user_id(self.user)
        if len(self.ctx) != _CTX or len(self.identity) != _IDENTITY:
            raise ValueError("a certificate names a channel by 32 bytes and an identity by 32 bytes")
        if not self.roles or self.roles & ~_ROLES:
            raise ValueError("a certificate allows at least one role, and only known ones")
        if not 0 <= self.not_before < self.not_after <= _U64:
            raise ValueError("a certificate begins before it ends, in whole Unix seconds")

    def encode(self) -> bytes:
        """Return the bytes that are signed, without the signature."""
        return b"".join(
            (
                _MAGIC,
                self.ctx,
                lp16(self.user.encode("ascii")),
                self.identity,
                self.roles.to_bytes(1, "big"),
                self.not_before.to_bytes(8, "big"),
                self.not_after.to_bytes(8, "big"),
            )
        )


def sign_certificate(certificate: Certificate, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the certificate as it is handed out; *sign* is the authority's."""
    body = certificate.encode()
    return body + sign(_SIGNED + body)


def read_certificate(data: bytes) -> Certificate:
    """Parse a certificate. Nothing is verified: this is for showing one, or finding its place.

    Raises:
        CertificateMalformed: cut short, too long, or with fields that are not allowed.

    """
    if len(data) > CERTIFICATE_MAX:
        raise CertificateMalformed("the certificate is too long")
    reader = Reader(data[:-SIGNATURE], "certificate", CertificateMalformed)
    if reader.take(len(_MAGIC)) != _MAGIC:
        raise reader.refuse("is of another version")
    ctx, user, identity = reader.take(_CTX), reader.user(), reader.take(_IDENTITY)
    roles, not_before, not_after = reader.integer(1), reader.integer(8), reader.integer(8)
    reader.end()
    try:
        return Certificate(ctx, user, identity, roles, not_before, not_after)
    except ValueError:
        raise reader.refuse("has fields that are not allowed") from None


def verify_certificate(
    data: bytes,
    authority: bytes,
    *,
    ctx: bytes,
    user: str,
    identity: bytes,
    role: Role,
    wall: float,
) -> Certificate:
    """Return the certificate if *authority* made it for exactly this member, at the time *wall*.

    Args:
        data: the certificate with its signature; empty when the member brings none.
        authority: the authority's public key, 32 bytes.
        ctx: the channel (``context.context_id``).
        user: the user that the hello names and the relay confirms.
        identity: the key that the hello is signed with.
        role: what the hello says the member is.
        wall: the time, in Unix seconds.

    Raises:
        CertificateRefused: one subclass for each cause, looked for in this order:
            missing, malformed, forged, channel, user, identity, role, time.

    """
    if not data:
        raise CertificateMissing
    certificate = read_certificate(data)
    body, signature = data[:-SIGNATURE], data[-SIGNATURE:]
    try:
        Ed25519PublicKey.from_public_bytes(authority).verify(signature, _SIGNED + body)
    except InvalidSignature:
        raise CertificateForged from None
    if certificate.ctx != ctx:
        raise CertificateOfChannel
    if certificate.user != user:
        raise CertificateOfUser
    if certificate.identity != identity:
        raise CertificateOfIdentity
    if not certificate.roles & role_bits(role):
        raise CertificateOfRole
    if wall < certificate.not_before:
        raise CertificateNotYetValid
    if not wall < certificate.not_after:
        raise CertificateExpired
    return certificate
