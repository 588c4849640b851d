"""Checks of a configuration: its file, apps, certificate and ports; and of a relay that runs already."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509

from sealcast.protocol.version import __version__

from ..output import printable
from .finding import Finding, fine, worth_a_look, wrong

if TYPE_CHECKING:
    from sealcast.server.config import Config

__all__ = ["apps", "certificate", "internal", "port", "readable_by", "running"]

_SOON: Final = timedelta(days=14)
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})


def readable_by(path: Path, what: str) -> Iterator[Finding]:
    """Look who may read a file with secrets."""
    mode = path.stat().st_mode
    if mode & 0o007:
        yield wrong(what, f"{path} can be read by every user of this machine", f"`chmod 0640 {path}`")
    else:
        yield fine(what, f"{path} is readable by its owner" + (" and group" if mode & 0o040 else ""))


def apps(config: Config) -> Iterator[Finding]:
    """Look for apps that let more in than one would think."""
    open_to_all = config.server.host not in _LOCAL
    for app in config.apps:
        if app.policy.allow_app_id_only:
            judge = wrong if open_to_all else worth_a_look
            yield judge(
                "apps",
                f"{app.name or app.app_id} admits members without a token",
                "take policy.allow_app_id_only away, unless this is a test",
            )
        if app.policy.encryption == "optional":
            yield worth_a_look(
                "apps", f"{app.name or app.app_id} relays frames in clear", 'policy.encryption = "required"'
            )
    disabled = sum(not app.enabled for app in config.apps)
    yield fine("apps", f"{len(config.apps)}" + (f", {disabled} of them disabled" if disabled else ""))


def certificate(config: Config, now: datetime | None = None) -> Iterator[Finding]:
    """Look at the public port's TLS certificate: whether it can be used, and for how long."""
    server = config.server
    if server.tls_certificate:
        yield from _judged("TLS", server.tls_certificate, server.tls_key, now)
    elif server.host not in _LOCAL:
        yield worth_a_look(
            "TLS",
            f"{server.host} speaks plain WebSocket",
            "server.tls_certificate and server.tls_key, or a proxy in front that speaks TLS",
        )


def internal(config: Config, now: datetime | None = None) -> Iterator[Finding]:
    """Look at the internal port: who can reach it, and whether its certificates can be used."""
    server = config.server
    what = "internal port"
    if not server.internal:
        yield worth_a_look(what, "there is none: no API, no metrics, no health", "server.internal = true")
        return
    if server.internal_tls_certificate:
        yield from _judged("internal TLS", server.internal_tls_certificate, server.internal_tls_key, now)
    elif server.internal_host not in _LOCAL:
        yield worth_a_look(
            what,
            f"{server.internal_host} takes keys and passwords without TLS",
            "server.internal_tls_certificate and server.internal_tls_key, or something in front that has TLS",
        )
    if server.internal_tls_clients:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_verify_locations(
                server.internal_tls_clients
            )
        except (OSError, ValueError) as error:
            yield wrong(
                "internal TLS", f"the clients' issuers cannot be used: {_said(error)}", "check the file"
            )


def _judged(what: str, chain: str, key: str, now: datetime | None) -> Iterator[Finding]:
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            chain, key, password=_no_passphrase
        )
        leaf = x509.load_pem_x509_certificate(Path(chain).read_bytes())
    except (OSError, ValueError) as error:
        yield wrong(what, f"certificate and key cannot be used: {_said(error)}", "check both files")
        return
    left = leaf.not_valid_after_utc - (now or datetime.now(UTC))
    if leaf.not_valid_before_utc > (now or datetime.now(UTC)):
        yield wrong(
            what,
            f"the certificate begins on {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            "look at the clock, or wait",
        )
    elif left <= timedelta():
        yield wrong(what, f"the certificate ended on {leaf.not_valid_after_utc:%Y-%m-%d}", "renew it")
    elif left < _SOON:
        yield worth_a_look(what, f"the certificate ends in {left.days} days", "renew it, and send SIGHUP")
    else:
        yield fine(what, f"the certificate is good until {leaf.not_valid_after_utc:%Y-%m-%d}")
    yield from readable_by(Path(key), f"{what} key")


def _no_passphrase() -> str:
    raise ValueError("the key needs a passphrase, which a relay cannot type")


def port(host: str, number: int, what: str = "port") -> Iterator[Finding]:
    """Look whether a port can be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            yield worth_a_look(
                what,
                f"{host}:{number} cannot be taken: {error.strerror}",
                "another port, unless it is a relay that is meant to run there",
            )
        else:
            yield fine(what, f"{host}:{number} is free")


def running(url: str) -> Iterator[Finding]:
    """Look at the relay whose internal port is at *url*: is it well, and of this version?"""
    if not url.startswith(("http://", "https://")):
        yield wrong("relay", f"{url} is no URL", "as in http://127.0.0.1:7701")
        return
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/readyz", timeout=5) as answer:  # noqa: S310 - checked
            body = json.loads(answer.read(65536))
    except urllib.error.HTTPError as error:
        yield wrong("relay", f"{url} answers {error.code}: {_reason(error)}", "its log says more")
        return
    except (OSError, ValueError) as error:
        yield wrong("relay", f"{url} does not answer: {_said(error)}", "start it, or name another --api")
        return
    version = body.get("version") if isinstance(body, dict) else None
    if version == __version__:
        yield fine("relay", f"{url} is ready, version {version}")
    else:
        yield worth_a_look(
            "relay",
            f"{url} is of version {printable(str(version)[:40])}, this command of {__version__}",
            "install the same on both",
        )


def _reason(error: urllib.error.HTTPError) -> str:
    """Return what a refusal says; whoever it is that answers may send anything."""
    try:
        problems = json.loads(error.read(65536))["problems"]
        said = "; ".join(str(problem)[:200] for problem in problems[:10])
    except (OSError, ValueError, KeyError, TypeError):
        said = ""
    return printable(said) or "it is not ready"


def _said(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    if reason is None:
        reason = str(error) if isinstance(error, ValueError) else ""
    return str(reason) or type(error).__name__
