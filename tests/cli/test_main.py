"""The command itself: help, unknown commands, versions, and what it does not import."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from sealcast.cli.main import main
from sealcast.protocol.version import __version__

COMMANDS = [
    *("serve", "join", "send", "listen", "token", "genkey", "genconfig", "checkconfig", "defaultenv"),
    *("version", "token create", "token inspect"),
]


def run(*arguments: str, code: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    command = ["-c", code] if code else ["-m", "sealcast.cli", *arguments]
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=30, env={**os.environ, **env}
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: sealcast {command} ")
    assert "Example:  " in shown
    assert "sealcast " in shown.partition("Example:")[2]


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    listed = {line.split()[0] for line in shown.partition("Commands:")[2].splitlines() if line.strip()}
    assert {command for command in COMMANDS if " " not in command} <= listed


def test_without_arguments_one_line_says_what_to_type(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "sealcast: no command given; try `sealcast serve --dev`, or `sealcast --help`\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["srve"], "did you mean `sealcast serve`?"),
        (["quux"], "no such command; try `sealcast --help`"),
        (["serve", "--prot", "1"], "--port"),
        (["join"], "missing argument 'CHANNEL'; try `sealcast join --help`"),
        (["join", "standup"], "missing option '--user'; try `sealcast join --help`"),
        (["serve", "--port", "many"], "invalid value for '--port'"),
        (["token", "create", "--channel", "c", "--user", "u", "--role", "king"], "'publisher'"),
    ],
)
def test_a_usage_error_is_one_line_and_status_2(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("sealcast: ")
    assert told.err.count("\n") == 1
    assert part in told.err


def test_an_argument_too_many_is_not_repeated_since_it_could_be_a_token(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["genkey", "007eJxSecretToken"]) == 2
    assert "007eJx" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == f"sealcast {__version__}\n"


def test_the_version_as_json_names_what_it_stands_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == 0
    versions = json.loads(capsys.readouterr().out)
    assert list(versions) == ["sealcast", "python", "websockets", "cryptography", "uvloop"]
    assert versions["sealcast"] == __version__
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["websockets"].split(".")[0].isdigit()


def test_a_quick_command_loads_neither_the_relay_nor_the_sdk() -> None:
    heavy = (
        "sealcast.server",
        "sealcast.client",
        "websockets",
        "cryptography",
        "uvloop",
        "structlog",
        "rich",
    )
    code = f"""
import sys
from sealcast.cli.main import main
assert main(["version"]) == 0
assert main(["genkey"]) == 0
print([name for name in {heavy!r} if name in sys.modules])
"""
    assert run(code=code).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("command", "package"),
    [
        ("serve", "structlog"),
        ("genconfig", "pydantic"),
        ("checkconfig", "pydantic"),
        ("defaultenv", "pydantic"),
    ],
)
def test_a_missing_extra_is_one_line_with_the_command_that_installs_it(command: str, package: str) -> None:
    code = f"""
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        # The command line's own library may stand on the same package: it is absent for the relay only.
        if name == "structlog" or name == "sealcast.server.config" and {package!r} == "pydantic":
            raise ModuleNotFoundError("No module named " + {package!r}, name={package!r})

sys.meta_path.insert(0, Absent())
from sealcast.cli.main import main
sys.exit(main([{command!r}, *["file.toml"][{command != "checkconfig"}:]]))
"""
    done = run(code=code)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"sealcast: `sealcast {command}` needs the package {package}, which is not installed;"
        " try pip install 'sealcast[server]'\n"
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["genkey"], ["--help"], ["genconfig"]])
def test_a_reader_that_has_gone_ends_a_command_quietly(arguments: list[str], unbuffered: str) -> None:
    command = [sys.executable, "-m", "sealcast.cli", *arguments]
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == b""
