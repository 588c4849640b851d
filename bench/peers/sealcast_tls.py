"""The relay with TLS. The clients' side of it is Python's, and stands between the sockets and the server."""

from __future__ import annotations

import datetime
import selectors
import socket
import ssl
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from .base import Running
from .sealcast import APP_ID, Sealcast
from .websocket import handshake

__all__ = ["PEERS", "Pump", "SealcastTls", "write_certificate"]

_CHUNK: Final = 64 * 1024
_IN_A_ROW: Final = 8
"""Reads of one connection before the others have their turn; a record fits one, so none is left inside."""
_OPTIONS: Final = ("tls_certificate", "tls_key")


class SealcastTls(Sealcast):
    """A relay that ends TLS itself, with a certificate made for the run (ECDSA, P-256)."""

    name = "sealcast-tls"
    note = "sealcast that ends TLS itself; the clients' TLS is Python's and counts as generator"

    def __init__(self) -> None:
        super().__init__()
        self._pump: Pump | None = None
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def missing(self) -> str | None:
        """Return why not, while the relay has no options for TLS."""
        lacking = super().missing()
        if lacking:
            return lacking
        from sealcast.server.config import ServerConfig

        if all(name in ServerConfig.model_fields for name in _OPTIONS):
            return None
        return "this relay has no server.tls_certificate and server.tls_key yet"

    def configuration(self, port: int, folder: Path) -> str:
        """Add the certificate to the relay's file."""
        certificate, key = write_certificate(folder)
        lines = f'[server]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n'
        return super().configuration(port, folder).replace("[server]\n", lines, 1)

    def start(self) -> Running:
        """Start the relay and what stands before it."""
        running = super().start()
        self._pump = pump = Pump()

        def stop() -> None:
            running.__exit__(None, None, None)
            pump.close()

        return Running(running.pids, running.port, stop)

    def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
        """Return the clear end of a connection that is sealed to the relay."""
        assert self._pump is not None, "started before"
        plain = socket.create_connection(("127.0.0.1", port), 20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock = self._pump.add(self._context.wrap_socket(plain))
        handshake(sock, f"/v1/{APP_ID}", "sealcast.1")
        self.enter(sock, channel, user)
        return sock


PEERS = (SealcastTls(),)


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Write a certificate for localhost that is its own issuer, and its key; return both paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].touch(0o600)
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


@dataclass
class _Link:
    """One connection, and the bytes that wait for either side; while some do, the other is not read."""

    sealed: ssl.SSLSocket
    clear: socket.socket
    inward: bytes = b""
    outward: bytes = b""
    watched: dict[socket.socket, int] = field(default_factory=dict)


class Pump:
    """Moves bytes between TLS connections and socket pairs, in a thread of its own."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._ending = threading.Event()
        self._links: list[_Link] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, sealed: ssl.SSLSocket) -> socket.socket:
        """Take over a connection whose TLS handshake is done; return its clear end."""
        near, far = socket.socketpair()
        sealed.setblocking(False)
        far.setblocking(False)
        link = _Link(sealed, far)
        self._links.append(link)
        with self._lock:
            self._watch(link)
        return near

    def close(self) -> None:
        """End all connections."""
        self._ending.set()
        self._thread.join()
        self._selector.close()
        for link in self._links:
            link.sealed.close()
            link.clear.close()

    def _run(self) -> None:
        while not self._ending.is_set():
            for key, _ in self._selector.select(0.1):
                with self._lock:
                    self._serve(key.data)

    def _serve(self, link: _Link) -> None:
        try:
            self._inward(link)
            self._outward(link)
            self._watch(link)
        except OSError:  # one side is gone; so is the other
            self._drop(link)

    def _inward(self, link: _Link) -> None:
        for _ in range(_IN_A_ROW):
            if link.inward:
                try:
                    link.inward = link.inward[link.clear.send(link.inward) :]
                except BlockingIOError:
                    return
            if link.inward:
                return
            try:
                link.inward = link.sealed.recv(_CHUNK)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            if not link.inward:
                raise ConnectionResetError

    def _outward(self, link: _Link) -> None:
        for _ in range(_IN_A_ROW):
            if link.outward:
                try:
                    link.outward = link.outward[link.sealed.send(link.outward) :]
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    return
            if link.outward:
                return
            try:
                link.outward = link.clear.recv(_CHUNK)
            except BlockingIOError:
                return
            if not link.outward:
                raise ConnectionResetError

    def _watch(self, link: _Link) -> None:
        read, write = selectors.EVENT_READ, selectors.EVENT_WRITE
        wanted = {
            link.sealed: (0 if link.inward else read) | (write if link.outward else 0),
            link.clear: (0 if link.outward else read) | (write if link.inward else 0),
        }
        for sock, events in wanted.items():
            known = link.watched.get(sock, 0)
            if events == known:
                continue
            if not known:
                self._selector.register(sock, events, link)
            elif not events:
                self._selector.unregister(sock)
            else:
                self._selector.modify(sock, events, link)
            link.watched[sock] = events

    def _drop(self, link: _Link) -> None:
        for sock, events in link.watched.items():
            if events:
                self._selector.unregister(sock)
        link.watched.clear()
        link.sealed.close()
        link.clear.close()
