"""Identity and authority keys: kept private on disk, never shown, never copied."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sealcast.client.e2ee.context import context_id
from sealcast.client.e2ee.hello import Role
from sealcast.client.e2ee.identity import Authority, Identity
from sealcast.client.e2ee.private_files import create_private, read_private, replace_private
from sealcast.client.errors import (
    CertificateMalformed,
    CertificateOfIdentity,
    CopyRefused,
    PrivateFileRefused,
)
from sealcast.protocol.errors import InvalidName

APP = "0123456789abcdef0123456789abcdef"
KINDS = pytest.mark.parametrize("kind", [Identity, Authority])


@KINDS
@pytest.mark.parametrize(
    "options", [{}, {"raw": True}, {"password": b"correct horse"}], ids=["pem", "raw", "password"]
)
def test_a_saved_key_is_loaded_again(
    kind: type[Identity | Authority], options: dict[str, Any], tmp_path: Path
) -> None:
    made, path = kind.generate(), tmp_path / "key"
    made.save(path, **options)
    assert path.stat().st_mode & 0o777 == 0o600
    assert kind.load(path, password=options.get("password")).public == made.public


def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Identity.generate().save(tmp_path / "open")
        replace_private(tmp_path / "replaced", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "open").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "replaced").stat().st_mode & 0o777 == 0o600


def test_a_key_file_of_openssl_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.touch(0o600)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", path], check=True)
    path.chmod(0o600)
    assert len(Identity.load(path).public) == 32


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666, 0o777])
def test_a_file_that_group_or_world_may_touch_is_refused(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "key"
    Identity.generate().save(path)
    path.chmod(mode)
    with pytest.raises(PrivateFileRefused, match="chmod 600"):
        Identity.load(path)
    path.chmod(0o400)
    Identity.load(path)


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = Identity.generate()
    first.save(path)
    with pytest.raises(FileExistsError):
        Identity.generate().save(path)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        Identity.generate().save(tmp_path / "link")
    assert Identity.load(path).public == first.public
    assert not (tmp_path / "nowhere").exists()


def test_a_file_that_cannot_be_written_is_not_left_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "old").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        create_private(tmp_path / "new", b"secret")
    with pytest.raises(OSError, match="space"):
        replace_private(tmp_path / "old", b"secret")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def other_key() -> bytes:
    return X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "content",
    [b"", b"x", bytes(31), bytes(33), b"-----BEGIN PRIVATE KEY-----\n", other_key(), bytes(4097)],
    ids=["empty", "a byte", "31 bytes", "33 bytes", "half a PEM", "another kind of key", "too long"],
)
def test_a_file_without_an_ed25519_key_is_refused_without_showing_it(content: bytes, tmp_path: Path) -> None:
    create_private(tmp_path / "key", content)
    with pytest.raises(PrivateFileRefused) as caught:
        Identity.load(tmp_path / "key")
    assert caught.value.__cause__ is None
    assert "BEGIN" not in str(caught.value)


def test_a_password_that_is_wrong_missing_or_needless_is_refused(tmp_path: Path) -> None:
    Identity.generate().save(tmp_path / "locked", password=b"right")
    Identity.generate().save(tmp_path / "plain")
    for name, password in (("locked", b"wrong"), ("locked", None), ("plain", b"right")):
        with pytest.raises(PrivateFileRefused, match="password"):
            Identity.load(tmp_path / name, password=password)
    with pytest.raises(ValueError, match="PEM"):
        Identity.generate().save(tmp_path / "raw", raw=True, password=b"x")


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(PrivateFileRefused, match="regular"):
        read_private(tmp_path / "pipe", 100)
    with pytest.raises(FileNotFoundError):
        read_private(tmp_path / "missing", 100)


@KINDS
def test_a_key_is_never_copied_pickled_or_printed(kind: type[Identity | Authority], tmp_path: Path) -> None:
    made = kind.from_bytes(b"\x07" * 32)
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(CopyRefused):
            attempt(made)
    for text in (repr(made), str(made)):
        assert "0707" not in text
        assert made.public.hex() not in text
    with pytest.raises(ValueError, match="32 bytes"):
        kind.from_bytes(bytes(31))


def test_an_identity_signs_as_its_public_half_verifies() -> None:
    identity = Identity.generate()
    Ed25519PublicKey.from_public_bytes(identity.public).verify(identity.sign(b"data"), b"data")
    seed = bytes(range(32))
    assert Identity.from_bytes(seed).public == (
        Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    )


def test_an_authority_signs_certificates_and_nothing_else() -> None:
    assert not hasattr(Authority.generate(), "sign")


def test_an_identity_carries_its_certificates_by_channel_and_user() -> None:
    authority, identity, stranger = Authority.generate(), Identity.generate(), Identity.generate()
    times: dict[str, Any] = {"not_before": 1, "not_after": 2}
    first = authority.certify(APP, "standup", "alice", identity.public, **times)
    newer = authority.certify(APP, "standup", "alice", identity.public, role=Role.RECORDER, **times)
    other = authority.certify(APP, "lobby", "alice", identity.public, **times)
    for certificate in (first, other, newer):
        identity.hold(certificate)
    standup, lobby = context_id(APP, "standup"), context_id(APP, "lobby")
    assert identity.certificate(standup, "alice") == newer
    assert identity.certificate(lobby, "alice") == other
    assert identity.certificate(standup, "bob") == b""
    with pytest.raises(CertificateOfIdentity):
        identity.hold(authority.certify(APP, "standup", "alice", stranger.public, **times))
    with pytest.raises(CertificateMalformed):
        identity.hold(b"")


def test_certifying_refuses_what_nobody_would_accept() -> None:
    authority, identity = Authority.generate(), Identity.generate().public
    good: dict[str, Any] = {"not_before": 1, "not_after": 2}
    with pytest.raises(InvalidName):
        authority.certify("app", "standup", "alice", identity, **good)
    with pytest.raises(InvalidName):
        authority.certify(APP, "", "alice", identity, **good)
    with pytest.raises(InvalidName):
        authority.certify(APP, "standup", "*", identity, **good)
    for wrong in (
        {"not_before": 2},
        {"not_before": -1},
        {"not_after": 2**64},
        {"role": ()},
        {"role": [9]},
    ):
        with pytest.raises(ValueError, match=r"role|Role|Unix"):
            authority.certify(APP, "standup", "alice", identity, **{**good, **wrong})
    with pytest.raises(ValueError, match="32 bytes"):
        authority.certify(APP, "standup", "alice", bytes(31), **good)
