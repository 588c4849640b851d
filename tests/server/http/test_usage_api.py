"""What apps have used, of late and in total, and what the nodes are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sealcast.protocol.controls import Join
from sealcast.protocol.names import Kind
from sealcast.protocol.version import __version__

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operate, Operated

Refusal = Callable[[httpx.Response], tuple[int, str]]

APP, OTHER = "0123456789abcdef0123456789abcdef", "abcdef0123456789abcdef0123456789"


async def usage(api: httpx.AsyncClient, app_id: str = "") -> Any:
    answer = await api.get(f"/api/v1/apps/{app_id}/usage" if app_id else "/api/v1/usage")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
async def busy(lab: Lab, operate: Operate) -> Operated:
    started: Operated = await operate(lab.app(), lab.app(OTHER))
    return started


@pytest.fixture
async def api(busy: Operated) -> httpx.AsyncClient:
    return await busy.client()


async def test_usage_is_that_of_the_app_and_the_sum_of_all(
    lab: Lab, busy: Operated, api: httpx.AsyncClient
) -> None:
    ann, eve = await lab.connect(busy.station), await lab.connect(busy.station, OTHER)
    room, other = await ann.join("standup", "ann"), await eve.join("standup", "eve")
    await ann.join("second", "ann")
    for _ in range(4):
        await ann.frame(room, Kind.VIDEO)
    await ann.message(room)
    await eve.message(other)
    lab.later(50)
    one, two, both = await usage(api, APP), await usage(api, OTHER), await usage(api)
    assert (one["connections"], one["channels"], one["members"]) == (1, 2, 2)
    assert (both["connections"], both["channels"], both["members"]) == (2, 3, 3)
    assert (one["total"]["frames"], one["total"]["messages"]) == (4, 1)
    assert (two["total"]["frames"], two["total"]["messages"]) == (0, 1)
    assert (both["total"]["frames"], both["total"]["messages"]) == (4, 2)
    assert one["total"]["kinds"]["video"]["count"] == 4
    assert one["total"]["member_seconds"] == pytest.approx(100.1)
    assert both["total"]["member_seconds"] == pytest.approx(150.15)
    assert both["total"]["bytes"] == one["total"]["bytes"] + two["total"]["bytes"]
    assert one["total"]["bytes"] == sum(each["bytes"] for each in one["total"]["kinds"].values())
    assert one["since"] == pytest.approx(lab.clock.wall() - 50.05)


async def test_windows_hold_what_came_of_late_and_totals_everything(
    lab: Lab, busy: Operated, api: httpx.AsyncClient
) -> None:
    ann = await lab.connect(busy.station)
    room = await ann.join("standup", "ann", ttl=80_000)

    async def send(count: int) -> None:
        for _ in range(count):
            await ann.frame(room)
        await ann.settle()

    def minutes(count: int) -> None:
        for _ in range(count * 6):
            lab.later(10)

    async def counts() -> tuple[int, int, int]:
        shown = await usage(api, APP)
        everything = await usage(api)
        names = ("total", "last_5_minutes", "last_hour")
        assert [shown[name]["frames"] for name in names] == [everything[name]["frames"] for name in names]
        assert 300 <= shown["last_5_minutes"]["seconds"] <= 325 or shown["total"]["frames"] == 1
        assert shown["last_hour"]["seconds"] <= 3750
        return tuple(shown[name]["frames"] for name in names)  # type: ignore[return-value]

    await send(1)
    assert await counts() == (1, 1, 1)
    minutes(10)
    await send(10)
    minutes(2)
    assert await counts() == (11, 10, 11)
    minutes(40)
    await send(100)
    assert await counts() == (111, 100, 111)
    minutes(15)
    assert await counts() == (111, 0, 110)
    minutes(70)
    assert await counts() == (111, 0, 0)
    hour = (await usage(api, APP))["last_hour"]
    assert hour["member_seconds"] == pytest.approx(hour["seconds"])
    assert hour["encrypted"] is None


async def test_channels_that_are_over_and_apps_that_are_deleted_still_count(
    lab: Lab, operated: Operated
) -> None:
    api = await operated.client()
    made = {"app_id": APP, "certificate": "fedcba9876543210fedcba9876543210"}
    await api.post("/api/v1/apps", json=made)
    ann = await lab.connect(operated.station)
    room = await ann.join("standup", "ann")
    await ann.frame(room)
    await ann.settle()
    lab.later(20)
    await api.post(f"/api/v1/apps/{APP}/disable")
    assert (await ann.ended())[1] == "app_disabled"
    shown = await usage(api, APP)
    assert (shown["channels"], shown["total"]["frames"]) == (0, 1)
    assert shown["total"]["member_seconds"] == pytest.approx(20.05)
    await api.delete(f"/api/v1/apps/{APP}")
    assert (await usage(api))["total"]["frames"] == 1
    assert (await usage(api))["members"] == 0


async def test_refusals_are_counted_at_the_app_by_name(
    lab: Lab, busy: Operated, api: httpx.AsyncClient
) -> None:
    ann = await lab.connect(busy.station)
    await ann.refused(Join(channel="standup", user="ann", token="nonsense"))
    room = await ann.join("standup", "ann")
    for _ in range(2):
        await ann.ws.send(room.frame(version=2))
    await ann.settle()
    assert (await usage(api, APP))["total"]["refused"] == {"encryption_required": 2, "invalid_token": 1}
    assert (await usage(api, OTHER))["total"]["refused"] == {}
    assert (await usage(api))["last_hour"]["refused"] == {"encryption_required": 2, "invalid_token": 1}


async def test_many_members_are_looked_at_a_few_at_a_time(
    lab: Lab, busy: Operated, api: httpx.AsyncClient
) -> None:
    clients = [await lab.connect(busy.station) for _ in range(10)]
    for place, client in enumerate(clients):
        for number in range(32):
            await client.join(f"room {number} {place}", f"ann {place}")
    lab.later(10)
    for _ in range(3):
        lab.later(0.05)
    shown = await usage(api, APP)
    assert (shown["channels"], shown["members"]) == (320, 320)
    assert shown["total"]["member_seconds"] == pytest.approx(320 * (lab.clock.now - 5_000.0), rel=0.01)


async def test_turns_are_told_as_upper_bounds(lab: Lab, busy: Operated, api: httpx.AsyncClient) -> None:
    turns = (await usage(api))["turns"]
    assert set(turns) == {"total", "last_5_minutes", "last_hour"}
    metrics = busy.station.metrics
    for seconds in [0.0004] * 97 + [0.3] * 3:
        metrics.turn_waits.note(seconds)
    metrics.turn_work.note(0.004)
    turns = (await usage(api))["turns"]["total"]
    assert (turns["wait_p50"], turns["wait_p99"]) == (0.0005, 0.3)
    assert turns["work_p50"] == turns["work_p99"] == 0.004
    for _ in range(60):
        lab.later(10)
    turns = (await usage(api))["turns"]
    assert turns["last_5_minutes"]["wait_p99"] is None
    assert turns["last_hour"]["wait_p99"] == 0.3


async def test_this_node_is_listed(lab: Lab, operate: Operate, refusal: Refusal) -> None:
    operated = await operate(lab.app(), node="relay-1")
    api = await operated.client()
    await (await lab.connect(operated.station)).join("standup", "ann")
    lab.later(30)
    answer = (await api.get("/api/v1/nodes")).json()
    assert answer["next"] is None
    (node,) = answer["items"]
    assert node["loop"] in ("uvloop", "asyncio")
    assert node["uptime"] == pytest.approx(30.05)
    assert node["started"] == pytest.approx(lab.clock.wall() - 30.05)
    shown = {name: node[name] for name in ("node", "version", "connections", "apps", "channels", "members")}
    assert shown == {
        "node": "relay-1",
        "version": __version__,
        "connections": 1,
        "apps": 1,
        "channels": 1,
        "members": 1,
    }
    assert node["draining"] is False
    operated.station.hub.draining = True
    assert (await api.get("/api/v1/nodes")).json()["items"][0]["draining"] is True
