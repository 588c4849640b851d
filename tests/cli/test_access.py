"""Where url, App ID, token and key come from, and what goes before what."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from sealcast.cli.access import DEFAULT_URL, Access, reach
from sealcast.cli.context import read_context, write_context
from sealcast.cli.failure import Failure, Status
from sealcast.protocol.tokens import parse

APP_ID = "0123456789abcdef0123456789abcdef"
OTHER_APP = "00000000000000000000000000000001"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
KEY = "5e" * 32
BASE = {"SEALCAST_APP_ID": APP_ID, "SEALCAST_KEY": KEY}


def token_of(access: Access) -> str:
    assert isinstance(access.token, str)
    return access.token


def test_without_a_url_it_is_the_relay_on_this_machine() -> None:
    access = reach(BASE)
    assert (access.url, access.app_id, access.token, access.sealed) == (DEFAULT_URL, APP_ID, None, True)


def test_flags_go_before_the_environment_and_that_before_the_context(tmp_path: Path) -> None:
    path = tmp_path / "team.toml"
    kept = {"url": "ws://context:1", "app_id": OTHER_APP, "token": "context", "key": KEY}
    write_context(path, kept)
    env = {"SEALCAST_CONTEXT": str(path)}
    access = reach(env)
    assert (access.url, access.app_id, token_of(access)) == ("ws://context:1", OTHER_APP, "context")
    env |= {"SEALCAST_URL": "ws://env:1", "SEALCAST_APP_ID": APP_ID, "SEALCAST_TOKEN": "env"}
    access = reach(env)
    assert (access.url, access.app_id, token_of(access)) == ("ws://env:1", APP_ID, "env")
    access = reach(env, url="ws://flag:1", app_id=OTHER_APP, token="flag", key="none", context=str(path))
    assert (access.url, access.app_id, token_of(access)) == ("ws://flag:1", OTHER_APP, "flag")
    assert not access.sealed


def test_a_certificate_flag_goes_before_a_token_of_the_environment() -> None:
    access = reach({**BASE, "SEALCAST_TOKEN": "env"}, certificate=CERTIFICATE)
    assert callable(access.token)
    (entry,) = parse(access.token("standup", "alice")).services
    assert (entry.channel, entry.user) == ("standup", "alice")  # type: ignore[attr-defined]


def test_every_secret_can_come_from_a_file(tmp_path: Path) -> None:
    token, key, empty = tmp_path / "token", tmp_path / "key", tmp_path / "empty"
    token.write_text("  the token\n")
    key.write_text(f"{KEY}\n")
    empty.write_text(" \n")
    access = reach({"SEALCAST_APP_ID": APP_ID}, token_file=str(token), key_file=str(key))
    assert token_of(access) == "the token"
    assert access.sealed
    env = {
        "SEALCAST_APP_ID": APP_ID,
        "SEALCAST_TOKEN_FILE": str(token),
        "SEALCAST_KEY_FILE": str(key),
        "SEALCAST_KEY": "",
    }
    assert token_of(reach(env)) == "the token"
    with pytest.raises(Failure, match="empty is empty"):
        reach(BASE, token_file=str(empty))
    with pytest.raises(Failure, match="nowhere cannot be read: No such file or directory"):
        reach(BASE, token_file=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("env", "flags", "problem"),
    [
        ({"SEALCAST_KEY": KEY}, {}, "no App ID; try --app-id"),
        ({"SEALCAST_APP_ID": APP_ID}, {}, "no content key; try `sealcast genkey`"),
        (BASE, {"token": "t", "token_file": "f"}, "--token and --token-file say the same thing"),
        (BASE, {"key": "k", "key_file": "f"}, "--key and --key-file say the same thing"),
        (BASE, {"token": "t", "certificate": CERTIFICATE}, "a token and a certificate are both given"),
        (BASE, {"token_file": "-", "key_file": "-"}, "standard input can hold one secret only"),
        (
            {**BASE, "SEALCAST_KEY_FILE": "f"},
            {},
            "SEALCAST_KEY and SEALCAST_KEY_FILE are both set; try one of them",
        ),
    ],
)
def test_what_is_missing_or_given_twice_is_a_usage_error(
    env: dict[str, str], flags: dict[str, str], problem: str
) -> None:
    with pytest.raises(Failure) as refused:
        reach(env, **flags)
    assert problem in str(refused.value)
    assert refused.value.status == Status.USAGE


def test_no_secret_shows_in_a_repr() -> None:
    access = reach(BASE, token="007secret")
    assert "007secret" not in repr(access)
    assert KEY not in repr(access)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"url": "http://x"}, "starts with ws://, not http://"),
        ({"url": "ws://user:pass@x"}, "a user or password in it"),
        ({"app_id": "x"}, "an App ID is 32 hexadecimal characters"),
        ({"token": "t" * 5000}, "a token has 1-2047 characters"),
    ],
)
def test_what_no_client_can_be_made_of_is_a_usage_error(flags: dict[str, str], problem: str) -> None:
    with pytest.raises(Failure) as refused:
        reach(BASE, **flags).client()
    assert problem in str(refused.value)
    assert refused.value.status == Status.USAGE


# --- context files ---------------------------------------------------------------------------------


def test_a_context_file_is_its_owners_alone_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "team.toml"
    fields = {"url": "ws://x:1", "app_id": APP_ID, "key": 'a "quoted" \\ text'}
    write_context(path, fields)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_context(str(path)) == fields
    with pytest.raises(FileExistsError):
        write_context(path, fields)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"key = ", "is not TOML"),
        (b"\xff", "is not TOML"),
        (b'appid = "x"', "has an unknown field appid; did you mean app_id?"),
        (b'zzz = "x"', "has an unknown field zzz"),
        (b"key = 3", "should have a text as key"),
        (b'"\\u001b[2J" = 1', r"has an unknown field \x1b[2J"),
    ],
)
def test_a_wrong_context_file_is_a_configuration_error(text: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "team.toml"
    path.write_bytes(text)
    with pytest.raises(Failure) as refused:
        reach(BASE, context=str(path))
    assert str(refused.value) == f"the context file {path} {problem}"
    assert refused.value.status == Status.CONFIGURATION


def test_a_context_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="cannot be read: No such file or directory"):
        reach(BASE, context=str(tmp_path / "nowhere"))
