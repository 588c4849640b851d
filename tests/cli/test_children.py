"""Processes of the demo: heard line by line, waited for with patience, and always ended."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from sealcast.cli.children import Child, ChildFailed, Children

PROGRAM = """
import json, signal, sys
order = sys.stdin.readline().strip()
print("a line that is no JSON", flush=True)
print(json.dumps({"event": "started", "order": order}), flush=True)
print(json.dumps({"event": "on stderr"}), file=sys.stderr, flush=True)
if order == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(json.dumps({"event": "deaf"}), flush=True)
    while True:
        signal.pause()
if order == "fail":
    raise SystemExit(3)
for word in sys.stdin:
    print(json.dumps({"event": word.strip()}), flush=True)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "sealcast_test_child.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "sealcast_test_child"


def gone(child: Child) -> bool:
    try:
        os.kill(child.pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_child_is_told_and_heard(program: str) -> None:
    heard: list[dict[str, Any]] = []
    async with Children() as children:
        child = await children.start("somebody", program, "hello", heard.append)
        assert (await child.event("started", 20))["order"] == "hello"
        await child.event("on stderr", 20)
        child.tell("go")
        await child.event("go", 20)
        assert {said["event"] for said in heard} == {"started", "on stderr", "go"}
        assert child.status is None
    assert gone(child)


async def test_a_child_that_ends_early_is_reported_with_its_last_words(program: str) -> None:
    async with Children() as children:
        child = await children.start("somebody", program, "fail", lambda said: None)
        with pytest.raises(
            ChildFailed, match="somebody ended before it said 'ready':\na line that is no JSON"
        ):
            await child.event("ready", 20)
        assert await child.over(20) == 3


async def test_patience_with_a_child_ends(program: str) -> None:
    async with Children() as children:
        child = await children.start("somebody", program, "hello", lambda said: None)
        await child.event("started", 20)
        with pytest.raises(ChildFailed, match=r"did not say 'ready' within 0.01 s"):
            await child.event("ready", 0.01)
        with pytest.raises(ChildFailed, match=r"did not end within 0.01 s"):
            await child.over(0.01)


async def test_a_child_that_ignores_sigterm_is_killed(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealcast.cli.children._PATIENCE", 0.2)
    async with Children() as children:
        child = await children.start("somebody", program, "stubborn", lambda said: None)
        await child.event("deaf", 20)
    assert gone(child)
    assert child.status == -signal.SIGKILL


async def test_children_are_ended_when_something_goes_wrong(program: str) -> None:
    started: list[Child] = []

    async def go_wrong() -> None:
        async with Children() as children:
            for name in ("one", "two"):
                started.append(await children.start(name, program, "hello", lambda said: None))
            raise RuntimeError("wrong")

    with pytest.raises(RuntimeError, match="wrong"):
        await go_wrong()
    assert len(started) == 2
    assert all(map(gone, started))


async def test_a_child_does_not_get_the_terminals_signals(program: str) -> None:
    async with Children() as children:
        child = await children.start("somebody", program, "hello", lambda said: None)
        await child.event("started", 20)
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
