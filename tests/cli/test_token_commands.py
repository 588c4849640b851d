"""`sealcast token create` and `inspect`."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest

from sealcast.cli.main import main
from sealcast.cli.token_report import as_table, report
from sealcast.protocol.errors import TokenMalformed
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import AccessToken, RtmService, parse, verify

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
OTHER = "00000000000000000000000000000000"

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "access_tokens.json").read_text())


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("APP_ID", "CERTIFICATE", "CERTIFICATE_FILE"):
        monkeypatch.delenv(f"SEALCAST_{name}", raising=False)


@pytest.fixture
def certificate_file(tmp_path: Path) -> Path:
    path = tmp_path / "app.cert"
    path.write_text(f"{CERTIFICATE}\n")
    return path


def create(*arguments: str) -> list[str]:
    names = ["--channel", "standup", "--user", "alice"]
    return ["token", "create", *names, *arguments]


def token_of(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.count("\n") == 1
    return told.out.strip()


def rights(token: str) -> dict[Privilege, int]:
    grant = verify(
        token,
        app_id=APP_ID,
        certificates=[CERTIFICATE],
        channel="standup",
        user="alice",
        now=time.time(),
    )
    return {privilege: round(end - time.time(), -1) for privilege, end in grant.deadlines.items()}


# --- create ----------------------------------------------------------------------------------------


def test_a_token_stands_alone_on_standard_output_and_admits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(create("--app-id", APP_ID, "--certificate", CERTIFICATE)) == 0
    assert rights(token_of(capsys)) == dict.fromkeys(Privilege, 3600)


def test_a_subscriber_may_only_join(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(create("--app-id", APP_ID, "--certificate", CERTIFICATE, "--role", "subscriber")) == 0
    assert rights(token_of(capsys)) == {Privilege.JOIN: 3600}


@pytest.mark.parametrize(("ttl", "seconds"), [("90", 90), ("30m", 1800), ("1h30m", 5400), ("24h", 86400)])
def test_a_life_is_written_as_a_duration(ttl: str, seconds: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(create("--app-id", APP_ID, "--certificate", CERTIFICATE, "--ttl", ttl)) == 0
    assert parse(token_of(capsys)).expire == seconds


@pytest.mark.parametrize("ttl", ["0", "25h", "1.5s", "soon", "-1"])
def test_a_life_that_no_token_has_is_a_usage_error(ttl: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(create("--app-id", APP_ID, "--certificate", CERTIFICATE, f"--ttl={ttl}")) == 2
    assert capsys.readouterr().out == ""


def test_the_certificate_can_come_from_a_file_the_environment_or_standard_input(
    certificate_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALCAST_APP_ID", APP_ID)
    assert main(create("--certificate-file", str(certificate_file))) == 0
    assert rights(token_of(capsys))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CERTIFICATE.encode())))
    assert main(create("--certificate-file", "-")) == 0
    assert rights(token_of(capsys))
    monkeypatch.setenv("SEALCAST_CERTIFICATE_FILE", str(certificate_file))
    assert main(create()) == 0
    assert rights(token_of(capsys))
    monkeypatch.delenv("SEALCAST_CERTIFICATE_FILE")
    monkeypatch.setenv("SEALCAST_CERTIFICATE", CERTIFICATE)
    assert main(create()) == 0
    assert rights(token_of(capsys))


def test_a_flag_goes_before_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEALCAST_CERTIFICATE", OTHER)
    monkeypatch.setenv("SEALCAST_APP_ID", OTHER)
    assert main(create("--app-id", APP_ID, "--certificate", CERTIFICATE)) == 0
    assert rights(token_of(capsys))


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (create("--certificate", CERTIFICATE), 2, "no App ID; try --app-id"),
        (create("--app-id", APP_ID), 2, "no certificate to sign with; try --certificate-file"),
        (create("--app-id", "x", "--certificate", CERTIFICATE), 2, "an App ID is 32 hexadecimal"),
        (create("--app-id", APP_ID, "--certificate", "5ec7e7"), 2, "an app certificate is 32 hexadecimal"),
        (create("--app-id", APP_ID, "--certificate-file", "/no/where"), 1, "/no/where cannot be read"),
        (
            create("--app-id", APP_ID, "--certificate", CERTIFICATE, "--certificate-file", "x"),
            2,
            "--certificate and --certificate-file say the same thing",
        ),
        (
            create("--app-id", APP_ID, "--certificate", CERTIFICATE, "--user", "*"),
            2,
            "a user name has 1-255 printable ASCII characters",
        ),
    ],
)
def test_what_is_missing_or_wrong_is_one_line_without_the_secret(
    arguments: list[str], status: int, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("sealcast: ")
    assert told.err.count("\n") == 1
    assert part in told.err
    assert CERTIFICATE not in told.err
    assert "5ec7e7" not in told.err


# --- inspect ---------------------------------------------------------------------------------------


@pytest.fixture
def token() -> str:
    builder = AccessToken(APP_ID, CERTIFICATE, issued_at=int(time.time()), salt=1, expire=3600)
    return builder.add_rtc("standup", "alice", {Privilege.JOIN: 0, Privilege.AUDIO: 600}).build()


def test_a_token_is_shown_as_unverified(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "inspect", token]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("NOT VERIFIED: anybody can write this.")
    assert "channel standup, user alice" in shown
    assert "(in 59m)" in shown or "(in 1h0m)" in shown
    assert "may join, audio until 20" in shown
    assert token not in shown


def test_a_token_comes_from_standard_input_too(
    token: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{token}\n".encode())))
    assert main(["token", "inspect", "-", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["signature"] == "unchecked"
    assert told["app_id"] == APP_ID
    assert told["expires_at"] - told["issued_at"] == 3600
    (service,) = told["services"]
    assert (service["service"], service["channel"], service["user"]) == ("rtc", "standup", "alice")
    assert service["privileges"] == {"join": told["expires_at"], "audio": told["issued_at"] + 600}


def test_with_the_certificate_the_signature_is_checked(
    token: str, certificate_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", "inspect", token, "--certificate-file", str(certificate_file)]) == 0
    assert capsys.readouterr().out.startswith("The certificate has signed this.")
    assert main(["token", "inspect", token, "--certificate", OTHER]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("NOT SIGNED by this certificate: do not believe any of it.")
    assert told.err.startswith("sealcast: the signature is not by this certificate")


def test_it_says_whom_a_token_admits(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["token", "inspect", token, "--certificate", CERTIFICATE, "--channel", "standup", "--user"]
    assert main([*command, "alice"]) == 0
    assert "admits   yes\n" in capsys.readouterr().out
    assert main([*command, "bob"]) == 1
    assert "admits   no: the token is for another user\n" in capsys.readouterr().out


def test_an_ended_token_has_a_good_signature_and_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    builder = AccessToken(APP_ID, CERTIFICATE, issued_at=1_000_000, salt=1, expire=60)
    ended = builder.add_rtc("standup", "alice", {Privilege.JOIN: 0}).build()
    assert main(["token", "inspect", ended, "--certificate", CERTIFICATE]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("The certificate has signed this.")
    assert "ends     1970-01-12 13:47:40 UTC (HAS ENDED)" in shown


def test_names_in_a_token_cannot_act_on_the_terminal() -> None:
    builder = AccessToken(APP_ID, CERTIFICATE, issued_at=1, salt=1, expire=60)
    evil = builder.add_service(
        RtmService(user="a\x1b[2J\nThe certificate has signed this.", privileges={1: 0})
    )
    text = evil.build()
    shown = as_table(report(parse(text), text, None, 0.0))
    assert "\x1b" not in shown
    assert "\nThe certificate" not in shown


def test_a_wildcard_is_pointed_out() -> None:
    builder = AccessToken(APP_ID, CERTIFICATE, issued_at=1, salt=1, expire=60)
    text = builder.add_rtc("room-*", "", {Privilege.JOIN: 0}).build()
    shown = as_table(report(parse(text), text, None, 0.0))
    assert "channel room-* (a wildcard), user empty (a wildcard)" in shown


@pytest.mark.parametrize("text", ["", "x", "007", "007!!!!", "007eJx", "008abc", "007" + "A" * 3000])
def test_what_is_no_token_is_one_line_that_does_not_repeat_it(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", "inspect", text]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("sealcast: the t")
    assert told.err.count("\n") == 1
    assert len(text) < 4 or text not in told.err


def test_every_token_of_the_vectors_can_be_looked_into() -> None:
    texts = [text for text in _texts(VECTORS) if text[:3] in ("006", "007") and len(text) > 100]
    shown = 0
    for text in texts:
        try:
            parsed = parse(text)
        except TokenMalformed:
            continue
        assert as_table(report(parsed, text, None, time.time())).startswith("NOT VERIFIED")
        json.dumps(report(parsed, text, OTHER, time.time(), ("c", "u")))
        shown += 1
    assert shown > 10


def _texts(tree: object) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    below = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return [text for item in below for text in _texts(item)]


@pytest.mark.parametrize(
    "arguments", [["--channel", "c"], ["--user", "u"], ["--channel", "c", "--user", "u"]]
)
def test_asking_whom_it_admits_takes_channel_user_and_certificate(
    token: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", "inspect", token, *arguments]) == 2
    assert capsys.readouterr().out == ""
