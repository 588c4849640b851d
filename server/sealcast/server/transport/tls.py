"""TLS of the public port: a certificate from files, which can be read again while the relay runs.

TLS protects the way to the relay: tokens, names, who talks with whom. What members say is sealed end to
end whether there is TLS or not, with keys that this process never has. TLS 1.2 and later with the ciphers
that Python's defaults take (RFC 9325).
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Callable

from sealcast.protocol.errors import SealcastError

from .validity import end_of

__all__ = ["Certificate", "CertificateUnusable"]


class CertificateUnusable(SealcastError):
    """The certificate and key cannot be used; says which file and why, never what stands in it."""


class Certificate:
    """A certificate chain and its key, in PEM files.

    Args:
        chain: path of the certificate, those of its issuers after it.
        key: path of the private key, without a passphrase.
        warn: called with a line about what is unwise but no mistake.

    Raises:
        CertificateUnusable: a file cannot be read, or the two do not belong together.

    """

    def __init__(self, chain: str, key: str, warn: Callable[[str], None] = lambda _: None) -> None:
        self._chain = chain
        self._key = key
        self._warn = warn
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        """For connections that are accepted from now on."""
        self.ends: float | None = None
        """When the certificate ends, in Unix seconds."""
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Compression would tell lengths of secrets, and renegotiation costs the relay more than the peer.
        self.context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        self.reload()

    def reload(self) -> None:
        """Read the files again; connections that are open keep what they have.

        Raises:
            CertificateUnusable: they cannot be used. What was loaded before stays in use.

        """
        for path in (self._chain, self._key):
            try:
                with open(path, "rb"):
                    pass
            except OSError as error:
                raise CertificateUnusable(f"cannot read {path}: {error.strerror}") from None
        if os.name == "posix" and os.stat(self._key).st_mode & (stat.S_IROTH | stat.S_IWOTH):
            self._warn(
                f"{self._key} holds a private key that everybody on this machine may read: chmod o-rwx"
            )
        # Tried apart first: a chain that was replaced, with the old key still there, must change nothing.
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self._load(self.context)
        self.ends = end_of(self._chain)

    def demand_of_clients(self, issuers: str) -> None:
        """Accept only connections of clients with a certificate of these issuers, a PEM file.

        Raises:
            CertificateUnusable: the file cannot be used.

        """
        try:
            self.context.load_verify_locations(issuers)
        except ssl.SSLError:
            raise CertificateUnusable(f"{issuers}: not usable PEM") from None
        except OSError as error:
            raise CertificateUnusable(f"cannot read {issuers}: {error.strerror}") from None
        self.context.verify_mode = ssl.CERT_REQUIRED

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._chain, self._key, password=_no_passphrase)
        except ssl.SSLError as error:
            reason = "they do not belong together" if "MISMATCH" in (error.reason or "") else "not usable PEM"
            raise CertificateUnusable(f"{self._chain} and {self._key}: {reason}") from None
        except ValueError:
            raise CertificateUnusable(f"{self._key} needs a passphrase, which a relay cannot type") from None


def _no_passphrase() -> str:
    raise ValueError
