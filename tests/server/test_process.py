"""A relay as a process of its own: signals, exit codes, and what it writes to standard error."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from sealcast.protocol import controls
from sealcast.protocol.controls import Drain, Error, Join, Joined, Welcome
from sealcast.protocol.names import Kind

if TYPE_CHECKING:
    from .conftest import Lab
    from .raw import Client

pytestmark = [
    pytest.mark.asyncio(loop_factories=["asyncio"]),  # the process has the relay's own loop in any case
    pytest.mark.timeout(30),
]

PROGRAM = """
import asyncio, json, sys
from sealcast.server.config import Config
from sealcast.server.logs import configure
from sealcast.server.relay import Relay, main_loop

config = Config.model_validate(json.loads(sys.argv[1]))
configure(config.log)
with asyncio.Runner(loop_factory=main_loop()) as runner:
    runner.run(Relay(config).run())
"""


class Process:
    """A relay in a process, and the lines that it wrote."""

    def __init__(self, lab: Lab, process: asyncio.subprocess.Process) -> None:
        self.lab = lab
        self.process = process
        self.text = ""
        self.address = ("", 0)

    async def line(self, event: str) -> dict[str, Any]:
        """Read to the line about this event; return it."""
        return await self.line_that(lambda line: line["event"] == event)

    async def line_that(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read to the line that is wanted; return it."""
        assert self.process.stderr is not None
        while True:
            async with asyncio.timeout(self.lab.PATIENCE):
                line = (await self.process.stderr.readline()).decode()
            assert line, f"the process ended before that line; it wrote {self.text}"
            self.text += line
            values: dict[str, Any] = json.loads(line)
            if wanted(values):
                return values

    async def end(self) -> int:
        """Wait for its end; return the exit code."""
        assert self.process.stderr is not None
        async with asyncio.timeout(self.lab.PATIENCE):
            self.text += (await self.process.stderr.read()).decode()
            return await self.process.wait()

    async def connect(self) -> Client:
        return await self.lab.connect(self)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(lab: Lab, **server: Any) -> AsyncIterator[Process]:
    config = {
        "server": {"port": 0, "drain_spread": 0, "close": 1, **server},
        "log": {"level": "debug", "format": "json"},
        "apps": [{"app_id": lab.APP, "certificate": lab.CERTIFICATE}],
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", PROGRAM, json.dumps(config), stderr=asyncio.subprocess.PIPE
    )
    started = Process(lab, process)
    try:
        listening = await started.line("listening")
        started.address = (listening["host"], listening["port"])
        yield started
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


@pytest_asyncio.fixture
async def relay(lab: Lab) -> AsyncIterator[Process]:
    async with running(lab) as started:
        yield started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order_with_0(relay: Process, number: signal.Signals) -> None:
    client = await relay.connect()
    relay.process.send_signal(number)
    await client.told(Drain)
    assert await client.ended() == (4001, "draining")
    stopped = await relay.line("stopped")
    assert stopped["ended"] == {"draining": 1}
    assert stopped["connections"] == 0
    assert await relay.end() == 0
    assert "Traceback" not in relay.text
    assert "Warning" not in relay.text


async def test_a_second_signal_does_not_wait_for_anybody(relay: Process) -> None:
    wire = await relay.lab.wire(relay)  # type: ignore[arg-type]
    await wire.told(Welcome)
    relay.process.send_signal(signal.SIGTERM)
    await wire.told(Drain)
    relay.process.send_signal(signal.SIGTERM)
    assert (await relay.line("stopped"))["connections"] == 0
    assert await relay.end() == 0
    await wire.rest()


async def test_sighup_reads_the_certificate_again(lab: Lab, tmp_path: Path) -> None:
    pem = Path(__file__).parents[1] / "vectors" / "tls"
    files = {end: shutil.copy(pem / f"relay.{end}", tmp_path) for end in ("pem", "key")}
    tls = {"tls_certificate": str(files["pem"]), "tls_key": str(files["key"])}
    async with running(lab, **tls) as relay:
        for name, said in (("other", "reloaded"), ("relay", "the certificate was not reloaded")):
            shutil.copyfile(pem / "other.key", files["key"])
            shutil.copyfile(pem / f"{name}.pem", files["pem"])
            relay.process.send_signal(signal.SIGHUP)
            line = await relay.line_that(lambda line, said=said: line["event"].startswith(said))
            assert "PRIVATE" not in json.dumps(line)
            context = ssl.create_default_context(cafile=str(pem / "other.pem"))
            await lab.connect(relay, ssl=context)  # type: ignore[arg-type]


async def test_nothing_secret_is_written(relay: Process) -> None:
    """Refusals, frames and messages go by; tokens, names, hellos, payloads and keys stay out of the log."""
    lab = relay.lab
    user, channel = "Some-Person-0815", "board-room-0815"
    hello, payload = os.urandom(20), os.urandom(20)
    good = lab.token(channel, user, real_time=True)
    tokens = [
        good,
        lab.token(channel, user, certificate="a" * 32, real_time=True),
        lab.token(channel, "somebody-else-0815", real_time=True),
        lab.token(channel, user, age=7200, real_time=True),
        "007not-a-token-0815",
    ]
    client = await relay.connect()
    for token in tokens[1:]:
        error = await client.refused(Join(channel=channel, user=user, token=token, hello=hello))
        assert error.code
    joined = await client.ask(Join(channel=channel, user=user, token=good, hello=hello))
    assert isinstance(joined, Joined)
    room = lab.Room(channel, user, joined)
    await client.frame(room, Kind.AUDIO, payload=payload)
    await client.message(room, payload=payload)
    await client.ws.send(room.frame(version=2, payload=payload))
    assert isinstance((await client.until(lambda item: isinstance(item, lab.Told))).control, Error)
    wire = await lab.wire(relay)  # type: ignore[arg-type]
    await wire.binary(controls.encode(Join(channel=channel, user=user, token=good, hello=hello), 1) + b"x")
    assert await wire.ended() == 4501
    await client.ws.send(b"\x77" + payload)
    assert await client.ended() == (4501, "protocol_error")
    for _ in range(2):
        ended = await relay.line("connection ended")
        assert (ended["code"], ended["name"]) == (4501, "protocol_error")
    relay.process.send_signal(signal.SIGTERM)
    assert await relay.end() == 0
    lines = [json.loads(line) for line in relay.text.splitlines()]
    refused = [line["code"] for line in lines if line["event"] == "token refused"]
    assert refused == ["invalid_token", "user_mismatch", "token_expired"], "the first few, by their codes"
    secrets = [*tokens, user, channel, "0815", lab.CERTIFICATE, hello.hex(), payload.hex()]
    secrets += [part.decode("latin-1") for part in (hello, payload)] + [
        repr(hello)[2:-1],
        repr(payload)[2:-1],
    ]
    for secret in secrets:
        assert secret not in relay.text


async def test_every_end_has_one_line_with_its_code(relay: Process) -> None:
    lab = relay.lab
    client = await relay.connect()
    await client.ws.close(1000)
    assert (await relay.line("connection ended"))["name"] == "left"
    for opcode, payload, name in ((1, b"text", "text_refused"), (2, b"\x99", "protocol_error")):
        wire = await lab.wire(relay)  # type: ignore[arg-type]
        await wire.frame(opcode, payload)
        await wire.ended()
        assert (await relay.line("connection ended"))["name"] == name
    wire = await lab.wire(relay)  # type: ignore[arg-type]
    await wire.send(b"\x82\xff" + bytes((0, 0, 0, 1)) + bytes(4))
    await wire.ended()
    assert (await relay.line("connection ended"))["name"] == "too_big"
    wire = await lab.wire(relay)  # type: ignore[arg-type]
    wire.close()
    assert (await relay.line("connection ended"))["name"] == "connection_lost"
    relay.process.send_signal(signal.SIGTERM)
    assert await relay.end() == 0
    assert relay.text.count('"connection ended"') == 5
