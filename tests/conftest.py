"""What every test stands on: how hypothesis searches, and that no test leaves a task behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

# CI repeats the same examples in every run, so that a red build is the change's own doing; a developer's
# machine keeps searching. Both run where a slow moment is no failure: time limits are pytest's.
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")

_TURNS = 10
"""Loop turns in which tasks that have been cancelled may finish; nothing here waits for time to pass."""


_ALONE = (
    "tests/bench/",
    "tests/chaos/",
    "tests/cli/test_bench.py",
    "tests/cli/test_blind.py",
    "tests/cli/test_demo_run.py",
    "tests/console/test_console_demo.py",
    "tests/scenarios/test_managed_churn.py",
    "tests/server/test_flood.py",
)
"""What measures, or puts the machine under load by itself."""


@contextlib.contextmanager
def _in_turn(item: pytest.Item) -> Iterator[None]:
    """Wait for a test's turn when tests run in several processes.

    Everybody holds a shared lock while a test runs; who wants to be alone holds it alone. A second lock is
    the door: who waits there to be alone keeps the others from going in before.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        yield
        return
    import fcntl

    alone = item.nodeid.startswith(_ALONE)
    place = Path(tempfile.gettempdir())
    with (
        (place / f"sealcast-{run}-door").open("w") as door,
        (place / f"sealcast-{run}-room").open("w") as room,
    ):
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test in its turn, before its time begins to count."""
    with _in_turn(item):
        return (yield)


@pytest.fixture(autouse=True)
def _tasks_end_with_their_test(request: pytest.FixtureRequest) -> None:
    """Ask for the check below, first of all fixtures, in tests that have an event loop."""
    if isinstance(request.node, pytest.Function) and pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("no_task_is_left")


@pytest_asyncio.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Fail a test whose tasks still run after all its other fixtures have cleaned up."""
    before = asyncio.all_tasks()
    yield
    left: set[asyncio.Task[object]] = set()
    for _ in range(_TURNS):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(0)
    names = sorted(getattr(task.get_coro(), "__qualname__", "a task") for task in left)
    for task in left:
        task.cancel()
    pytest.fail(f"{len(left)} tasks outlived their test: {', '.join(names)}")


@pytest.fixture
def no_blocking_calls() -> Iterator[BlockBuster]:
    """Fail a call that blocks the event loop: files, sleeps, blocking sockets, locks.

    Only calls made from sealcast count. Ask for the fixture by name.
    """
    # Each package by its own name: of a namespace package only the first root would be watched.
    packages = [f"sealcast.{part}" for part in ("protocol", "client", "server", "cli")]
    with blockbuster_ctx([name for name in packages if name in sys.modules]) as blocking:
        yield blocking
