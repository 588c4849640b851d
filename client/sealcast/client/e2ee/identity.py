"""Long-lived Ed25519 keys: a user's identity, and the authority that says who is a member.

Both are 32-byte private keys, kept in a file of mode 0600: PKCS#8 PEM (with or without a password)
or the bare 32 bytes. A member needs its own identity and the *public* half of the authority; the
private half belongs on the customer's application server and nowhere near the relay.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
from typing import Final, Protocol, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sealcast.client.errors import CertificateOfIdentity, PrivateFileRefused

from .certificate import Certificate, read_certificate, role_bits, sign_certificate
from .context import Entropy, context_id
from .hello import Role, public_bytes
from .lifetime import Uncopyable
from .private_files import create_private, read_private

__all__ = ["Authority", "Identity", "Signer"]

_FILE_MAX: Final = 4096
_SEED: Final = 32


class Signer(Protocol):
    """What signs a hello, a wrap, a message: an ``Identity``, or a key that lives in hardware."""

    @property
    def public(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""

    def sign(self, data: bytes) -> bytes:
        """Return the Ed25519 signature of *data*, 64 bytes."""


class _KeyPair(Uncopyable):
    """An Ed25519 key pair with its file. ``repr`` shows a fingerprint of the public half."""

    __slots__ = ("_key", "_public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = public_bytes(key)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({hashlib.sha256(self._public).hexdigest()[:16]})"

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes. Not secret."""
        return self._public

    @classmethod
    def generate(cls, entropy: Entropy = secrets.token_bytes) -> Self:
        """Return a new key pair, made from what *entropy* gives."""
        return cls.from_bytes(entropy(_SEED))

    @classmethod
    def from_bytes(cls, private: bytes) -> Self:
        """Return the key pair of 32 private bytes.

        Raises:
            ValueError: it is not 32 bytes.

        """
        if len(private) != _SEED:
            raise ValueError(f"a private key has {_SEED} bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(private))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, password: bytes | None = None) -> Self:
        """Read the key pair from a file that ``save`` or another tool wrote: PEM or 32 bare bytes.

        Raises:
            PrivateFileRefused: others may read the file, or there is no Ed25519 key in it, or the
                password is missing or wrong.
            OSError: it cannot be read.

        """
        data = read_private(path, _FILE_MAX)
        if len(data) == _SEED:
            return cls.from_bytes(data)
        try:
            key = load_pem_private_key(data, password)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise PrivateFileRefused("there is no Ed25519 key in this file, or its password is another")
        return cls(key)

    def save(self, path: str | os.PathLike[str], *, password: bytes | None = None, raw: bool = False) -> None:
        """Write the key pair to a new file of mode 0600: PEM, or with *raw* the bare 32 bytes.

        Raises:
            ValueError: a password for a raw file.
            FileExistsError: the file exists; a key that is overwritten is lost.
            OSError: it cannot be written.

        """
        if raw and password is not None:
            raise ValueError("a raw key file has no password; save it as PEM")
        if raw:
            data = self._key.private_bytes_raw()
        else:
            lock: KeySerializationEncryption = (
                NoEncryption() if password is None else BestAvailableEncryption(password)
            )
            data = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
        create_private(path, data)


class Identity(_KeyPair):
    """Who a user is, across sessions and devices: the key that signs hellos, wraps and messages.

    It may carry the user's certificates, one for each channel and user name, so that they need not be
    passed beside it.
    """

    __slots__ = ("_certificates",)

    def __init__(self, key: Ed25519PrivateKey) -> None:
        super().__init__(key)
        self._certificates: dict[tuple[bytes, str], bytes] = {}

    def sign(self, data: bytes) -> bytes:
        """Return the signature of *data*, 64 bytes. Everything signed begins with its own purpose."""
        return self._key.sign(data)

    def hold(self, certificate: bytes) -> None:
        """Carry a certificate that an authority made for this identity; it replaces an older one.

        The authority's signature is for the other members to check.

        Raises:
            CertificateMalformed: it is not a certificate.
            CertificateOfIdentity: it is for another key.

        """
        read = read_certificate(certificate)
        if read.identity != self.public:
            raise CertificateOfIdentity
        self._certificates[read.ctx, read.user] = certificate

    def certificate(self, ctx: bytes, user: str) -> bytes:
        """Return the certificate for *user* in the channel of *ctx*; empty when there is none."""
        return self._certificates.get((ctx, user), b"")


class Authority(_KeyPair):
    """The customer's key that says who is a member of which channel. It signs nothing else."""

    __slots__ = ()

    def certify(
        self,
        app_id: str,
        channel: str,
        user: str,
        identity: bytes,
        *,
        role: Role | Iterable[Role] = Role.MEMBER,
        not_before: int,
        not_after: int,
    ) -> bytes:
        """Return the certificate that makes *user* with *identity* a member of a channel.

        Args:
            app_id: the app.
            channel: the channel's name.
            user: the user's name in the token.
            identity: the public half of the user's identity, 32 bytes.
            role: what the bearer may be, one role or several.
            not_before: Unix seconds. Date it back by the clock error to be tolerated.
            not_after: Unix seconds. When it comes, the members take the bearer's keys away.

        Raises:
            InvalidName: a name is not allowed.
            ValueError: the identity has another size, there is no role, or the times are the wrong way round.

        """
        certificate = Certificate(
            context_id(app_id, channel), user, identity, role_bits(role), not_before, not_after
        )
        return sign_certificate(certificate, self._key.sign)
