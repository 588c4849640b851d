"""A relay is killed in the middle of everything: who had joined is told to have left, once and in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.server.store.migrate import migrate
from sealcast.server.store.store import Store

from .conftest import APP, Receiver

if TYPE_CHECKING:
    from ..conftest import Lab
    from ..raw import Client

pytestmark = [
    pytest.mark.asyncio(loop_factories=["asyncio"]),  # the process has the relay's own loop in any case
    pytest.mark.timeout(120),
    pytest.mark.slow,
]

PROGRAM = """
import asyncio, json, sys
from sealcast.server.config import Config
from sealcast.server.logs import configure
from sealcast.server.relay import main_loop
from sealcast.server.station import Station

config = Config.model_validate(json.loads(sys.argv[1]))
configure(config.log)
with asyncio.Runner(loop_factory=main_loop()) as runner:
    runner.run(Station(config).run())
"""
USERS = 12


class Process:
    """A station in a process, which can be killed."""

    def __init__(self, lab: Lab, process: asyncio.subprocess.Process) -> None:
        self.lab = lab
        self.process = process
        self.address = ("", 0)

    async def listening(self) -> None:
        assert self.process.stderr is not None
        while True:
            async with asyncio.timeout(60):
                line = await self.process.stderr.readline()
            assert line, "the process ended before it listened"
            told: dict[str, Any] = json.loads(line)
            if told["event"] == "listening":
                self.address = (told["host"], told["port"])
                return

    async def connect(self) -> Client:
        return await self.lab.connect(self)  # type: ignore[arg-type]

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self.process._transport.close()  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def running(lab: Lab, database: str, node: str) -> AsyncIterator[Process]:
    config = {
        "server": {"port": 0, "internal": False, "node": node, "drain_spread": 0, "close": 1},
        "database": {"url": database},
        "hooks": {"private": True, "insecure": True},
        "log": {"format": "json"},
        "apps": [{"app_id": lab.APP, "certificate": lab.CERTIFICATE}],
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", PROGRAM, json.dumps(config), stderr=asyncio.subprocess.PIPE
    )
    started = Process(lab, process)
    try:
        await started.listening()
        yield started
    finally:
        await started.kill()


async def join(lab: Lab, relay: Process, channel: str, user: str) -> Client:
    client = await relay.connect()
    token = lab.token(channel, user, real_time=True)
    await client.join(channel, user, token=token)
    return client


async def until(receiver: Receiver, kind: str, count: int) -> None:
    """Wait until so many different events of a kind have been told."""
    async with asyncio.timeout(60), receiver.came:
        await receiver.came.wait_for(
            lambda: len({told["id"] for told in receiver.told if told["type"] == kind}) >= count
        )


@pytest.mark.parametrize("node", ["node-1", ""])
async def test_everybody_who_joined_is_told_to_have_left_once(
    lab: Lab, database_url: str, receiver: Receiver, node: str
) -> None:
    if not node and not database_url.startswith("sqlite"):
        pytest.skip("a nameless node is told from others only where it is alone")
    store = Store(database_url, lambda: 0.0)
    await migrate(store.database)
    await store.webhooks.create(APP, receiver.url, receiver.secret, kinds=[], enabled=True, most=16)
    await store.close()
    # The kill loses answers, and some fail: what was told is told again.
    count = iter(range(10_000))
    receiver.answer = lambda event: (503, {}) if next(count) in (3, 17) else (204, {})
    users = [f"user-{number}" for number in range(USERS)]

    async with running(lab, database_url, node) as relay:
        clients = [await join(lab, relay, f"room-{number % 3}", user) for number, user in enumerate(users)]
        for client in clients[: USERS // 3]:
            await client.ws.close()
        await until(receiver, "member.joined", USERS)
        relay.process.kill()  # while leaves are on their way
    async with running(lab, database_url, node) as relay:
        again = await join(lab, relay, "room-0", users[-1])
        await until(receiver, "member.joined", USERS + 1)
        await until(receiver, "member.left", USERS)
        await until(receiver, "channel.destroyed", 3)
        relay.process.kill()
        with contextlib.suppress(Exception):
            await again.ws.close()
    async with running(lab, database_url, node):
        await until(receiver, "member.left", USERS + 1)
        await until(receiver, "channel.destroyed", 4)

    unique = list({told["id"]: told for told in receiver.told}.values())
    for user in users:
        lives = [told for told in unique if told["data"].get("user") == user]
        lives.sort(key=lambda told: int(told["data"]["sequence"]))
        turns = 2 if user == users[-1] else 1
        assert [told["type"] for told in lives] == ["member.joined", "member.left"] * turns
        for joined, left in zip(lives[::2], lives[1::2], strict=True):
            assert joined["data"]["member"] == left["data"]["member"]
            crashed = left["data"].get("reconciled", False)
            assert left["data"]["reason"] == ("connection_lost" if crashed else "left")
            assert left["data"]["seconds"] >= 0
        # They came in that order, too: one after the other.
        for room in {told["data"]["channel"] for told in lives}:
            arrived = [
                told["data"]["sequence"]
                for told in unique
                if told in lives and told["data"]["channel"] == room
            ]
            assert arrived == sorted(arrived)
    assert any(told["data"].get("reconciled") for told in unique)
