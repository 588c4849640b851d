"""A command's own processes: started, listened to line by line, and always ended.

A child is fed through its standard input, whose end it takes for the order to end: none outlives this
process, however that goes down. Children have a process session of their own, so that Ctrl-C on the
terminal reaches this process alone, which ends them in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from .signals import KILL, signal_child

__all__ = ["Child", "ChildFailed", "Children"]

_LINE_MAX: Final = 16 * 1024 * 1024
_LAST_LINES: Final = 12
_PATIENCE: Final = 3.0


class ChildFailed(Exception):
    """A process ended, or did not do what it should have in time; the text says which."""


class Child:
    """A running process that speaks JSON, one object a line, on standard output or standard error.

    Args:
        name: what people call it.
        process: with pipes for all three streams.
        heard: called with every JSON object.

    """

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, heard: Callable[[dict[str, Any]], None]
    ) -> None:
        self.name = name
        self.said: dict[str, dict[str, Any]] = {}
        """The newest object of each event name."""
        self._process = process
        self._heard = heard
        self._news = asyncio.Condition()
        self._open = 2
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._reading = asyncio.gather(self._read(process.stdout), self._read(process.stderr))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self._process.returncode

    def tell(self, line: str) -> None:
        """Write one line to its standard input."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(line.encode() + b"\n")

    def terminate(self) -> None:
        """Send SIGTERM."""
        signal_child(self._process, signal.SIGTERM)

    async def event(self, name: str, timeout: float | None) -> dict[str, Any]:
        """Wait until it has said *name*, for ever if *timeout* is None; return what it said.

        Raises:
            ChildFailed: it ended before, or the time is up.

        """
        try:
            async with asyncio.timeout(timeout), self._news:
                await self._news.wait_for(lambda: name in self.said or not self._open)
        except TimeoutError:
            raise ChildFailed(f"{self.name} did not say {name!r} within {timeout:g} s") from None
        if name not in self.said:
            raise ChildFailed(f"{self.name} ended before it said {name!r}{self._why()}")
        return self.said[name]

    async def over(self, timeout: float) -> int:
        """Wait until it has ended and all it wrote is read; return its exit status. Raises ChildFailed."""
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(self._reading)
                return await self._process.wait()
        except TimeoutError:
            raise ChildFailed(f"{self.name} did not end within {timeout:g} s") from None

    async def end(self) -> None:
        """End it, whatever it does."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        for wish in (signal.SIGTERM, KILL):
            if self._process.returncode is not None:
                break
            signal_child(self._process, wish)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _PATIENCE)
        await self._reading

    async def _read(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None, "all streams are pipes"
        with contextlib.suppress(ValueError):  # a line over the limit
            while line := await stream.readline():
                await self._take(line)
        async with self._news:
            self._open -= 1
            self._news.notify_all()

    async def _take(self, line: bytes) -> None:
        try:
            said = json.loads(line)
            name = said["event"]
        except (ValueError, TypeError, KeyError):
            self._last.append(line.decode("utf-8", "replace").rstrip())
            return
        self._heard(said)
        async with self._news:
            self.said[name] = said
            self._news.notify_all()

    def _why(self) -> str:
        return ":\n" + "\n".join(self._last) if self._last else ""


class Children:
    """All processes of a command; leaving the ``async with`` block ends those that are left."""

    def __init__(self) -> None:
        self._children: list[Child] = []

    async def __aenter__(self) -> Children:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(child.end() for child in self._children))

    async def start(
        self, name: str, module: str, first_line: str, heard: Callable[[dict[str, Any]], None]
    ) -> Child:
        """Start ``python -m module`` and hand it its first line."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the current directory holds no module of ours
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=_LINE_MAX,
        )
        child = Child(name, process, heard)
        self._children.append(child)
        child.tell(first_line)
        return child
