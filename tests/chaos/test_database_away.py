"""PostgreSQL dies or hangs under a relay: calls go on, operators are told, and nothing is lost meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from sealcast.client import Channel, Client, Key, MemberJoined, Message, Options
from sealcast.server.store.database import Database
from sealcast.server.store.migrate import migrate

from ..server.hooks.conftest import Receiver, receiving
from ..server.postgres import Postgres, running
from .crowd import SECRET, token
from .house import APP_ID, RelayProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

PATIENCE = 40.0
AT_ONCE = 2.0
"""Seconds that nothing between members may take, whatever the database does."""
APP = f"/api/v1/apps/{APP_ID}"
KEY = "away-relay-key-0f5d1c7f02b9a84e6"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest_asyncio.fixture
async def relay(postgres: Postgres, tmp_path: Path) -> AsyncIterator[RelayProcess]:
    url = await postgres.database()
    database = Database(url)
    await migrate(database)
    await database.close()
    relay = RelayProcess(
        tmp_path,
        "memory",
        database=url,
        SEALCAST_SERVER_INTERNAL_KEY=KEY,
        SEALCAST_HOOKS_PRIVATE="true",
        SEALCAST_HOOKS_INSECURE="true",
    )
    await relay.start()
    try:
        yield relay
    finally:
        assert await relay.terminate() == 0


class Operator:
    """Asks the API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def ban(self, user: str) -> httpx.Response:
        return await self.client.post(f"{APP}/bans", json={"user": user})

    async def number(self, name: str) -> float:
        text = (await self.client.get("/metrics")).text
        return sum(map(float, re.findall(rf"^sealcast_{name}(?:{{.*}})? (\S+)$", text, re.M)))

    async def ready(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await self.client.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.1)

    async def knows(self, user: str) -> None:
        """Wait for the record of a membership that is over."""
        async with asyncio.timeout(PATIENCE):
            while True:
                answer = await self.client.get(f"{APP}/calls", params={"user": user})
                if answer.status_code == 200 and answer.json()["items"]:
                    return
                await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def operator(relay: RelayProcess) -> AsyncIterator[Operator]:
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"http://127.0.0.1:{relay.internal_port}"
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE) as client:
        operator = Operator(client)
        await operator.ready()
        yield operator


@pytest_asyncio.fixture
async def receiver(operator: Operator) -> AsyncIterator[Receiver]:
    """Is told who joins and leaves."""
    async with receiving() as receiver:
        hook = {"url": receiver.url, "kinds": ["member.joined", "member.left"]}
        made = await operator.client.post(f"{APP}/webhooks", json=hook)
        assert made.status_code == 201, made.text
        receiver.secret = made.json()["secret"]
        yield receiver


@contextlib.asynccontextmanager
async def member(relay: RelayProcess, user: str) -> AsyncIterator[Channel]:
    options = Options(timeout=3.0)
    async with Client(relay.url, app_id=APP_ID, token=token, options=options, proxy=None) as client:
        yield await client.join("call", user=user, key=Key.raw(SECRET))


async def hears(room: Channel, wanted: type, data: bytes = b"") -> None:
    async with asyncio.timeout(AT_ONCE):
        async for event in room:
            if isinstance(event, wanted) and (not data or getattr(event, "data", b"") == data):
                return


async def talk(ann: Channel, bob: Channel, text: bytes) -> None:
    async with asyncio.timeout(AT_ONCE):
        await ann.send(text)
    await hears(bob, Message, text)


async def told(receiver: Receiver, user: str) -> list[str]:
    """Wait until a receiver has heard that a user has left; return all that it heard of it."""
    async with asyncio.timeout(PATIENCE):
        while True:
            types = [event["type"] for event in receiver.told if event["data"]["user"] == user]
            if "member.left" in types:
                return types
            await asyncio.sleep(0.05)


async def refuses(operator: Operator) -> None:
    answer = await operator.ban("nobody")
    assert (answer.status_code, answer.json()["name"]) == (503, "database_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    began = time.monotonic()
    answer = await operator.client.get("/readyz")
    assert time.monotonic() - began < 2 * AT_ONCE
    assert (answer.status_code, answer.json()["name"]) == (503, "not_ready")
    assert answer.json()["problems"] == ["database: it does not answer"]
    assert (await operator.client.get("/healthz")).status_code == 200


async def goes_on(relay: RelayProcess, ann: Channel, bob: Channel) -> None:
    await talk(ann, bob, b"still here")
    async with member(relay, "cem"):
        await hears(bob, MemberJoined)


async def is_well_again(operator: Operator, receiver: Receiver) -> None:
    await operator.ready()
    assert (await operator.ban("nobody")).status_code == 201
    await operator.knows("cem")
    assert await told(receiver, "cem") == ["member.joined", "member.left"]
    for lost in ("records_lost_total", "webhook_events_lost_total"):
        assert await operator.number(lost) == 0
    async with asyncio.timeout(PATIENCE):
        while await operator.number("records_waiting") or await operator.number("webhook_events_waiting"):
            await asyncio.sleep(0.1)


async def test_a_database_that_dies_and_comes_back(
    relay: RelayProcess, operator: Operator, receiver: Receiver, postgres: Postgres
) -> None:
    async with member(relay, "ann") as ann, member(relay, "bob") as bob:
        await talk(ann, bob, b"before")
        postgres.crash()
        try:
            await refuses(operator)
            await goes_on(relay, ann, bob)
            assert await operator.number("records_waiting") > 0
            async with asyncio.timeout(PATIENCE):
                while not await operator.number("webhook_events_waiting"):
                    await asyncio.sleep(0.05)
        finally:
            postgres.start()
        await is_well_again(operator, receiver)
        await talk(ann, bob, b"after")


async def test_a_database_that_hangs_holds_up_nobody_but_who_asks_for_it(
    relay: RelayProcess, operator: Operator, receiver: Receiver, postgres: Postgres
) -> None:
    async with member(relay, "ann") as ann, member(relay, "bob") as bob:
        await talk(ann, bob, b"before")
        postgres.freeze()
        try:
            refusing = asyncio.create_task(refuses(operator))
            began, times = time.monotonic(), 0
            while not refusing.done() or times < 20:
                times += 1
                await talk(ann, bob, b"%d" % times)
                assert (await operator.client.get("/healthz")).status_code == 200
                await asyncio.sleep(0.1)
                assert time.monotonic() - began < PATIENCE
            await refusing
            await goes_on(relay, ann, bob)
        finally:
            postgres.thaw()
        await is_well_again(operator, receiver)
        await talk(ann, bob, b"after")


async def test_a_database_that_hangs_does_not_hold_up_the_end(
    relay: RelayProcess, operator: Operator, receiver: Receiver, postgres: Postgres
) -> None:
    async with member(relay, "ann"), member(relay, "bob"):
        pass
    async with member(relay, "ann") as ann, member(relay, "bob") as bob:
        await talk(ann, bob, b"before")
        postgres.freeze()
        try:
            asking = asyncio.create_task(operator.ban("nobody"))
            async with member(relay, "cem"):
                await hears(bob, MemberJoined)
            await asyncio.sleep(1.5)  # so that the recorder and the webhooks are at it
            began = time.monotonic()
            assert await relay.terminate() == 0
            # `close` and `drain_spread` of this relay are 3 s, the internal port has 2, the database 4.
            assert time.monotonic() - began < 11.0
            with contextlib.suppress(httpx.TransportError):
                await asking
        finally:
            postgres.thaw()
