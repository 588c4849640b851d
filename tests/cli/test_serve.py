"""`sealcast serve` as a process: how it starts, refuses to, and ends."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Start = Callable[..., Awaitable[Any]]

CONFIG = """
[server]
port = 0
drain_spread = "0s"

[[apps]]
app_id = "0123456789abcdef0123456789abcdef"
certificate = "8e1d5b0c7f92a4363bd0e9f1572c8a6d"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "sealcast.toml"
    path.write_text(CONFIG)
    path.chmod(0o600)
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


async def listening(program: Any) -> dict[str, Any]:
    """Return the log line that says where it listens."""
    told: dict[str, Any] = {"event": ""}
    while told["event"] != "listening":
        told = json.loads(await program.error_line())
    return told


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_0_and_a_clean_log(
    number: signal.Signals, start: Start, config: Path
) -> None:
    program = await start("serve", "--config", str(config))
    told = await listening(program)
    assert told["port"] > 0
    assert told["apps"] == 1
    program.signal(number)
    done = await program.finish()
    assert (done.status, done.out) == (0, b"")
    (line,) = done.err.splitlines()
    assert json.loads(line)["event"] == "stopped"


async def test_the_environment_alone_is_a_configuration(start: Start) -> None:
    env = {
        "SEALCAST_APP_ID": "0123456789abcdef0123456789abcdef",
        "SEALCAST_APP_CERTIFICATE": "fedcba9876543210fedcba9876543210",
        "SEALCAST_SERVER_PORT": "0",
        "SEALCAST_SERVER_NODE": "from-env",
    }
    program = await start("serve", env=env)
    assert (await listening(program))["node"] == "from-env"


async def test_flags_go_before_file_and_environment(start: Start, config: Path, taken: int) -> None:
    env = {"SEALCAST_CONFIG": str(config), "SEALCAST_SERVER_PORT": str(taken), "SEALCAST_LOG_LEVEL": "error"}
    program = await start("serve", "--port", "0", "--host", "127.0.0.2", "--log-level", "info", env=env)
    assert (await listening(program))["host"] == "127.0.0.2"


async def test_an_address_in_use_is_status_4(start: Start, config: Path, taken: int) -> None:
    for arguments in (["--config", str(config)], ["--dev"]):
        done = await (await start("serve", *arguments, "--port", str(taken))).finish()
        assert (done.status, done.out) == (4, b"")
        assert done.err == (
            f"sealcast: 127.0.0.1:{taken} is in use; try another --port, or 0 for a free one\n"
        )


async def test_an_address_of_another_machine_is_a_failure(start: Start, config: Path) -> None:
    done = await (await start("serve", "--config", str(config), "--host", "192.0.2.1")).finish()
    assert done.status == 1
    assert done.err.startswith("sealcast: cannot listen on 192.0.2.1:0: ")
    assert done.err.count("\n") == 1


async def test_a_certificate_that_cannot_be_used_is_a_mistake_of_the_configuration(
    start: Start, config: Path
) -> None:
    text = config.read_text().replace(
        "[server]", '[server]\ntls_certificate = "/none.pem"\ntls_key = "/none.key"'
    )
    config.write_text(text)
    done = await (await start("serve", "--config", str(config))).finish()
    assert done.status == 3
    assert done.err.startswith("sealcast: cannot read /none.pem: No such file or directory; try other ")
    assert done.err.count("\n") == 1


async def test_what_is_unsafe_where_others_connect_is_refused_and_named(start: Start, config: Path) -> None:
    config.write_text(config.read_text() + "\n[apps.policy]\nallow_app_id_only = true\n")
    done = await (await start("serve", "--config", str(config), "--host", "0.0.0.0")).finish()
    assert (done.status, done.out) == (3, b"")
    assert "apps[0]: policy.allow_app_id_only lets everybody in" in done.err
    assert "or set server.unsafe_app_id_only" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "problem"),
    [
        (
            [],
            3,
            "no app to serve; try `sealcast serve --dev`, or `sealcast genconfig --output sealcast.toml`",
        ),
        (["--config", "/nowhere.toml"], 3, "/nowhere.toml: cannot be read: No such file or directory"),
        (["--dev", "--config", "x"], 2, "--dev and --config exclude each other; try one of them"),
        (["--dev", "--host", "0.0.0.0"], 2, "--dev listens on this machine only"),
        (["--dev", "--host", "example.org"], 2, "--dev listens on this machine only"),
        (["--dev", "--port", "65536"], 3, "server.port: should be less than or equal to 65535"),
    ],
)
async def test_what_cannot_be_served_is_one_line(
    arguments: list[str], status: int, problem: str, start: Start
) -> None:
    done = await (await start("serve", *arguments)).finish()
    assert (done.status, done.out) == (status, b"")
    assert done.err.startswith(f"sealcast: {problem}")
    assert done.err.count("\n") == 1


async def test_a_misspelt_option_names_its_neighbour(start: Start, config: Path) -> None:
    config.write_text(CONFIG.replace("drain_spread", "drain_sprad"))
    done = await (await start("serve", "--config", str(config))).finish()
    assert done.status == 3
    assert done.err == f"sealcast: {config}: server.drain_sprad: unknown; did you mean drain_spread?\n"


async def test_a_file_without_an_app_is_status_3(start: Start, config: Path) -> None:
    config.write_text("[server]\nport = 0\n")
    done = await (await start("serve", "--config", str(config))).finish()
    assert done.status == 3
    assert "no app is configured, so nobody could join; try `sealcast genconfig`" in done.err


async def test_certificates_that_everybody_can_read_are_warned_about(start: Start, config: Path) -> None:
    config.chmod(0o644)
    program = await start("serve", "--config", str(config))
    told = json.loads(await program.error_line())
    assert told["level"] == "warning"
    assert "can be read by every user" in told["event"]


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="asks the Linux kernel")
async def test_it_takes_as_many_files_as_it_may(start: Start, config: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        program = await start("serve", "--config", str(config))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    await listening(program)
    limits = Path(f"/proc/{program.pid}/limits").read_text().splitlines()
    (files,) = [line for line in limits if line.startswith("Max open files")]
    assert int(files.split()[3]) == hard > 512


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop does not exist there")
async def test_it_runs_on_uvloop(start: Start, config: Path) -> None:
    assert (await listening(await start("serve", "--config", str(config))))["loop"] == "uvloop"


async def test_no_certificate_is_written_down(start: Start, config: Path) -> None:
    program = await start("serve", "--config", str(config), "--log-level", "debug")
    await listening(program)
    program.signal(signal.SIGTERM)
    done = await program.finish()
    assert "8e1d5b0c" not in done.err
    assert os.fspath(config) not in done.err
