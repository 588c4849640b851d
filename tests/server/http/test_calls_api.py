"""Records of sessions by the API: who was where, when and from where; and everything about one user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sealcast.protocol.controls import Join
from sealcast.server.store.calls import CallsAsked
from sealcast.server.store.database import Database
from sealcast.server.store.migrate import migrate
from sealcast.server.store.records import StoreDown
from sealcast.server.store.store import Store

if TYPE_CHECKING:
    from ..conftest import Lab

Refusal = Callable[[httpx.Response], tuple[int, str]]


async def calls(api: httpx.AsyncClient, app_id: str, **asked: Any) -> list[dict[str, Any]]:
    answer = await api.get(f"/api/v1/apps/{app_id}/calls", params=asked)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def members(api: httpx.AsyncClient, call: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await api.get(f"/api/v1/apps/{call['app_id']}/calls/{call['call_id']}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["members"]
    return found


async def gone(station: Any, but: int = 0) -> None:
    """Wait until nobody is connected any more, but so many."""
    while sum(app.connections for app in station.hub.apps()) > but:
        await asyncio.sleep(0)


async def test_a_call_is_recorded_from_its_begin_to_its_end(operate: Any, lab: Lab) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    begun = lab.clock.wall()
    ann = await lab.connect(operated.station, user_agent_header="Probe/1 (X11; Linux x86_64)")
    bob = await lab.connect(operated.station)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    frame = await ann.frame(room)
    (call,) = await calls(api, lab.APP)
    assert (call["channel"], call["closed"], call["memberships"], call["peak"]) == ("standup", None, 2, 2)
    assert call["opened"] == begun
    assert call["node"] == operated.station.config.server.node
    assert [each["left"] for each in await members(api, call)] == [None, None]
    lab.later(60)
    await ann.ws.close()
    await bob.settle()
    bob.ws.transport.abort()
    await gone(operated.station)
    (call,) = await calls(api, lab.APP)
    assert (call["reason"], call["closed"]) == ("over", lab.clock.wall())
    first, second = sorted(await members(api, call), key=lambda each: str(each["user"]))
    assert (first["user"], first["reason"], first["left"]) == ("ann", "left", lab.clock.wall())
    assert (first["address"], first["system"]) == ("127.0.0.1", "Linux")
    assert first["agent"] == "Probe/1 (X11; Linux x86_64)"
    assert (first["frames_in"], first["bytes_in"]) == (1, 12 + len(frame))  # with its envelope
    assert (second["user"], second["reason"], second["frames_in"]) == ("bob", "connection_lost", 0)


async def test_calls_are_found_by_who_was_in_them_from_where_and_when(operate: Any, lab: Lab) -> None:
    operated = await operate(lab.app(), lab.app(lab.OTHER_APP))
    api = await operated.client()
    await (await lab.connect(operated.station)).join("one", "ann")
    lab.later(10)
    between = lab.clock.wall()
    bob = await lab.connect(operated.station)
    other = await lab.connect(operated.station, lab.OTHER_APP)
    await bob.join("two", "bob")
    await other.join("one", "ann")
    for asked, found in (
        ({}, ["two", "one"]),
        ({"channel": "one"}, ["one"]),
        ({"user": "bob"}, ["two"]),
        ({"user": "b"}, []),
        ({"address": "127.0.0.1"}, ["two", "one"]),
        ({"address": "127.0.0.2"}, []),
        ({"to": between}, ["one"]),
        ({"from": between}, ["two", "one"]),
    ):
        assert [each["channel"] for each in await calls(api, lab.APP, **asked)] == found, asked
    first = (await api.get(f"/api/v1/apps/{lab.APP}/calls", params={"limit": 1})).json()
    rest = await calls(api, lab.APP, limit=1, cursor=first["next"])
    assert [each["channel"] for each in (*first["items"], *rest)] == ["two", "one"]
    (call,) = await calls(api, lab.OTHER_APP)
    assert len(await members(api, call)) == 1
    hidden = await api.get(f"/api/v1/apps/{lab.APP}/calls/{call['call_id']}")
    assert hidden.status_code == 404


async def test_memberships_come_in_pages(operate: Any, lab: Lab) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    for number in range(3):
        await (await lab.connect(operated.station)).join("standup", f"user{number}")
        lab.later(1)
    (call,) = await calls(api, lab.APP)
    path = f"/api/v1/apps/{lab.APP}/calls/{call['call_id']}"
    first = (await api.get(path, params={"limit": 2})).json()
    rest = (await api.get(path, params={"limit": 2, "cursor": first["next"]})).json()
    assert [each["user"] for each in (*first["members"], *rest["members"])] == ["user0", "user1", "user2"]
    assert rest["next"] is None


async def test_what_cannot_be_looked_for_is_refused(operate: Any, lab: Lab, refusal: Refusal) -> None:
    api = await (await operate(lab.app())).client()
    path = f"/api/v1/apps/{lab.APP}/calls"
    for asked in (
        {"address": "nonsense"},
        {"user": "*"},
        {"channel": "a\0b"},
        {"from": "soon"},
        {"cursor": "eA"},
    ):
        assert refusal(await api.get(path, params=asked)) == (422, "invalid"), asked
    assert refusal(await api.get(f"{path}/{'f' * 24}")) == (404, "not_found")


async def test_who_may_see_them(operate: Any, lab: Lab, refusal: Refusal) -> None:
    operated = await operate(lab.app())
    await (await operated.client()).post("/api/v1/apps", json={"app_id": "a" * 32})
    own = await operated.guest("sessions:read", "users:write", app_id="a" * 32)
    poor = await operated.guest("apps:read", "sessions:read")
    for method, path, client, status in (
        ("GET", f"/api/v1/apps/{lab.APP}/calls", await operated.client(""), 401),
        ("GET", f"/api/v1/apps/{lab.APP}/calls", await operated.guest("apps:read"), 403),
        ("GET", f"/api/v1/apps/{lab.APP}/calls", own, 404),
        ("GET", f"/api/v1/apps/{lab.APP}/calls/{'f' * 24}", own, 404),
        ("GET", f"/api/v1/apps/{lab.APP}/records?user=ann", own, 404),
        ("DELETE", f"/api/v1/apps/{lab.APP}/records?user=ann", own, 404),
        ("DELETE", f"/api/v1/apps/{lab.APP}/records?user=ann", poor, 403),
        ("GET", f"/api/v1/apps/{'a' * 32}/calls", own, 200),
        ("DELETE", f"/api/v1/apps/{'a' * 32}/records?user=ann", own, 200),
    ):
        answer = await client.request(method, path)
        assert answer.status_code == status, (method, path)
        if status != 200:
            refusal(answer)


@pytest.mark.parametrize(("addresses", "kept"), [("cut", "127.0.0.0/24"), ("none", "")])
async def test_of_an_address_no_more_is_kept_than_the_options_say(
    operate: Any, lab: Lab, addresses: str, kept: str
) -> None:
    operated = await operate(lab.app(), records={"addresses": addresses})
    api = await operated.client()
    await (await lab.connect(operated.station)).join("standup", "ann")
    (call,) = await calls(api, lab.APP)
    assert [each["address"] for each in await members(api, call)] == [kept]
    assert len(await calls(api, lab.APP, address="127.0.0.1")) == (addresses == "cut")


async def test_sessions_need_not_be_recorded(operate: Any, lab: Lab) -> None:
    operated = await operate(lab.app(), records={"sessions": False})
    await (await lab.connect(operated.station)).join("standup", "ann")
    assert await calls(await operated.client(), lab.APP) == []


async def test_what_a_crash_left_open_is_ended_at_the_next_start(
    operate: Any, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    operated = await operate(lab.app(), node="one")
    api = await operated.client()
    await (await lab.connect(operated.station)).join("standup", "ann")
    assert (await calls(api, lab.APP))[0]["closed"] is None
    alive = lab.clock.wall()
    lab.later(500)
    again = await operate(lab.app(), node="one")  # while the first one counts as gone
    (call,) = await calls(await again.client(), lab.APP)
    assert (call["closed"], call["reason"]) == (alive, "node_lost")
    (ann,) = await members(await again.client(), call)
    assert (ann["left"], ann["reason"]) == (alive, "node_lost")


async def test_a_database_that_is_away_costs_members_nothing_and_records_wait(
    operate: Any, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    repository = type(operated.station.store.calls)
    original = repository.write

    async def fail(*_: Any) -> None:
        raise StoreDown("the database does not answer in time")

    monkeypatch.setattr(repository, "write", fail)
    ann = await lab.connect(operated.station)
    await ann.join("standup", "ann")
    refused = await api.get(f"/api/v1/apps/{lab.APP}/calls")
    assert (refused.status_code, refused.json()["name"]) == (503, "database_unavailable")
    await ann.settle()
    monkeypatch.setattr(repository, "write", original)
    (call,) = await calls(api, lab.APP)
    assert [each["user"] for each in await members(api, call)] == ["ann"]


async def test_records_are_written_without_anybody_asking(
    operate: Any, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealcast.server.recording.recorder._WRITE_EVERY", 0.005)
    operated = await operate(lab.app())
    repository = operated.station.store.calls
    original, failures = repository.write, 2

    async def failing(*records: Any) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreDown("the database does not answer in time")
        await original(*records)

    monkeypatch.setattr(repository, "write", failing)
    await (await lab.connect(operated.station)).join("standup", "ann")
    found: list[Any] = []
    while not found:
        await asyncio.sleep(0)
        found = await repository.page(lab.APP, CallsAsked(user="ann"))
    assert failures == 0


async def test_a_relay_that_goes_down_in_order_leaves_nothing_open(
    operate: Any, lab: Lab, tmp_path: Path
) -> None:
    operated = await operate(lab.app())
    await (await lab.connect(operated.station)).join("standup", "ann")
    await operated.station.stop()
    store = Store(f"sqlite:///{tmp_path}/data/sealcast.db", lab.clock.wall)
    try:
        (call,) = await store.calls.page(lab.APP, CallsAsked())
        (ann,) = await store.calls.members(call.call_id)
        assert (call.reason, ann.reason) == ("over", "draining")
        assert await store.calls.reconcile("another", "node", lab.clock.wall() + 1) == 0
    finally:
        await store.close()


async def test_what_is_too_old_is_deleted_at_the_start(operate: Any, lab: Lab) -> None:
    first = await operate(lab.app(), records={"keep_sessions": 3600})
    client = await lab.connect(first.station)
    await client.join("standup", "ann")
    await client.ws.close()
    await gone(first.station)
    assert len(await calls(await first.client(), lab.APP)) == 1
    lab.later(3700)
    again = await operate(lab.app(), records={"keep_sessions": 3600})
    api = await again.client()
    while await calls(api, lab.APP):
        await asyncio.sleep(0)
    said: list[Any] = []
    while not said:
        said = (await api.get("/api/v1/audit", params={"action": "retention.purged"})).json()["items"]
    assert (said[0]["actor"], said[0]["detail"]["sessions"], said[0]["detail"]["calls"]) == ("relay", 1, 1)


# --- one user ---


async def test_one_users_records_are_handed_out_and_deleted(operate: Any, lab: Lab) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    odd = "ann/../?user=bob&#"
    for channel in ("one", "two"):
        client = await lab.connect(operated.station)
        await client.join(channel, odd)
        await client.ws.close()
    bob = await lab.connect(operated.station)
    await bob.join("one", "bob")
    await gone(operated.station, but=1)
    path = f"/api/v1/apps/{lab.APP}/records"
    first = (await api.get(path, params={"user": odd, "limit": 1})).json()
    rest = (await api.get(path, params={"user": odd, "cursor": first["next"]})).json()
    found = [*first["items"], *rest["items"]]
    assert {each["fields"]["channel"] for each in found} == {"one", "two"}
    assert {each["kind"] for each in found} == {"session"}
    assert {each["fields"]["address"] for each in found} == {"127.0.0.1"}
    deleted = await api.delete(path, params={"user": odd})
    none = {"ban": 0, "revocation": 0, "webhook_open": 0, "webhook_delivery": 0}
    assert deleted.json() == {"deleted": {"session": 2, **none}, "kept": {}, "more": False}
    assert (await api.get(path, params={"user": odd})).json()["items"] == []
    assert len((await api.get(path, params={"user": "bob"})).json()["items"]) == 1
    log = (await api.get("/api/v1/audit", params={"target": f"app {lab.APP}"})).json()["items"]
    assert [each["action"] for each in log] == ["user.exported"] * 2 + ["user.deleted", "user.exported"]
    assert log[2]["detail"] == {"records": {"session": 2, **none}, "kept": {}}
    assert "ann" not in str(log)


async def test_who_is_there_while_the_records_are_deleted_stays_and_leaves_none(
    operate: Any, lab: Lab
) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    ann, bob = await lab.connect(operated.station), await lab.connect(operated.station)
    await ann.join("standup", "ann")
    room = await bob.join("standup", "bob")
    path = f"/api/v1/apps/{lab.APP}/records"
    assert (await api.delete(path, params={"user": "ann"})).json()["deleted"]["session"] == 1
    frame = await bob.frame(room)
    assert await ann.until(lambda item: isinstance(item, lab.Frame)) == lab.Frame(
        room.number, room.member, frame
    )
    await ann.ws.close()
    await gone(operated.station, but=1)
    assert (await api.get(path, params={"user": "ann"})).json()["items"] == []
    (call,) = await calls(api, lab.APP)
    assert [each["user"] for each in await members(api, call)] == ["bob"]


async def test_a_user_has_to_be_named(operate: Any, lab: Lab, refusal: Refusal) -> None:
    api = await (await operate(lab.app())).client()
    for asked in ({}, {"user": ""}, {"user": "*"}, {"user": "é"}, {"user": "x" * 256}):
        for method in ("GET", "DELETE"):
            answer = await api.request(method, f"/api/v1/apps/{lab.APP}/records", params=asked)
            assert refusal(answer) == (422, "invalid"), asked


async def test_it_is_the_same_on_every_database(operate: Any, lab: Lab, database_url: str) -> None:
    database = Database(database_url)
    await database.open()
    await migrate(database)
    await database.close()
    operated = await operate(lab.app(), url=database_url)
    api = await operated.client()
    ann = await lab.connect(operated.station)
    await ann.join("standup", "ann")
    (call,) = await calls(api, lab.APP, user="ann", address="127.0.0.1", **{"from": lab.clock.wall()})
    assert [each["left"] for each in await members(api, call)] == [None]
    await ann.ws.close()
    await gone(operated.station)
    assert [each["reason"] for each in await members(api, call)] == ["left"]
    path = f"/api/v1/apps/{lab.APP}/records"
    assert len((await api.get(path, params={"user": "ann"})).json()["items"]) == 1
    assert (await api.delete(path, params={"user": "ann"})).json()["deleted"]["session"] == 1
    assert await members(api, call) == []
    made = await api.post("/api/v1/apps", json={"name": "Teams"})
    app_id = made.json()["app"]["app_id"]
    assert (await api.post("/api/v1/apps", json={"app_id": app_id})).status_code == 409
    assert (await api.post(f"/api/v1/apps/{app_id}/certificates")).status_code == 201
    assert (await api.post(f"/api/v1/apps/{app_id}/certificates/swap")).status_code == 200
    log = (await api.get("/api/v1/audit")).json()["items"]
    assert [each["action"] for each in log][:3] == [
        "certificates.swapped",
        "certificate.added",
        "app.created",
    ]
    assert (await operated.station.store.audit.verify()).broken is None


async def test_a_banned_user_whose_records_are_deleted_stays_banned(operate: Any, lab: Lab) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    bans = f"/api/v1/apps/{lab.APP}/bans"
    assert (await api.post(bans, json={"user": "ann"})).status_code == 201
    hook = {"url": "https://receiver.example/hook"}
    assert (await api.post(f"/api/v1/apps/{lab.APP}/webhooks", json=hook)).status_code == 201
    path, asked = f"/api/v1/apps/{lab.APP}/records", {"user": "ann"}
    answer = (await api.delete(path, params=asked)).json()
    assert (answer["deleted"]["ban"], answer["kept"]) == (0, {"ban": 1})
    client = await lab.connect(operated.station)
    join = Join(channel="standup", user="ann", token=lab.token("standup", "ann"))
    assert (await client.refused(join)).name == "banned"
    ban_id = (await api.get(bans)).json()["items"][0]["ban_id"]
    assert (await api.delete(f"{bans}/{ban_id}")).status_code == 204
    again = (await api.delete(path, params=asked)).json()
    assert (again["deleted"]["ban"], again["kept"]) == (1, {})
    assert (await api.get(path, params=asked)).json()["items"] == []
    # What is told after that is about a membership that begins after that.
    await (await lab.connect(operated.station)).join("standup", "ann")
    kinds = {each["kind"] for each in (await api.get(path, params=asked)).json()["items"]}
    assert {"session", "webhook_open", "webhook_delivery"} <= kinds
