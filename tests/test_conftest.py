"""The checks that conftest makes on every test do catch what they are there for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

OFFENDERS = """
import asyncio
import sys
import types

KEPT = []

async def test_that_leaves_a_task_behind():
    KEPT.append(asyncio.create_task(asyncio.sleep(3600)))

async def test_that_cancels_its_task():
    asyncio.create_task(asyncio.sleep(3600)).cancel()

def test_without_a_loop():
    pass

async def test_that_blocks_its_loop(no_blocking_calls):
    import sealcast.protocol.names as names
    source = compile("import time\\ntime.sleep(0.001)", names.__file__, "exec")
    exec(source)

async def test_that_blocks_outside_sealcast(no_blocking_calls):
    import time
    time.sleep(0.001)
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("offenders")
    (place / "conftest.py").write_text((HERE / "conftest.py").read_text())
    (place / "test_offenders.py").write_text("import sealcast.protocol\n" + OFFENDERS)
    (place / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-cov", "-rA", "-q", str(place)]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=50).stdout


def test_a_task_that_outlives_its_test_is_an_error(report: str) -> None:
    assert "ERROR test_offenders.py::test_that_leaves_a_task_behind" in report
    assert "1 tasks outlived their test: sleep" in report


def test_a_blocking_call_made_from_sealcast_fails_the_test_that_asked(report: str) -> None:
    assert "FAILED test_offenders.py::test_that_blocks_its_loop" in report
    assert "BlockingError" in report


def test_everything_else_passes(report: str) -> None:
    for name in ("cancels_its_task", "blocks_outside_sealcast"):
        assert f"PASSED test_offenders.py::test_that_{name}" in report
    assert "PASSED test_offenders.py::test_without_a_loop" in report
    assert "1 failed, 4 passed, 1 error" in report
