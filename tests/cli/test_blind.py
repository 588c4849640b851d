"""`sealcast verify-blind` from end to end, as a process: it holds, it catches sabotage, it leaves nothing."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from sealcast.cli.blind.providers import offered
from sealcast.cli.blind.stage import MARKER_FILE
from sealcast.cli.main import main

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the command reads /proc")

REDUCED = ("--seconds", "0.5", "--stride", "16", "--json")
WAIT = 150.0
ROWS = [
    *("imports", "names", "libraries", "conversation", "memory", "files", "sockets"),
    *("windows-16", "windows-32"),
]


def processes_of(session: int) -> list[int]:
    """Return the processes that belong to a process session and still run."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] != "Z":
                    found.append(int(entry.name))
    return found


async def until(condition: Callable[[], object], what: str) -> None:
    """Look again and again, since nobody tells what other processes do."""
    try:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"not within 30 s: {what}")


@contextlib.asynccontextmanager
async def verify(temporary: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sealcast.cli",
        "verify-blind",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def result(temporary: Path, *options: str) -> tuple[int, dict[str, Any]]:
    async with verify(temporary, *options) as process:
        out, errors = await asyncio.wait_for(process.communicate(), WAIT)
        assert errors == b""
        assert process.returncode is not None
        assert processes_of(process.pid) == []
        assert list(temporary.iterdir()) == []
        return process.returncode, json.loads(out)


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_the_relay_is_blind_and_every_control_is_found(tmp_path: Path) -> None:
    status, told = await result(tmp_path, *REDUCED)
    assert told["holds"], [check for check in told["checks"] if check["verdict"] != "holds"]
    assert status == 0
    assert [check["name"] for check in told["checks"]] == ROWS
    assert all(check["hits"] == 0 and check["candidates"] > 0 for check in told["checks"])
    assert not told["sabotage"]
    parts = told["key_providers"]
    assert [part["name"] for part in parts] == [provider.name for provider in offered()]
    assert all(part["opened"] == part["frames"] > 0 for part in parts)
    assert all({turn.partition(".")[0] for turn in part["turns"]} == {"0", "1"} for part in parts)
    wrapped = [part for part in parts if part["name"].startswith("managed")]
    assert all(part["wraps_opened"] == part["wraps"] > 0 and "0.1" in part["turns"] for part in wrapped)
    assert len(wrapped) == len(parts) - 4


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_a_relay_that_was_given_keys_is_caught_with_the_place(tmp_path: Path) -> None:
    status, told = await result(tmp_path, *REDUCED, "--sabotage")
    assert status == 1
    assert not told["holds"]
    caught = {check["name"]: check for check in told["checks"] if check["verdict"] != "holds"}
    assert set(caught) == {"memory", "windows-16", "windows-32"}
    assert all(check["verdict"] == "LEAK" for check in caught.values())
    known = "\n".join(caught["memory"]["findings"])
    opened = caught["windows-16"]["findings"] + caught["windows-32"]["findings"]
    # A key of every provider was given away, and is found without anybody knowing it.
    assert sorted(finding.split(":")[0] for finding in opened) == sorted(
        f"the key of {provider.name}" for provider in offered()
    )
    for finding in opened:
        address = finding.rpartition("raw at ")[2].split()[0]
        assert address.startswith("0x")
        # The search that knows the keys finds them at the very same addresses.
        assert any(address in line and "AES key" in line for line in known.splitlines())
    assert "authority's private key" in known
    assert "content secret" in known


@pytest.mark.timeout(120)
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_when_told_to_stop_it_ends_its_relay_and_removes_its_files(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with verify(tmp_path, "--seconds", "100") as process:
        await until(lambda: list(tmp_path.glob(f"*/tested/{MARKER_FILE}")), "the relay's directory")
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 30) == 128 + number
        assert processes_of(process.pid) == []
        assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(120)
async def test_its_relay_does_not_outlive_it_when_it_is_killed(tmp_path: Path) -> None:
    async with verify(tmp_path, "--seconds", "100") as process:
        log = f"*/tested/{MARKER_FILE}"
        await until(lambda: list(tmp_path.glob(log)) and len(processes_of(process.pid)) > 1, "the relay")
        process.kill()
        await process.wait()
        await until(lambda: not processes_of(process.pid), "the end of the relay")


def test_elsewhere_than_on_linux_it_refuses_with_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert main(["verify-blind"]) == 2
    assert "only Linux" in capsys.readouterr().err


@pytest.mark.parametrize("stride", ["0", "3", "32", "-8"])
def test_a_stride_that_could_miss_an_aligned_key_is_refused(
    stride: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify-blind", "--stride", stride]) == 2
    assert "--stride" in capsys.readouterr().err


def test_without_the_relays_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec

    def hide(name: str, package: str | None = None) -> Any:
        return None if name == "structlog" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", hide)
    assert main(["verify-blind"]) == 1
    assert "pip install 'sealcast[server]'" in capsys.readouterr().err
