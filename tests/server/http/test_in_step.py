"""A change whose audit entry cannot be kept is none: not in the database, and not in the relay that runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sealcast.protocol.controls import Join, Joined
from sealcast.server.config import AppHistory
from sealcast.server.hooks.event import Kind
from sealcast.server.hooks.sender import Answer
from sealcast.server.store.audit import Asked, AuditLog
from sealcast.server.store.records import StoreDown

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operate, Operated

APP = "0123456789abcdef0123456789abcdef"
API = f"/api/v1/apps/{APP}"
Broken = Callable[[], AbstractContextManager[None]]


@pytest.fixture
async def station(lab: Lab, operate: Operate) -> Operated:
    started: Operated = await operate(lab.app(history=AppHistory(messages=100)))
    return started


@pytest.fixture
async def api(station: Operated) -> httpx.AsyncClient:
    return await station.client()


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Broken:
    """Let the audit log fail for the time of a block, after the change that it is about was made."""

    @contextmanager
    def failing() -> Iterator[None]:
        async def fail(*entry: Any, **more: Any) -> None:
            raise StoreDown("the database does not answer in time")

        with monkeypatch.context() as patch:
            patch.setattr(AuditLog, "add", fail)
            yield

    return failing


async def catch_up(station: Operated) -> None:
    """Do what the relay does every few seconds."""
    relay = station.station
    await relay.directory.refresh()
    await relay.access.refresh()
    await relay.load_blocks()
    assert relay.hooks is not None
    await relay.hooks.refresh()


async def refused(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.json()["name"]) == (503, "database_unavailable")
    assert answer.headers["retry-after"]


async def comes_in(lab: Lab, station: Operated, user: str) -> bool:
    client = await lab.connect(station.station)
    answer = await client.ask(Join(channel="standup", user=user, token=lab.token("standup", user)))
    await client.ws.close()
    return isinstance(answer, Joined)


async def test_nobody_is_put_out_and_nothing_is_deleted_without_an_entry(
    lab: Lab, station: Operated, api: httpx.AsyncClient, broken: Broken
) -> None:
    ann = await lab.connect(station.station)
    room = await ann.join("standup", "ann")
    await ann.message(room)
    with broken():
        await refused(await api.post(f"{API}/kick", json={"user": "ann"}))
        await refused(await api.post(f"{API}/bans", json={"user": "ann", "duration": 0}))
        await refused(await api.delete(f"{API}/channel/history", params={"channel": "standup"}))
    await ann.message(room)
    erased = await api.delete(f"{API}/channel/history", params={"channel": "standup"})
    assert erased.json() == {"erased": 2}


async def test_an_entry_is_kept_before_the_first_one_is_put_out(
    lab: Lab, station: Operated, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await lab.connect(station.station)
    await ann.join("standup", "ann")
    store = station.station.store
    assert store is not None
    kept: list[str] = []

    async def look(*whom: Any) -> int:
        # Elsewhere, as another process would: what is not committed is not seen, or has to be waited for.
        page = await asyncio.create_task(store.audit.page(Asked()))
        kept.extend(entry.action for entry in page)
        return 1

    monkeypatch.setattr("sealcast.server.http.routes.members.kick", look)
    assert (await api.post(f"{API}/kick", json={"user": "ann"})).json() == {"kicked": 1}
    assert kept[0] == "members.kicked"


async def test_a_ban_that_was_not_kept_is_forgotten_and_one_that_was_not_lifted_holds(
    lab: Lab, station: Operated, api: httpx.AsyncClient, broken: Broken
) -> None:
    kept = (await api.post(f"{API}/bans", json={"user": "bob"})).json()["ban_id"]
    with broken():
        await refused(await api.post(f"{API}/bans", json={"user": "ann"}))
        await refused(await api.patch(f"{API}/bans/{kept}", json={"duration": 1}))
        await refused(await api.delete(f"{API}/bans/{kept}"))
    await catch_up(station)
    assert [each["until"] for each in (await api.get(f"{API}/bans")).json()["items"]] == [None]
    assert await comes_in(lab, station, "ann")
    lab.later(2.0)
    assert not await comes_in(lab, station, "bob")


async def test_it_is_the_same_with_revocations(
    lab: Lab, station: Operated, api: httpx.AsyncClient, broken: Broken
) -> None:
    later = lab.clock.wall() + 3600
    rule = {"user": "bob", "issued_before": later}
    kept = (await api.post(f"{API}/revocations", json=rule)).json()["revocation_id"]
    with broken():
        await refused(await api.post(f"{API}/revocations", json={"user": "ann", "issued_before": later}))
        await refused(await api.delete(f"{API}/revocations/{kept}"))
    await catch_up(station)
    assert await comes_in(lab, station, "ann")
    assert not await comes_in(lab, station, "bob")


async def test_it_is_the_same_with_blocks(station: Operated, api: httpx.AsyncClient, broken: Broken) -> None:
    assert (await api.post("/api/v1/blocks", json={"network": "203.0.113.7"})).status_code == 201
    with broken():
        await refused(await api.post("/api/v1/blocks", json={"network": "203.0.113.8"}))
        await refused(await api.delete("/api/v1/blocks/203.0.113.7"))
    await catch_up(station)
    assert [each["network"] for each in (await api.get("/api/v1/blocks")).json()["items"]] == ["203.0.113.7"]
    assert station.station.hub.warden.standing("203.0.113.7").refusal == "blocked"


async def test_an_address_that_is_blocked_by_itself_is_not_let_in_without_an_entry(
    station: Operated, api: httpx.AsyncClient, broken: Broken
) -> None:
    warden = station.station.hub.warden
    while not warden.offend("203.0.113.9", "invalid_token"):
        pass
    with broken():
        await refused(await api.delete("/api/v1/blocks/203.0.113.9"))
    assert warden.standing("203.0.113.9").refusal == "blocked"
    assert (await api.delete("/api/v1/blocks/203.0.113.9")).status_code == 204
    assert not warden.standing("203.0.113.9").refusal


async def test_it_is_the_same_with_webhooks(
    lab: Lab, station: Operated, api: httpx.AsyncClient, broken: Broken
) -> None:
    hook = {"url": "https://receiver.example/hook"}
    with broken():
        await refused(await api.post(f"{API}/webhooks", json=hook))
    await catch_up(station)
    assert (await api.get(f"{API}/webhooks")).json()["items"] == []
    hooks = station.station.hooks
    assert hooks is not None
    assert not hooks.wants(APP, Kind.MEMBER_JOINED)
    kept = (await api.post(f"{API}/webhooks", json=hook)).json()["webhook"]["webhook_id"]
    with broken():
        await refused(await api.delete(f"{API}/webhooks/{kept}"))
    await catch_up(station)
    assert hooks.wants(APP, Kind.MEMBER_JOINED)


async def test_it_is_the_same_with_apps(
    lab: Lab, station: Operated, api: httpx.AsyncClient, broken: Broken
) -> None:
    made = (await api.post("/api/v1/apps", json={})).json()["app"]["app_id"]
    with broken():
        await refused(await api.post("/api/v1/apps", json={"app_id": "c" * 32}))
        await refused(await api.post(f"/api/v1/apps/{made}/disable"))
    await catch_up(station)
    assert station.station.hub.any_app("c" * 32) is None
    assert station.station.hub.app(made) is not None


async def test_a_receiver_that_is_slow_to_answer_a_test_holds_up_nobody(
    lab: Lab, operate: Operate, monkeypatch: pytest.MonkeyPatch
) -> None:
    station = await operate(lab.app())
    api = await station.client()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(record: Any) -> Any:
        asked.set()
        await answer.wait()
        return Answer(True, "204")

    monkeypatch.setattr(station.station.hooks, "test", slow)
    made = (await api.post(f"{API}/webhooks", json={"url": "https://receiver.example/"})).json()
    hook = f"{API}/webhooks/{made['webhook']['webhook_id']}"
    testing = asyncio.create_task(api.post(f"{hook}/test"))
    await asked.wait()
    async with asyncio.timeout(4):  # less than a transaction waits for the one connection
        assert (await api.post(f"{API}/bans", json={"user": "ann"})).status_code == 201
    answer.set()
    assert (await testing).json()["delivered"] is True
