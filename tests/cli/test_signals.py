"""Children are told to end without their exit status being lost on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from sealcast.cli.signals import KILL, signal_child

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no signals to send")


async def shell(line: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)


async def test_a_child_that_has_just_ended_keeps_its_exit_status(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(50):
        child = await shell("exit 7")
        assert child.stdout is not None
        await child.stdout.read()  # it has closed its output, and ends at this moment
        signal_child(child, signal.SIGCONT)
        assert await child.wait() == 7
    assert caplog.records == []


@pytest.mark.parametrize("number", [signal.SIGTERM, KILL])
async def test_a_child_that_runs_gets_the_signal(number: signal.Signals) -> None:
    child = await shell("exec sleep 60")
    signal_child(child, number)
    assert await child.wait() == -number


async def test_a_child_that_is_over_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    child = await shell("exit 0")
    await child.communicate()
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("somebody else may have its number by now"))
    signal_child(child, signal.SIGTERM)
