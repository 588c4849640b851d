"""Blocks by the API: who may, what is refused, and what holds at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from structlog.testing import capture_logs

from sealcast.server.store.records import BlockRecord

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operated

Refusal = Callable[[httpx.Response], tuple[int, str]]
HOME = "127.0.0.1"


async def test_a_block_holds_at_once_and_goes_before_the_list_of_the_free(lab: Lab, operate: Any) -> None:
    operated: Operated = await operate(lab.app())
    api = await operated.client()
    await lab.connect(operated.station)
    made = await api.post("/api/v1/blocks", json={"network": HOME, "seconds": 60, "reason": "a test"})
    assert made.status_code == 201
    now = lab.clock.wall()
    assert made.json() == {
        "network": HOME,
        "origin": "operator",
        "reason": "a test",
        "since": now,
        "until": now + 60,
    }
    wire = await lab.wire(operated.station, upgrade=False)
    assert await wire.rest() == b""
    lab.later(60)
    await lab.connect(operated.station)
    assert (await api.get("/api/v1/blocks")).json()["items"] == []


async def test_the_list_comes_in_pages(lab: Lab, operate: Any) -> None:
    operated: Operated = await operate(lab.app())
    api = await operated.client()
    names = [f"203.0.113.{number}" for number in range(10, 35)]
    for name in names:
        await api.post("/api/v1/blocks", json={"network": name})
    seen, cursor = [], ""
    while cursor is not None:
        page = (await api.get("/api/v1/blocks", params={"limit": 10, "cursor": cursor})).json()
        seen += [item["network"] for item in page["items"]]
        cursor = page["next"]
    assert seen == names


async def test_an_address_lifts_the_network_that_it_counts_as(lab: Lab, operate: Any) -> None:
    operated: Operated = await operate(lab.app())
    api, warden = await operated.client(), operated.station.hub.warden
    for _ in range(10):
        warden.offend("2001:db8::1", "invalid_token", lab.APP)
    (found,) = (await api.get("/api/v1/blocks")).json()["items"]
    assert found["network"] == "2001:db8::/64"
    assert (await api.delete("/api/v1/blocks/2001:db8::2")).status_code == 204
    assert not warden.standing("2001:db8::1").refusal


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"network": "relay.example"},
        {"network": "203.0.113.7/24"},
        {"network": "0.0.0.0/0"},
        {"network": "::/0"},
        {"network": "203.0.113.7", "seconds": 0},
        {"network": "203.0.113.7", "seconds": -1},
        {"network": "203.0.113.7", "seconds": 1e12},
        {"network": "203.0.113.7", "reason": "a\nb"},
        {"network": "203.0.113.7", "reason": "x" * 201},
        {"network": "203.0.113.7", "who": "me"},
        {"network": 7},
    ],
)
async def test_what_cannot_be_blocked_is_refused(
    api: httpx.AsyncClient, refusal: Refusal, body: dict[str, Any]
) -> None:
    assert refusal(await api.post("/api/v1/blocks", json=body)) == (422, "invalid")
    assert (await api.get("/api/v1/blocks")).json()["items"] == []


async def test_only_keys_for_blocks_may_and_none_of_a_single_app(
    lab: Lab, operated: Operated, api: httpx.AsyncClient, refusal: Refusal
) -> None:
    made = (await api.post("/api/v1/apps", json={"name": "a"})).json()["app"]["app_id"]
    asks = [("GET", "", None), ("POST", "", {"network": "203.0.113.7"}), ("DELETE", "/203.0.113.7", None)]
    for guest in (
        await operated.guest("apps:read", "bans:write"),
        await operated.guest("blocks:write", app_id=made),
    ):
        for method, path, body in asks:
            answer = await guest.request(method, f"/api/v1/blocks{path}", json=body)
            assert refusal(answer) == (403, "forbidden")
    guest = await operated.guest("blocks:write")
    assert (await guest.post("/api/v1/blocks", json={"network": "203.0.113.7"})).status_code == 201


async def test_what_is_not_there_cannot_be_lifted(lab: Lab, api: httpx.AsyncClient, refusal: Refusal) -> None:
    assert refusal(await api.delete("/api/v1/blocks/203.0.113.7")) == (404, "not_found")
    assert refusal(await api.delete("/api/v1/blocks/nonsense")) == (422, "invalid")


async def test_what_another_process_blocks_is_blocked_here_soon(lab: Lab, operated: Operated) -> None:
    station = operated.station
    assert station.store is not None
    warden = station.hub.warden
    await station.store.blocks.put(BlockRecord("203.0.113.0/24", "", 0.0, None, "another"))
    assert not warden.standing("203.0.113.7").refusal
    await station.load_blocks()
    assert warden.standing("203.0.113.7").refusal == "blocked"
    await station.store.blocks.delete("203.0.113.0/24")
    await station.load_blocks()
    assert not warden.standing("203.0.113.7").refusal


async def test_without_a_database_blocks_hold_until_the_end(lab: Lab, operate: Any) -> None:
    operated: Operated = await operate(lab.app(), database=False)
    api = await operated.client()
    assert (await api.post("/api/v1/blocks", json={"network": "203.0.113.7"})).status_code == 201
    assert operated.station.hub.warden.standing("203.0.113.7").refusal == "blocked"
    assert (await api.delete("/api/v1/blocks/203.0.113.7")).status_code == 204
    assert not operated.station.hub.warden.standing("203.0.113.7").refusal


async def test_blocks_are_audited(lab: Lab, operate: Any) -> None:
    operated: Operated = await operate(lab.app())
    api = await operated.client()
    with capture_logs() as lines:
        await api.post("/api/v1/blocks", json={"network": "203.0.113.7", "seconds": 5, "reason": "r"})
        await api.delete("/api/v1/blocks/203.0.113.7")
    created, lifted = [line for line in lines if line["event"] == "changed"]
    assert (created["action"], created["seconds"], created["reason"]) == ("block.created", 5.0, "r")
    assert lifted["action"] == "block.lifted"
    for line in (created, lifted):
        whose = (line["actor"], line["target"], line["address"])
        assert whose == ("configured key", "network 203.0.113.7", HOME)
