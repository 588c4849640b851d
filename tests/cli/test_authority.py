"""`sealcast authority new`, `show` and `certify`."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from sealcast.cli.main import main
from sealcast.client.e2ee.certificate import Certificate, read_certificate, role_bits, verify_certificate
from sealcast.client.e2ee.context import context_id
from sealcast.client.e2ee.hello import Role
from sealcast.client.e2ee.identity import Authority, Identity
from sealcast.client.errors import CertificateExpired, CertificateForged, CertificateOfUser

Capture = pytest.CaptureFixture[str]

APP_ID = "0123456789abcdef0123456789abcdef"
ALICE = bytes(range(32))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEALCAST_APP_ID", raising=False)


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    path = tmp_path / "authority.key"
    Authority.generate().save(path)
    return path


def certify(authority: Path, *arguments: str, identity: str = ALICE.hex(), app: str | None = APP_ID) -> int:
    names = ["--channel", "standup", "--user", "alice", "--identity", identity]
    named = [] if app is None else ["--app-id", app]
    return main(["authority", "certify", "--authority", str(authority), *named, *names, *arguments])


def printed(capsys: Capture) -> bytes:
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.count("\n") == 1
    return base64.b64decode(told.out.removesuffix("\n"), validate=True)


def check(
    data: bytes, authority: Path, *, role: Role = Role.MEMBER, wall: float | None = None
) -> Certificate:
    return verify_certificate(
        data,
        Authority.load(authority).public,
        ctx=context_id(APP_ID, "standup"),
        user="alice",
        identity=ALICE,
        role=role,
        wall=time.time() if wall is None else wall,
    )


@pytest.mark.parametrize("command", ["authority", "authority new", "authority show", "authority certify"])
def test_every_command_explains_itself_with_an_example(command: str, capsys: Capture) -> None:
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: sealcast {command} ")
    assert "sealcast authority " in shown.partition("Example:  ")[2]


def test_a_new_authority_is_in_its_file_and_its_public_half_on_standard_output(
    tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "authority.key"
    assert main(["authority", "new", "--output", str(path)]) == 0
    told = capsys.readouterr()
    assert Authority.load(path).public.hex() == told.out.removesuffix("\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert told.err.count("\n") == 1
    assert main(["authority", "show", "--authority", str(path)]) == 0
    assert capsys.readouterr().out == told.out


def test_an_authority_is_never_written_over(authority: Path, capsys: Capture) -> None:
    before = authority.read_bytes()
    assert main(["authority", "new", "--output", str(authority)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "exists already" in told.err
    assert authority.read_bytes() == before


def test_a_place_for_the_authority_has_to_be_named(capsys: Capture) -> None:
    assert main(["authority", "new"]) == 2
    assert "--output" in capsys.readouterr().err


# --- certify ---


def test_a_certificate_stands_alone_on_standard_output_and_members_accept_it(
    authority: Path, capsys: Capture
) -> None:
    before = int(time.time())
    assert certify(authority) == 0
    certificate = check(printed(capsys), authority)
    assert certificate.roles == role_bits(Role.MEMBER)
    life = 30 * 86400
    assert before + life <= certificate.not_after <= time.time() + life
    assert before - 300 <= certificate.not_before <= time.time() - 300


def test_a_certificate_is_for_that_user_until_its_end_and_by_that_authority(
    authority: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert certify(authority, "--ttl", "2h") == 0
    data = printed(capsys)
    check(data, authority, wall=time.time() + 7100)
    with pytest.raises(CertificateExpired):
        check(data, authority, wall=time.time() + 7200)
    Authority.generate().save(tmp_path / "other")
    with pytest.raises(CertificateForged):
        check(data, tmp_path / "other")
    assert certify(authority, "--user", "bob") == 0
    with pytest.raises(CertificateOfUser):
        check(printed(capsys), authority)


@pytest.mark.parametrize("name", [role.name.lower() for role in Role])
def test_every_role_can_be_certified(name: str, authority: Path, capsys: Capture) -> None:
    assert certify(authority, "--role", name) == 0
    assert read_certificate(printed(capsys)).roles == role_bits(Role[name.upper()])


def test_several_roles_can_be_certified_at_once(authority: Path, capsys: Capture) -> None:
    assert certify(authority, "--role", "member", "--role", "recorder") == 0
    data = printed(capsys)
    check(data, authority, role=Role.RECORDER)
    assert check(data, authority).roles == role_bits([Role.MEMBER, Role.RECORDER])


def test_the_app_can_come_from_the_environment(
    authority: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("SEALCAST_APP_ID", APP_ID)
    assert certify(authority, app=None) == 0
    check(printed(capsys), authority)


def test_the_identity_can_be_a_file_of_either_half(authority: Path, tmp_path: Path, capsys: Capture) -> None:
    made = Identity.generate()
    made.save(tmp_path / "alice.identity")
    (tmp_path / "alice.pub").write_text(made.public.hex() + "\n")
    for name in ("alice.identity", "alice.pub"):
        assert certify(authority, identity=str(tmp_path / name)) == 0
        certificate = printed(capsys)
        assert read_certificate(certificate).identity == made.public
        made.hold(certificate)


def test_a_certificate_can_go_to_a_file_but_never_over_one(
    authority: Path, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "alice.cert"
    assert certify(authority, "--output", str(path)) == 0
    assert capsys.readouterr() == ("", "")
    check(base64.b64decode(path.read_text().removesuffix("\n"), validate=True), authority)
    before = path.read_bytes()
    assert certify(authority, "--output", str(path)) == 1
    assert capsys.readouterr().err == f"sealcast: {path} exists already; try another name, or remove it\n"
    assert path.read_bytes() == before
    assert certify(authority, "--output", str(tmp_path / "no" / "where")) == 1
    assert "cannot be written: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--user", "*"], "a user name has 1-255 printable ASCII characters"),
        (["--channel", ""], "a channel name"),
        (["--app-id", "x"], "an App ID is 32 hexadecimal"),
        (["--identity", "5ec7e7"], "--identity is not a public key"),
        (["--role", "king"], "'king' is not one of"),
        (["--ttl", "soon"], "--ttl is not a duration"),
        (["--ttl", "0"], "whole number of seconds"),
        (["--ttl", "1.5"], "whole number of seconds"),
        (["--ttl", "9" * 31], "begins before it ends"),
    ],
)
def test_what_is_wrong_is_one_line_and_makes_no_certificate(
    arguments: list[str], part: str, authority: Path, capsys: Capture
) -> None:
    assert certify(authority, *arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("sealcast: ")
    assert told.err.count("\n") == 1
    assert part in told.err
    assert "5ec7e7" not in told.err


def test_without_an_app_nothing_is_certified(authority: Path, capsys: Capture) -> None:
    assert certify(authority, app=None) == 2
    assert capsys.readouterr() == ("", "sealcast: no App ID; try --app-id, or SEALCAST_APP_ID\n")


def test_the_authority_s_own_key_is_nobody_s_identity(authority: Path, capsys: Capture) -> None:
    assert certify(authority, identity=Authority.load(authority).public.hex()) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "the authority's own key" in told.err


def test_an_authority_that_cannot_be_used_is_one_line(
    authority: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert certify(tmp_path / "missing") == 1
    assert "`sealcast authority new`" in capsys.readouterr().err
    authority.chmod(0o640)
    assert certify(authority) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "chmod 600" in told.err
    assert told.err.count("\n") == 1
