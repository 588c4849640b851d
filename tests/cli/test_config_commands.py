"""`sealcast genconfig`, `checkconfig` and `defaultenv`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sealcast.cli.main import main
from sealcast.server.config_file import load


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("SEALCAST_"):
            monkeypatch.delenv(name)


def test_a_generated_configuration_can_be_served_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sealcast.toml"
    assert main(["genconfig", "--output", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == f"sealcast: wrote {path}; try `sealcast serve --config {path}`\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(load(path, {}, warn=pytest.fail).apps) == 1
    assert main(["checkconfig", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: good: 1 app, listening on 127.0.0.1:7700\n"


def test_every_generated_app_is_another_one(capsys: pytest.CaptureFixture[str]) -> None:
    secrets = set()
    for _ in range(3):
        assert main(["genconfig"]) == 0
        secrets |= set(re.findall(r'"([0-9a-f]{32})"', capsys.readouterr().out))
    assert len(secrets) == 6


def test_a_file_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sealcast.toml"
    path.write_text("mine")
    assert main(["genconfig", "-o", str(path)]) == 1
    assert path.read_text() == "mine"
    assert capsys.readouterr().err == f"sealcast: {path} exists already; try another name, or remove it\n"
    assert main(["genconfig", "-o", str(tmp_path / "no" / "where")]) == 1
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_wrong_configuration_is_described_problem_by_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sealcast.toml"
    assert main(["genconfig", "-o", str(path)]) == 0
    text = path.read_text().replace("#port = 7700", "prot = 7700").replace('#level = "info"', "level = 3")
    path.write_text(text)
    capsys.readouterr()
    assert main(["checkconfig", str(path)]) == 3
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        f"sealcast: {path}: server.prot: unknown; did you mean port?",
        f"sealcast: {path}: log.level: should be 'debug', 'info', 'warning' or 'error'",
    ]


def test_a_configuration_is_checked_with_the_environment_over_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sealcast.toml"
    assert main(["genconfig", "-o", str(path)]) == 0
    path.chmod(0o644)
    monkeypatch.setenv("SEALCAST_SERVER_PORT", "1234")
    capsys.readouterr()
    assert main(["checkconfig", str(path)]) == 0
    told = capsys.readouterr()
    assert told.out.endswith("listening on 127.0.0.1:1234\n")
    assert "sealcast: warning: " in told.err
    assert "can be read by every user" in told.err
    monkeypatch.setenv("SEALCAST_SERVER_PROT", "1")
    assert main(["checkconfig", str(path)]) == 3
    assert "SEALCAST_SERVER_PROT: unknown variable; did you mean SEALCAST_SERVER_PORT?" in (
        capsys.readouterr().err
    )


def test_a_file_that_is_not_there_is_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkconfig", str(tmp_path / "none")]) == 3
    assert "none: cannot be read: No such file or directory" in capsys.readouterr().err


def test_the_variables_are_printed_with_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["defaultenv"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "SEALCAST_SERVER_PORT=7700" in shown
    assert "SEALCAST_LOG_LEVEL=info" in shown
    assert "SEALCAST_APP_CERTIFICATE_FILE=" in shown
    assert all(line.startswith(("# ", "SEALCAST_")) for line in shown)
