"""`sealcast identity new` and `show`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sealcast.cli.failure import Failure
from sealcast.cli.main import main
from sealcast.cli.public_keys import default_identity, public_key
from sealcast.client.e2ee.identity import Identity
from sealcast.client.e2ee.safety import Holder, key_fingerprint, member_fingerprint

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where identities are kept in these tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "sealcast" / "identity"


def only_line(err: str) -> str:
    assert err.startswith("sealcast: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("command", ["identity", "identity new", "identity show"])
def test_every_command_explains_itself_with_an_example(command: str, capsys: Capture) -> None:
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: sealcast {command} ")
    assert "sealcast identity " in shown.partition("Example:  ")[2]


# --- new ---


def test_a_new_identity_is_kept_in_the_configuration_folder(place: Path, capsys: Capture) -> None:
    assert main(["identity", "new"]) == 0
    told = capsys.readouterr()
    assert Identity.load(place).public == bytes.fromhex(told.out.removesuffix("\n"))
    assert str(place) in only_line(told.err)
    assert place.stat().st_mode & 0o777 == 0o600
    assert place.parent.stat().st_mode & 0o777 == 0o700


def test_an_identity_goes_where_it_is_told(tmp_path: Path, place: Path, capsys: Capture) -> None:
    path = tmp_path / "alice.identity"
    assert main(["identity", "new", "--output", str(path)]) == 0
    assert Identity.load(path).public.hex() == capsys.readouterr().out.strip()
    assert not place.exists()
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_identity_is_another_one(tmp_path: Path, capsys: Capture) -> None:
    for name in "abc":
        assert main(["identity", "new", "-o", str(tmp_path / name)]) == 0
    assert len(set(capsys.readouterr().out.split())) == 3


def test_an_identity_is_never_written_over(tmp_path: Path, place: Path, capsys: Capture) -> None:
    assert main(["identity", "new"]) == 0
    before = place.read_bytes()
    capsys.readouterr()
    for arguments in ([], ["--output", str(place)]):
        assert main(["identity", "new", *arguments]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert "exists already" in only_line(told.err)
    assert place.read_bytes() == before


def test_where_nothing_can_be_written_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    assert main(["identity", "new", "-o", str(tmp_path / "no" / "where")]) == 1
    assert "cannot be written: No such file" in only_line(capsys.readouterr().err)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    assert main(["identity", "new"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "cannot be made" in only_line(told.err)


# --- show ---


def test_public_key_and_fingerprint_are_shown_and_never_the_private_key(
    tmp_path: Path, capsys: Capture
) -> None:
    private = bytes(range(32))
    path = tmp_path / "identity"
    Identity.from_bytes(private).save(path)
    identity = Identity.load(path).public
    assert main(["identity", "show", str(path), "--user", "alice"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    key, fingerprint, half = told.out.splitlines()
    assert key.split() == ["public", "key", identity.hex()]
    assert fingerprint.split(maxsplit=1)[1].replace(" ", "") == key_fingerprint(identity)
    assert member_fingerprint(Holder("alice", identity)) in half.replace(" ", "")
    assert private.hex() not in told.out
    pem = path.read_text().splitlines()[1]
    assert pem not in told.out


def test_the_identity_in_the_configuration_folder_is_shown_when_none_is_named(capsys: Capture) -> None:
    assert main(["identity", "new"]) == 0
    made = capsys.readouterr().out
    assert main(["identity", "show", "--public"]) == 0
    assert capsys.readouterr().out == made
    assert main(["identity", "show"]) == 0
    assert made.strip() in capsys.readouterr().out


def test_no_identity_is_one_line_that_says_how_to_make_one(place: Path, capsys: Capture) -> None:
    assert main(["identity", "show"]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        f"sealcast: {place} cannot be read: there is no such file; try `sealcast identity new`\n"
    )


def test_a_file_that_others_can_read_is_refused(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "identity"
    Identity.generate().save(path)
    path.chmod(0o644)
    assert main(["identity", "show", str(path)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "chmod 600" in only_line(told.err)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\nhunter2\n", bytes(5000)])
def test_a_file_without_a_key_is_refused_without_showing_it(
    content: bytes, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "identity"
    path.touch(0o600)
    path.write_bytes(content)
    assert main(["identity", "show", str(path)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert str(path) in only_line(told.err)
    assert "hunter2" not in told.err


def test_a_wrong_user_name_is_a_usage_error_and_shows_nothing(tmp_path: Path, capsys: Capture) -> None:
    assert main(["identity", "new", "-o", str(tmp_path / "identity")]) == 0
    capsys.readouterr()
    assert main(["identity", "show", str(tmp_path / "identity"), "--user", "*"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    only_line(told.err)


@pytest.mark.parametrize(("name", "status"), [(".", 1), ("a\x1b[2Jb", 1), ("\0", 2)])
def test_a_name_that_is_no_file_is_one_harmless_line(name: str, status: int, capsys: Capture) -> None:
    assert main(["identity", "show", name]) == status
    assert "\x1b" not in only_line(capsys.readouterr().err)


# --- where, and how a key is written ---


def test_the_folder_follows_the_convention_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    anywhere = Path(os.sep, "anywhere")
    assert default_identity({"XDG_CONFIG_HOME": str(anywhere)}) == anywhere / "sealcast" / "identity"
    monkeypatch.setattr(Path, "home", lambda: anywhere)
    for environment in ({}, {"XDG_CONFIG_HOME": ""}, {"XDG_CONFIG_HOME": "relative"}):
        assert default_identity(environment) == anywhere / ".config" / "sealcast" / "identity"


def test_without_a_home_a_file_has_to_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(Failure, match="a file by name"):
        default_identity({})


def test_a_public_key_is_written_or_in_a_file_or_the_half_of_an_identity(tmp_path: Path) -> None:
    made = Identity.generate()
    (tmp_path / "pub").write_text(f"{made.public.hex()}\n")
    (tmp_path / "PUB").write_text(f"  {made.public.hex().upper()}")
    made.save(tmp_path / "pem")
    made.save(tmp_path / "raw", raw=True)
    written = [made.public.hex(), made.public.hex().upper(), f" {made.public.hex()}\n"]
    for text in [*written, *(str(tmp_path / name) for name in ("pub", "PUB", "pem", "raw"))]:
        assert public_key("--theirs", text) == made.public


@pytest.mark.parametrize("text", ["", "5e" * 31, "5e" * 33, "zz" * 32, "no/such/file", "a\0b"])
def test_what_is_neither_key_nor_file_is_a_failure_that_does_not_repeat_it(text: str) -> None:
    with pytest.raises(Failure) as refused:
        public_key("--theirs", text)
    assert text not in str(refused.value) or not text


def test_a_file_with_something_else_in_it_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.touch(0o600)
    for content in ("hunter2", "hunter2 " * 1000):
        path.write_text(content)
        with pytest.raises(Failure) as refused:
            public_key("--theirs", str(path))
        assert "hunter2" not in str(refused.value)
