"""How this program was started, for another terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from sealcast.cli.invocation import command_of


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin" / "sealcast"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_program_on_the_path_is_called_by_its_name(program: Path) -> None:
    assert command_of(str(program), "python", {"PATH": str(program.parent)}) == ("sealcast",)


def test_one_that_is_not_is_called_by_its_full_path(program: Path) -> None:
    assert command_of(str(program), "python", {"PATH": "/nowhere"}) == (str(program),)


def test_a_relative_path_becomes_a_full_one(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(program.parent.parent)
    assert command_of("bin/sealcast", "python", {"PATH": "/nowhere"}) == (str(program),)


def test_another_program_of_the_name_on_the_path_is_not_ours(program: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sealcast").write_text("#!/bin/sh\n")
    (other / "sealcast").chmod(0o755)
    assert command_of(str(program), "python", {"PATH": str(other)}) == (str(program),)


def test_an_activated_environment_is_not_active_in_another_terminal(program: Path, tmp_path: Path) -> None:
    env = {"PATH": str(program.parent), "VIRTUAL_ENV": str(tmp_path)}
    assert command_of(str(program), "python", env) == (str(program),)


def test_a_module_is_run_by_the_same_interpreter() -> None:
    words = command_of("/lib/sealcast/cli/__main__.py", "/venv/bin/python", {})
    assert words == ("/venv/bin/python", "-m", "sealcast.cli")
