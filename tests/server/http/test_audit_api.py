"""The audit log by the API: every change is in it, or was not made."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sealcast.server.audit import Entry, verify_list
from sealcast.server.store.records import StoreDown

if TYPE_CHECKING:
    from ..conftest import Lab

Refusal = Callable[[httpx.Response], tuple[int, str]]


async def entries(api: httpx.AsyncClient, **asked: Any) -> list[dict[str, Any]]:
    answer = await api.get("/api/v1/audit", params={"limit": 200, **asked})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def test_every_change_is_an_entry_with_who_what_and_from_where(
    api: httpx.AsyncClient, operated: Any, lab: Lab
) -> None:
    writer = await operated.guest("apps:write")
    app_id = (await writer.post("/api/v1/apps", json={"name": "Teams"})).json()["app"]["app_id"]
    secret = (await writer.post(f"/api/v1/apps/{app_id}/certificates")).json()["secret"]
    await api.post(f"/api/v1/apps/{app_id}/disable")
    await api.delete(f"/api/v1/apps/{app_id}")
    found = await entries(api, target=f"app {app_id}")
    assert [each["action"] for each in found] == [
        "app.deleted",
        "app.disabled",
        "certificate.added",
        "app.created",
    ]
    assert found[0]["actor"] == "configured key"
    assert found[3]["actor"].startswith("key ")
    assert {each["address"] for each in found} == {"127.0.0.1"}
    assert found[3]["detail"]["change"]["name"] == "Teams"
    assert found[3]["at"] == pytest.approx(lab.clock.wall(), abs=0.01)
    assert secret not in str(found)


async def test_the_chain_can_be_checked_with_what_the_api_says(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await api.post("/api/v1/apps", json={"name": f"app {number}"})
    log = (await api.get("/api/v1/audit/head")).json()
    first = await api.get("/api/v1/audit", params={"limit": 4})
    rest = await api.get("/api/v1/audit", params={"limit": 200, "cursor": first.json()["next"]})
    found = [*first.json()["items"], *rest.json()["items"]]
    assert rest.json()["next"] is None
    assert [each["seq"] for each in found] == list(range(log["head"]["seq"], 0, -1))
    assert found[0]["hash"] == log["head"]["hash"]
    assert log["begin"] == {"seq": 0, "hash": bytes(32).hex()}
    for entry, before in itertools.pairwise(found):
        assert entry["previous"] == before["hash"]


async def test_entries_are_found_by_their_fields(api: httpx.AsyncClient, lab: Lab) -> None:
    await api.post("/api/v1/apps", json={"name": "one"})
    lab.later(100)
    await api.post("/api/v1/keys", json={"scopes": ["apps:read"]})
    now = lab.clock.wall()
    assert [e["action"] for e in await entries(api, actor="configured key")] == ["key.created", "app.created"]
    assert [e["action"] for e in await entries(api, action="app.created")] == ["app.created"]
    assert [e["action"] for e in await entries(api, **{"from": now - 1})] == ["key.created"]
    assert next(e["action"] for e in await entries(api, to=now - 1)) == "app.created"
    assert await entries(api, actor="no\0body") == []


async def test_who_may_read_it(operated: Any, refusal: Refusal) -> None:
    await (await operated.client()).post("/api/v1/apps", json={"app_id": "a" * 32})
    for client, status in (
        (await operated.client(""), 401),
        (await operated.guest("apps:read"), 403),
        (await operated.guest("audit:read", app_id="a" * 32), 403),
        (await operated.guest("audit:read"), 200),
    ):
        for path in ("/api/v1/audit", "/api/v1/audit/head"):
            answer = await client.get(path)
            assert answer.status_code == status
            if status != 200:
                refusal(answer)
    reader = await operated.guest("audit:read")
    for cursor in ("eA", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ"):
        assert refusal(await reader.get("/api/v1/audit", params={"cursor": cursor})) == (422, "invalid")


async def test_a_change_that_cannot_be_written_down_is_not_made(
    api: httpx.AsyncClient, operated: Any, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = operated.station.store
    app_id = (await api.post("/api/v1/apps", json={"name": "before"})).json()["app"]["app_id"]

    async def fail(*_: Any, **__: Any) -> Entry:
        raise StoreDown("the database does not answer in time")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.audit), "add", fail)
        refused = await api.patch(f"/api/v1/apps/{app_id}", json={"name": "after"})
        assert refusal(refused) == (503, "database_unavailable")
        made = await api.post("/api/v1/apps", json={"app_id": "f" * 32}, headers={"Idempotency-Key": "k"})
        assert refusal(made) == (503, "database_unavailable")
    assert (await store.apps.get(app_id)).name == "before"
    assert [app.app_id for app in await store.apps.page()] == [app_id]
    # What the relay had taken over already goes again with the next look at the database.
    await operated.station.directory.refresh()
    assert operated.station.directory.get(app_id).name == "before"
    assert operated.station.directory.get("f" * 32) is None
    assert operated.station.find("f" * 32) is None


async def test_while_somebody_holds_the_database_nothing_is_changed(
    operate: Any, refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealcast.server.store.database._WAIT", 0.5)
    operated = await operate()
    api = await operated.client()
    app_id = (await api.post("/api/v1/apps", json={"name": "before"})).json()["app"]["app_id"]
    path = tmp_path / "data" / "sealcast.db"
    held = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        # Not in the loop: what the relay does in the background has to end first.
        await asyncio.to_thread(held.execute, "BEGIN IMMEDIATE")
        refused = await api.patch(f"/api/v1/apps/{app_id}", json={"name": "after"})
        assert refusal(refused) == (503, "database_unavailable")
        assert operated.station.directory.get(app_id).name == "before"
        held.execute("ROLLBACK")
    finally:
        held.close()
    assert (await api.patch(f"/api/v1/apps/{app_id}", json={"name": "after"})).status_code == 200
    assert len(await entries(api, action="app.changed")) == 1


async def test_a_change_that_fails_leaves_no_entry(api: httpx.AsyncClient, refusal: Refusal) -> None:
    app_id = (await api.post("/api/v1/apps", json={})).json()["app"]["app_id"]
    assert refusal(await api.post("/api/v1/apps", json={"app_id": app_id})) == (409, "already_there")
    assert refusal(await api.delete(f"/api/v1/apps/{app_id}")) == (409, "app_enabled")
    assert len(await entries(api, target="app ")) == 1


async def test_the_file_holds_the_chain_that_was_shown(
    api: httpx.AsyncClient, operated: Any, tmp_path: Path
) -> None:
    await api.post("/api/v1/apps", json={"name": "one"})
    head = (await api.get("/api/v1/audit/head")).json()["head"]
    with sqlite3.connect(tmp_path / "data" / "sealcast.db") as file:
        rows = file.execute(
            "SELECT seq, at_ms, actor, address, action, target, detail, previous, hash"
            " FROM audit_entries ORDER BY seq"
        ).fetchall()
    file.close()
    verdict = verify_list(Entry(*row) for row in rows)
    assert verdict.broken is None
    assert verdict.head.hash.hex() == head["hash"]


async def test_without_a_database_there_is_no_log_to_show(operate: Any, lab: Lab, refusal: Refusal) -> None:
    api = await (await operate(lab.app(), database=False)).client()
    for path in ("/api/v1/audit", "/api/v1/audit/head"):
        assert refusal(await api.get(path)) == (409, "file_configured")
