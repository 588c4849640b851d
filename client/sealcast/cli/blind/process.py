"""The relay's process: started in a directory of its own, frozen, told to keep a key, always ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ..signals import KILL, signal_child
from .failures import RelayFailed

__all__ = ["LOG", "MARKER_VARIABLE", "RUNNER", "RelayProcess"]

LOG: Final = "relay.log"
"""The file in the relay's directory that its log lines go to."""
RUNNER: Final = "sealcast.cli.blind.runner"
"""The module that is run in it."""
MARKER_VARIABLE: Final = "BLIND_MARKER"
"""The environment variable that carries the marker, which every search of the environment must find."""

_START_TIMEOUT: Final = 30.0
_FREEZE_TIMEOUT: Final = 10.0
_END_TIMEOUT: Final = 10.0
_INHERITED: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL")


class RelayProcess:
    """One relay; leaving the ``async with`` block ends it, frozen or not.

    Args:
        directory: its working directory, home and place for temporary files; must exist.
        config: what it is started with.
        marker: put into its environment.
        plant: whether it can be told to keep keys.

    """

    def __init__(self, directory: Path, config: dict[str, Any], marker: str, *, plant: bool) -> None:
        self.directory = directory
        self.port = 0
        self._config = config
        self._marker = marker
        self._plant = plant

    async def __aenter__(self) -> RelayProcess:
        with (self.directory / LOG).open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                RUNNER,
                *(["--plant"] if self._plant else []),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self.directory,
                env=self._environment(),
                # Ctrl-C reaches the command alone, which ends the relay in order. And should the command
                # be killed while the relay is frozen, the kernel ends an orphaned group that is stopped.
                process_group=0,
            )
        try:
            self._write(json.dumps(self._config))
            self.port = (await self._hear("listening", _START_TIMEOUT))["port"]
        except BaseException:
            await asyncio.shield(self.end())
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.shield(self.end())

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def status(self) -> int:
        """The exit status; -1 while it runs."""
        code = self._process.returncode
        return -1 if code is None else code

    async def plant(self, key: bytes) -> None:
        """Let the process keep *key* in its memory. Raises RelayFailed."""
        self._write(key.hex())
        await self._hear("planted", _START_TIMEOUT)

    @contextlib.asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """Stop every thread of the process for the length of the block. Raises RelayFailed."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            # WNOWAIT leaves an exit to be collected by whoever started the process.
            wait = asyncio.to_thread(os.waitid, os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            result = await asyncio.wait_for(wait, _FREEZE_TIMEOUT)
            if result is None or result.si_code != os.CLD_STOPPED:
                raise RelayFailed("the relay ended when it was to be stopped")
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)

    async def end(self) -> int:
        """End the process, whatever state it is in; return its exit status."""
        process = self._process
        if process.stdin is not None:
            process.stdin.close()
        signal_child(process, signal.SIGCONT)
        try:
            await asyncio.wait_for(process.communicate(), _END_TIMEOUT)  # closes its pipes, and waits
        except TimeoutError:
            signal_child(process, KILL)
            await process.wait()
        return self.status

    def _environment(self) -> dict[str, str]:
        own = str(self.directory)
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        places = {"HOME": own, "TMPDIR": own, "XDG_RUNTIME_DIR": own, "XDG_STATE_HOME": own}
        return {**kept, **places, MARKER_VARIABLE: self._marker}

    def _write(self, line: str) -> None:
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(line.encode() + b"\n")

    async def _hear(self, event: str, timeout: float) -> dict[str, Any]:
        assert self._process.stdout is not None, "a pipe"
        try:
            line = await asyncio.wait_for(self._process.stdout.readline(), timeout)
        except TimeoutError:
            raise RelayFailed(f"the relay did not say {event!r} within {timeout:g} s") from None
        if not line:
            raise RelayFailed(f"the relay ended before it said {event!r}:\n{self._last_lines()}")
        said: dict[str, Any] = json.loads(line)
        if said.get("event") != event:
            raise RelayFailed(f"the relay did not say {event!r}")
        return said

    def _last_lines(self) -> str:
        return "\n".join((self.directory / LOG).read_text("utf-8", "replace").splitlines()[-5:])
