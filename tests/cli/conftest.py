"""Commands as real processes, and a relay for them to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from sealcast.client.tokens import mint
from sealcast.server.config import Config
from sealcast.server.relay import Relay

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
KEY = "5e" * 32

WAIT = 20.0
"""Seconds for what should be there in a fraction of one; only a failure waits for it."""


class Program:
    """A running `sealcast`, with its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """Return the next line of standard output, without its newline; fail at its end."""
        assert self._process.stdout is not None
        data = await asyncio.wait_for(self._process.stdout.readline(), WAIT)
        assert data, f"the output ended; on standard error: {await self._errors()}"
        return data.decode().removesuffix("\n")

    async def until(self, text: str) -> list[str]:
        """Return the lines up to the first that contains *text*."""
        seen = [await self.line()]
        while text not in seen[-1]:
            seen.append(await self.line())
        return seen

    async def error_line(self) -> str:
        """Return the next line of standard error; fail at its end."""
        assert self._process.stderr is not None
        data = await asyncio.wait_for(self._process.stderr.readline(), WAIT)
        assert data, "standard error ended"
        return data.decode().removesuffix("\n")

    async def write(self, data: str | bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data.encode() if isinstance(data, str) else data)
        await asyncio.wait_for(self._process.stdin.drain(), WAIT)

    def close_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def close_output(self) -> None:
        """Stop reading, for good: the next write of the program fails."""
        self._process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self) -> int:
        """Return the exit status, once there is one."""
        return await asyncio.wait_for(self._process.wait(), WAIT)

    async def finish(self, data: bytes = b"") -> Finished:
        """Give the rest of the input, read the rest of the output."""
        out, err = await asyncio.wait_for(self._process.communicate(data), WAIT)
        assert self._process.returncode is not None
        return Finished(self._process.returncode, out, err.decode())

    async def _errors(self) -> str:
        assert self._process.stderr is not None
        return (await asyncio.wait_for(self._process.stderr.read(), WAIT)).decode()

    async def kill(self) -> None:
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()
        self._process._transport.close()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Finished:
    """What a command left behind."""

    status: int
    out: bytes
    err: str


Start = Callable[..., Awaitable[Program]]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment without anything of sealcast's in it, whose temporary files go with the test."""
    apart = ("SEALCAST_", "XDG_RUNTIME_DIR")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(apart)}
    # Relays that are no test of it do without the internal port, which could be another one's.
    alone = {"SEALCAST_SERVER_INTERNAL": "false"}
    return {**kept, **alone, "PYTHONUNBUFFERED": "", "NO_COLOR": "1", "TMPDIR": str(tmp_path)}


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C mean something to children, also where a shell started the tests in the background."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
async def start(environment: dict[str, str], interruptible: None) -> AsyncIterator[Start]:
    """Start `python -m sealcast.cli` with arguments; whatever still runs at the end is killed."""
    running: list[Program] = []

    async def begin(*arguments: str, env: Mapping[str, str] | None = None) -> Program:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "sealcast.cli",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**environment, **(env or {})},
            limit=1024 * 1024,
        )
        running.append(Program(process))
        return running[-1]

    yield begin
    for program in running:
        await program.kill()


@pytest.fixture
async def shell(
    environment: dict[str, str], interruptible: None
) -> AsyncIterator[Callable[[str], Awaitable[Program]]]:
    """Run a line in a fresh shell, as somebody who pasted it into another terminal would."""
    running: list[Program] = []
    fresh = {name: environment[name] for name in ("HOME", "TMPDIR") if name in environment}
    fresh["PATH"] = os.defpath

    async def begin(line: str) -> Program:
        process = await asyncio.create_subprocess_shell(
            f"exec {line}",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=fresh,
            cwd="/",
        )
        running.append(Program(process))
        return running[-1]

    yield begin
    for program in running:
        await program.kill()


@dataclass(frozen=True)
class Venue:
    """A relay that runs in the test's process, and how a command reaches it."""

    relay: Relay
    url: str

    def env(self, **others: str) -> dict[str, str]:
        """Return the environment of a member: with certificate and key, so that any name will do."""
        return {
            "SEALCAST_URL": self.url,
            "SEALCAST_APP_ID": APP_ID,
            "SEALCAST_CERTIFICATE": CERTIFICATE,
            "SEALCAST_KEY": KEY,
            **others,
        }

    def token(self, channel: str, user: str, role: str = "publisher", ttl: int = 600) -> str:
        return mint(APP_ID, CERTIFICATE, channel, user, role=role, ttl=ttl)  # type: ignore[arg-type]


@pytest.fixture
async def venue() -> AsyncIterator[Venue]:
    app = {"app_id": APP_ID, "certificate": CERTIFICATE, "policy": {"encryption": "optional"}}
    config = Config.model_validate({"server": {"port": 0, "drain_spread": 0}, "apps": [app]})
    async with Relay(config).running() as relay:
        assert relay.address is not None
        yield Venue(relay, "ws://{}:{}".format(*relay.address))
