"""TLS of the public port: what gets in, what the relay does not start with, and a replaced certificate."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.server.config import ServerConfig
from sealcast.server.transport.tls import Certificate, CertificateUnusable

if TYPE_CHECKING:
    from .conftest import Lab

PEM = Path(__file__).parents[1] / "vectors" / "tls"
pytestmark = pytest.mark.timeout(30)


def trusting(name: str, **options: Any) -> ssl.SSLContext:
    """Return what a client needs that trusts this certificate and no other."""
    context = ssl.create_default_context(cafile=str(PEM / f"{name}.pem"))
    for option, value in options.items():
        setattr(context, option, value)
    return context


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Copies of a certificate and its key that a test may replace, as options of the server."""
    for end in ("pem", "key"):
        shutil.copy(PEM / f"relay.{end}", tmp_path / f"relay.{end}")
    (tmp_path / "relay.key").chmod(0o600)
    return {"tls_certificate": str(tmp_path / "relay.pem"), "tls_key": str(tmp_path / "relay.key")}


def replace(files: dict[str, str], certificate: str, key: str) -> None:
    shutil.copyfile(PEM / f"{certificate}.pem", files["tls_certificate"])
    shutil.copyfile(PEM / f"{key}.key", files["tls_key"])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_members_talk_over_tls(lab: Lab, files: dict[str, str], version: ssl.TLSVersion) -> None:
    relay = await lab.serve(**files)
    client = trusting("relay", maximum_version=version)
    ann, bob = await lab.connect(relay, ssl=client), await lab.connect(relay, ssl=client)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    sent = await ann.frame(room)
    assert await bob.receive() == lab.Frame(room.number, room.member, sent)


async def test_a_large_frame_passes_whole(lab: Lab, files: dict[str, str]) -> None:
    relay = await lab.serve(**files)
    ann, bob = [await lab.connect(relay, ssl=trusting("relay")) for _ in range(2)]
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    sent = await ann.frame(room, payload=os.urandom(200_000))
    assert await bob.receive() == lab.Frame(room.number, room.member, sent)


async def test_plain_text_and_tls_below_1_2_do_not_get_in(lab: Lab, files: dict[str, str]) -> None:
    relay = await lab.serve(**files)
    async with asyncio.timeout(lab.PATIENCE):
        wire = await lab.wire(relay, upgrade=False)
        await wire.send(lab.request(f"/v1/{lab.APP}"))
        assert b"HTTP" not in await wire.rest()
    old = trusting("relay")
    with pytest.warns(DeprecationWarning, match="TLS"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await lab.connect(relay, ssl=old)
    await lab.connect(relay, ssl=trusting("relay"))


async def test_a_replaced_certificate_counts_for_new_connections_after_a_reload(
    lab: Lab, files: dict[str, str]
) -> None:
    relay = await lab.serve(**files)
    ann = await lab.connect(relay, ssl=trusting("relay"))
    room = await ann.join("standup", "ann")
    replace(files, "other", "other")
    relay.reload()
    bob = await lab.connect(relay, ssl=trusting("other"))
    with pytest.raises(ssl.SSLCertVerificationError):
        await lab.connect(relay, ssl=trusting("relay"))
    await bob.join("standup", "bob")
    sent = await ann.frame(room)
    assert await bob.receive() == lab.Frame(room.number, room.member, sent), "ann's connection goes on"


async def test_a_reload_that_fails_changes_nothing(lab: Lab, files: dict[str, str]) -> None:
    relay = await lab.serve(**files)
    replace(files, "other", "relay")
    relay.reload()
    await lab.connect(relay, ssl=trusting("relay"))


@pytest.mark.parametrize(
    ("certificate", "key", "wrong"),
    [
        ("relay.pem", "other.key", "do not belong together"),
        ("relay.pem", "locked.key", "needs a passphrase"),
        ("relay.pem", "README.md", "not usable PEM"),
        ("README.md", "relay.key", "not usable PEM"),
        ("none.pem", "relay.key", "cannot read .*none.pem: No such file"),
        ("relay.pem", "none.key", "cannot read .*none.key: No such file"),
    ],
)
def test_files_that_cannot_be_used_are_named(certificate: str, key: str, wrong: str) -> None:
    with pytest.raises(CertificateUnusable, match=wrong):
        Certificate(str(PEM / certificate), str(PEM / key))


async def test_a_relay_does_not_start_without_the_tls_that_it_is_to_have(
    lab: Lab, files: dict[str, str]
) -> None:
    replace(files, "relay", "other")
    with pytest.raises(CertificateUnusable):
        await lab.serve(**files)


def test_a_key_that_anybody_may_read_is_a_warning(files: dict[str, str]) -> None:
    warnings: list[str] = []
    Certificate(files["tls_certificate"], files["tls_key"], warnings.append)
    assert warnings == []
    Path(files["tls_key"]).chmod(0o644)
    Certificate(files["tls_certificate"], files["tls_key"], warnings.append)
    assert len(warnings) == 1
    assert "chmod" in warnings[0]


def test_certificate_and_key_need_each_other() -> None:
    with pytest.raises(ValueError, match="need each other"):
        ServerConfig(tls_certificate="relay.pem")
