"""`sealcast top`: what it makes of two scrapes, and the command itself against a relay that runs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from rich.console import Console

from sealcast.cli.top import figures as module
from sealcast.cli.top.scrape import Away, Scrape, parse
from sealcast.cli.top.screen import amount, drawn, duration, size
from sealcast.client import Client, Key
from sealcast.client.tokens import mint
from sealcast.server.config import Config
from sealcast.server.station import Station

Start = Callable[..., Awaitable[Any]]

APP_ID = "0123456789abcdef0123456789abcdef"
CERTIFICATE = "fedcba9876543210fedcba9876543210"
WAIT = 20.0

TEXT = """\
# HELP sealcast_connections open connections
sealcast_build_info{node="n1",python="3.11",version="9.9"} 1.0
sealcast_start_time_seconds 1000.0
sealcast_ready 1.0
sealcast_connections 12.0
sealcast_frames_received_total %(frames)d
sealcast_frames_dropped_total{kind="video",reason="age"} %(drops)d
sealcast_frames_dropped_total{kind="audio",reason="age"} 0
sealcast_turn_wait_seconds_bucket{le="0.001"} %(fast)d
sealcast_turn_wait_seconds_bucket{le="0.01"} %(all)d
sealcast_turn_wait_seconds_bucket{le="+Inf"} %(all)d
sealcast_app_connections{app="a"} 2.0
sealcast_app_connections{app="b"} 9.0
sealcast_app_connections{app="other"} 0.0
sealcast_app_received_total{app="a"} %(frames)d
sealcast_app_received_total{app="b"} 0
sealcast_app_received_bytes_total{app="a"} 5000
something_else 7
"""


def scrape(at: float, **values: int) -> Scrape:
    return parse(TEXT % {"frames": 0, "drops": 0, "fast": 0, "all": 0, **values}, at)


# --- what two scrapes say ---


def test_rates_are_for_each_second_between_two_scrapes() -> None:
    found = module.figures(scrape(10.0), scrape(12.0, frames=100, drops=4), 4600.0)
    assert (found.frames, found.drops) == (50.0, {"video/age": 2.0})
    assert (found.connections, found.ready, found.version, found.uptime) == (12, True, "9.9", 3600.0)


def test_the_busiest_app_is_first_and_an_empty_rest_is_not_shown() -> None:
    found = module.figures(scrape(10.0), scrape(12.0, frames=100), 0.0)
    assert [(row.app, row.received) for row in found.apps] == [("a", 50.0), ("b", 0)]


def test_quantiles_are_reckoned_within_a_bucket() -> None:
    found = module.figures(scrape(0.0, fast=1000, all=1000), scrape(1.0, fast=1090, all=1100), 0.0)
    assert found.turn_p50 == pytest.approx(0.001 * 50 / 90)
    assert found.turn_p99 == pytest.approx(0.001 + 0.009 * 0.9)
    idle = module.figures(scrape(0.0, all=5), scrape(1.0, all=5), 0.0)
    assert (idle.turn_p50, idle.turn_p99) == (None, None)


def test_a_restart_between_two_scrapes_makes_no_rates() -> None:
    after = parse((TEXT % {"frames": 5, "drops": 5, "fast": 1, "all": 1}).replace("1000.0", "2000.0"), 12.0)
    found = module.figures(scrape(10.0, frames=100), after, 0.0)
    assert (found.frames, found.drops, found.turn_p99) == (0.0, {}, None)


@pytest.mark.parametrize("text", ["", "<html>", "sealcast_joins_total 1\n", "sealcast_connections many\n"])
def test_an_answer_of_somebody_else_is_none_of_a_relay(text: str) -> None:
    with pytest.raises(Away):
        parse(text, 0.0)


def test_a_hostile_answer_is_bounded_and_cannot_act_on_the_terminal() -> None:
    lines = ["sealcast_connections 1", 'sealcast_app_connections{app="\x1b[2Jevil"} 5']
    lines += [f'sealcast_refusals_total{{reason="{place}"}} 1' for place in range(200_000)]
    found = parse("\n".join(lines), 0.0)
    assert len(found.series["sealcast_refusals_total"]) < 100_000
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(drawn("http://x", module.figures(found, found, 0.0), "", 40))
    assert "\\x1b[2Jevil" in console.export_text()
    assert "\x1b[2J" not in console.export_text(styles=True)


def test_numbers_are_short() -> None:
    shown = [amount(value) for value in (0, 3, 2.54, 9_999, 12_345, 4_500_000, 2e9)]
    assert shown == ["0", "3", "2.5", "9,999", "12.3k", "4.5M", "2G"]
    assert [size(value) for value in (None, 10, 2048, 5 * 2**30)] == ["–", "10 B", "2 KiB", "5.0 GiB"]
    assert [duration(value) for value in (None, 65, 3700, 200_000)] == [
        "–",
        "1 min 5 s",
        "1 h 1 min",
        "2 d 7 h",
    ]


# --- the command ---


def configured(port: int = 0, **metrics: bool) -> Config:
    server = {"port": 0, "internal_port": port, "drain_spread": 0, "close": 0.2}
    app = {"app_id": APP_ID, "certificate": CERTIFICATE}
    return Config.model_validate({"server": server, "apps": [app], "metrics": metrics})


@contextlib.asynccontextmanager
async def talking(relay: Station) -> AsyncIterator[None]:
    """Let two members talk all the while."""
    assert relay.address is not None
    url = "ws://{}:{}".format(*relay.address)
    async with contextlib.AsyncExitStack() as stack:
        rooms = []
        for user in ("alice", "bob"):
            client = await stack.enter_async_context(Client(url, app_id=APP_ID))
            token = mint(APP_ID, CERTIFICATE, "standup", user, ttl=600)
            rooms.append(await client.join("standup", user=user, token=token, key=Key.raw(b"5" * 32)))

        async def talk() -> None:
            while True:
                await rooms[0].send(b"hello")
                await asyncio.sleep(0.01)

        task = asyncio.create_task(talk())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def station() -> AsyncIterator[Station]:
    async with Station(configured()).running() as relay:
        assert isinstance(relay, Station)
        yield relay


async def test_once_prints_what_happens_now(start: Start, station: Station) -> None:
    async with talking(station):
        program = await start("top", "--api", str(station.internal_url), "--once", "--every", "300ms")
        done = await program.finish()
    assert done.status == 0, done.err
    text = done.out.decode()
    assert re.search(r"connections +2 +frames/s", text)
    assert re.search(rf"{APP_ID} +2 +1 +2 +[1-9]", text)


async def test_json_is_for_scripts(start: Start, station: Station) -> None:
    async with talking(station):
        url = str(station.internal_url)
        once = await (await start("top", "--once", "--json", "--every", "300ms", "--api", url)).finish()
        tree = json.loads(once.out)
        assert tree["messages"] > 1
        assert tree["apps"][0]["app"] == APP_ID
        assert tree["turn_p99"] > 0
        program = await start("top", "--json", "--every", "100ms", "--api", url)
        first, second = json.loads(await program.line()), json.loads(await program.line())
        assert (first["messages"], second["connections"]) == (0, 2)
        assert second["messages"] > 1
        program.signal(signal.SIGINT)
        assert await program.ended() == 130


async def test_what_cannot_be_is_said_in_a_line(start: Start, environment: dict[str, str]) -> None:
    async def failed(*arguments: str) -> tuple[int, str]:
        done = await (await start("top", *arguments)).finish()
        assert done.out == b""
        assert done.err.count("\n") == 1
        return done.status, done.err

    async with Station(configured(open=False)).running() as relay:
        assert isinstance(relay, Station)
        url = str(relay.internal_url)
        status, said = await failed("--once", "--every", "100ms", "--api", url)
        assert (status, "metrics:read" in said) == (1, True)
    status, said = await failed("--once", "--api", url)
    assert (status, "does not answer" in said) == (1, True)
    assert (await failed("--every", "0s"))[0] == 2
    assert (await failed("--every", "soon"))[0] == 2
    assert (await failed("--api", "file:///etc/passwd"))[0] == 2
    assert (await failed("--api", url))[0] == 2, "it is no terminal"


class Screen:
    """A `sealcast top` in a terminal of its own."""

    def __init__(self, environment: dict[str, str], url: str) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 110, 0, 0))
        self.before = termios.tcgetattr(slave)
        self._slave = slave
        self._environment = {**environment, "TERM": "xterm-256color"}
        self._command = ["-m", "sealcast.cli", "top", "--every", "100ms", "--api", url]
        self._seen = bytearray()
        self._more = asyncio.Event()

    async def __aenter__(self) -> Screen:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *self._command,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env=self._environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._process._transport.close()  # type: ignore[attr-defined]
        os.close(self._master)
        os.close(self._slave)

    def _read(self) -> None:
        self._seen += os.read(self._master, 65536)
        self._more.set()

    async def shows(self, pattern: str) -> None:
        """Wait until something new fits."""
        async with asyncio.timeout(WAIT):
            while not re.search(
                pattern, re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", self._seen).decode(errors="replace")
            ):
                self._more.clear()
                await self._more.wait()
        self._seen.clear()

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    async def ended(self) -> int:
        status = await asyncio.wait_for(self._process.wait(), WAIT)
        assert termios.tcgetattr(self._slave) == self.before, "the terminal is as it was"
        return status

    @property
    def left(self) -> bool:
        """Whether the screen of before is back, and the cursor can be seen."""
        return b"\x1b[?1049l" in self._seen and b"\x1b[?25h" in self._seen


async def test_the_screen_follows_the_relay_until_q(
    environment: dict[str, str], station: Station, interruptible: None
) -> None:
    async with Screen(environment, str(station.internal_url)) as screen:
        await screen.shows(r"connections +0 ")
        async with talking(station):
            await screen.shows(r"connections +2 ")
            await screen.shows(rf"{APP_ID} +2 +1 +2 +[1-9]")
        await screen.shows(r"connections +0 ")
        screen.type(b"x")  # nothing
        screen.type(b"q")
        assert await screen.ended() == 0
        await asyncio.sleep(0)
        assert screen.left


async def test_it_waits_for_a_relay_that_goes_away_and_ctrl_c_ends_it(
    environment: dict[str, str], interruptible: None
) -> None:
    async with Station(configured()).running() as first:
        assert isinstance(first, Station)
        assert first.internal_address is not None
        port = first.internal_address[1]
        url = str(first.internal_url)
        screen = await Screen(environment, url).__aenter__()
        try:
            await screen.shows("ready")
        except BaseException:
            await screen.__aexit__()
            raise
    try:
        await screen.shows(r"away: .*asking again")
        async with Station(configured(port)).running():
            await screen.shows(r"\d   ready")
            screen.type(b"\x03")
            assert await screen.ended() == 0
    finally:
        await screen.__aexit__()
