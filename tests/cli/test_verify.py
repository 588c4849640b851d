"""`sealcast verify`: the number that two people compare."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealcast.cli.main import main
from sealcast.cli.qr import qr_lines
from sealcast.client.e2ee.identity import Identity
from sealcast.client.e2ee.safety import Holder, grouped, safety_number

Capture = pytest.CaptureFixture[str]

ALICE, BOB, MALLORY = (bytes([n]) * 32 for n in (1, 2, 3))
NUMBER = safety_number(Holder("alice", ALICE), Holder("bob", BOB))
AS_ALICE = ["--mine", ALICE.hex(), "--user", "alice", "--theirs", BOB.hex(), "--their-user", "bob"]
AS_BOB = ["--mine", BOB.hex(), "--user", "bob", "--theirs", ALICE.hex(), "--their-user", "alice"]


def verify(*arguments: str) -> int:
    return main(["verify", *arguments])


def test_it_explains_itself_with_an_example(capsys: Capture) -> None:
    assert verify("--help") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: sealcast verify ")
    assert "sealcast verify " in shown.partition("Example:  ")[2]


def test_both_members_see_the_same_number_in_groups(capsys: Capture) -> None:
    assert verify(*AS_ALICE) == 0
    told = capsys.readouterr()
    assert told.out.splitlines() == grouped(NUMBER)
    assert told.err.startswith("sealcast: bob must see the same number")
    assert told.err.count("\n") == 1
    assert verify(*AS_BOB) == 0
    assert capsys.readouterr().out == told.out


def test_a_qr_code_of_the_number_can_come_with_it(capsys: Capture) -> None:
    assert verify(*AS_ALICE, "--qr") == 0
    assert capsys.readouterr().out.splitlines() == [*qr_lines(NUMBER), *grouped(NUMBER)]


@pytest.mark.parametrize("digits", [NUMBER, " ".join(grouped(NUMBER)), "\n".join(grouped(NUMBER)) + "\n"])
def test_the_number_of_the_other_side_is_the_same(digits: str, capsys: Capture) -> None:
    assert verify(*AS_BOB, "--compare", digits) == 0
    assert capsys.readouterr() == ("same\n", "")


def test_somebody_in_the_middle_makes_it_different(capsys: Capture) -> None:
    assert verify(*AS_ALICE[:4], "--theirs", MALLORY.hex(), "--their-user", "bob") == 0
    seen_by_alice = capsys.readouterr().out
    assert verify(*AS_BOB, "--compare", seen_by_alice) == 1
    told = capsys.readouterr()
    assert told.out == "different\n"
    assert told.err.startswith("sealcast: one of you has a wrong key for the other")
    assert told.err.count("\n") == 1


@pytest.mark.parametrize("at", [0, 29, 30, 59])
def test_one_digit_makes_it_different(at: int, capsys: Capture) -> None:
    wrong = NUMBER[:at] + str((int(NUMBER[at]) + 1) % 10) + NUMBER[at + 1 :]
    assert verify(*AS_ALICE, "--compare", wrong) == 1
    assert capsys.readouterr().out == "different\n"


@pytest.mark.parametrize("digits", ["", NUMBER[:-1], NUMBER + "0", NUMBER[:30], "hunter2"])
def test_what_is_no_number_is_a_usage_error_and_not_a_difference(digits: str, capsys: Capture) -> None:
    assert verify(*AS_ALICE, "--compare", digits) == 2
    assert capsys.readouterr() == ("", "sealcast: a safety number and a channel code have 60 digits\n")


def test_keys_can_come_from_files_and_the_own_one_from_its_usual_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    mine = Identity.generate()
    (tmp_path / "sealcast").mkdir()
    mine.save(tmp_path / "sealcast" / "identity")
    (tmp_path / "bob.pub").write_text(BOB.hex() + "\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    theirs = ["--user", "alice", "--theirs", str(tmp_path / "bob.pub"), "--their-user", "bob"]
    expected = grouped(safety_number(Holder("alice", mine.public), Holder("bob", BOB)))
    for arguments in ([], ["--mine", str(tmp_path / "sealcast" / "identity")], ["--mine", mine.public.hex()]):
        assert verify(*arguments, *theirs) == 0
        assert capsys.readouterr().out.splitlines() == expected


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        ([*AS_ALICE, "--their-user", "*"], 2, "a user name has 1-255"),
        ([*AS_ALICE, "--theirs", "5e" * 31], 2, "--theirs is not a public key"),
        ([*AS_ALICE, "--mine", "no/where"], 2, "--mine is not a public key"),
        ([*AS_ALICE, "--theirs", ALICE.hex(), "--their-user", "alice"], 2, "both are the same one"),
        ([*AS_ALICE, "--qr", "--compare", NUMBER], 2, "--compare shows no number"),
        (AS_ALICE[:4], 2, "missing option '--theirs'"),
    ],
)
def test_what_is_wrong_is_one_line(arguments: list[str], status: int, part: str, capsys: Capture) -> None:
    assert verify(*arguments) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("sealcast: ")
    assert told.err.count("\n") == 1
    assert part in told.err


def test_without_an_identity_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert verify(*AS_ALICE[2:]) == 1
    assert "`sealcast identity new`" in capsys.readouterr().err
