"""A relay tells webhooks what happens in it, and is not hurt by them; nor by a database that is away."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from sealcast.protocol.controls import Join
from sealcast.server import tidings
from sealcast.server.config import Config, DatabaseConfig, HooksConfig, ServerConfig
from sealcast.server.hooks import service
from sealcast.server.hooks.event import Kind
from sealcast.server.station import Station
from sealcast.server.store.migrate import migrate
from sealcast.server.store.records import StoreDown
from sealcast.server.store.store import Store

from .conftest import APP, Receiver

if TYPE_CHECKING:
    from ..conftest import Lab

pytestmark = pytest.mark.timeout(30)
Run = Callable[..., contextlib.AbstractAsyncContextManager[Station]]


@pytest.fixture(autouse=True)
def _has_time_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_GRACE", 9.0)


@pytest_asyncio.fixture
async def database(database_url: str) -> str:
    store = Store(database_url, lambda: 0.0)
    await migrate(store.database)
    await store.close()
    return database_url


@pytest.fixture
def run(lab: Lab, database: str) -> Run:
    @contextlib.asynccontextmanager
    async def running(**server: Any) -> AsyncIterator[Station]:
        options = {
            "port": 0,
            "internal": False,
            "close": 0.2,
            "drain_spread": 0.0,
            "node": "node-1",
            **server,
        }
        config = Config(
            server=ServerConfig(heartbeat=3600.0, **options),
            database=DatabaseConfig(url=database),
            hooks=HooksConfig(private=True, insecure=True),
            apps=(lab.app(),),
        )
        station = Station(config, lab.clock)
        async with station.running():
            lab.relays.append(station)
            yield station

    return running


@pytest_asyncio.fixture
async def station(run: Run) -> AsyncIterator[Station]:
    async with run() as started:
        yield started


async def webhook(station: Station, receiver: Receiver, *kinds: Kind) -> None:
    assert station.store is not None
    assert station.hooks is not None
    await station.store.webhooks.create(
        APP, receiver.url, receiver.secret, kinds=[kind.value for kind in kinds], enabled=True, most=16
    )
    await station.hooks.refresh()


def said(receiver: Receiver, *names: str) -> list[tuple[Any, ...]]:
    return [(told["type"], *(told["data"].get(name) for name in names)) for told in receiver.told]


async def test_what_happens_to_a_channel_and_its_members_is_told(
    lab: Lab, station: Station, receiver: Receiver
) -> None:
    await webhook(station, receiver)
    ann = await lab.connect(station)
    room = await ann.join("standup", "ann")
    await receiver.requested(2)
    lab.later(12.5)
    await ann.ws.close()
    await receiver.requested(4)
    told = {each["type"]: each for each in receiver.told}
    assert {name: each["data"] | {"sequence": 0} for name, each in told.items()} == {
        "channel.created": {"sequence": 0, "channel": "standup"},
        "member.joined": {"sequence": 0, "channel": "standup", "user": "ann", "member": room.member},
        "member.left": {
            "sequence": 0,
            "channel": "standup",
            "user": "ann",
            "member": room.member,
            "reason": "left",
            "seconds": 12.55,
        },
        "channel.destroyed": {"sequence": 0, "channel": "standup", "seconds": 12.55},
    }
    assert {(each["app_id"], each["node"]) for each in told.values()} == {(APP, "node-1")}
    for before, after in (("channel.created", "channel.destroyed"), ("member.joined", "member.left")):
        assert told[before]["data"]["sequence"] < told[after]["data"]["sequence"]
        order = [each["type"] for each in receiver.told if each["type"] in (before, after)]
        assert order == [before, after]
    assert station.hooks is not None
    while station.hooks.delivered < 4:
        await lab.turn()
    assert (station.hooks.delivered, station.hooks.failed, station.hooks.lost) == (4, 0, 0)


async def test_a_webhook_is_told_what_it_asked_for_only(
    lab: Lab, station: Station, receiver: Receiver
) -> None:
    await webhook(station, receiver, Kind.MEMBER_LEFT)
    for user in ("ann", "bob"):
        client = await lab.connect(station)
        await client.join("standup", user)
        await client.ws.close()
    await receiver.requested(2)
    assert sorted(said(receiver, "user")) == [("member.left", "ann"), ("member.left", "bob")]


async def test_a_refused_token_is_told_with_the_address_but_not_as_often_as_somebody_likes(
    lab: Lab, station: Station, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidings, "REFUSALS", 3)
    await webhook(station, receiver)
    mallory = await lab.connect(station)
    for _ in range(5):
        await mallory.refused(Join(channel="standup", user="ann", token="007nonsense"))
    await receiver.requested(3)
    assert (
        said(receiver, "channel", "user", "address", "reason")
        == [("token.refused", "standup", "ann", "127.0.0.1", "invalid_token")] * 3
    )
    assert "007nonsense" not in str(receiver.told)
    assert station.hooks is not None
    assert station.hooks.withheld == 2


async def test_a_blocked_address_is_told_to_the_app_or_to_all(station: Station, receiver: Receiver) -> None:
    await webhook(station, receiver, Kind.ADDRESS_BLOCKED)
    station.witness.address_blocked("1" * 32, "192.0.2.1", "bad_tokens", 60.0)
    station.witness.address_blocked(APP, "192.0.2.2", "bad_tokens", 60.0)
    station.witness.address_blocked("", "192.0.2.3", "handshakes", 120.0)
    await receiver.requested(2)
    assert sorted(said(receiver, "address", "reason", "seconds")) == [
        ("address.blocked", "192.0.2.2", "bad_tokens", 60.0),
        ("address.blocked", "192.0.2.3", "handshakes", 120.0),
    ]


async def test_where_nobody_wants_to_know_nothing_is_written_down(lab: Lab, station: Station) -> None:
    ann = await lab.connect(station)
    await ann.join("standup", "ann")
    assert station.hooks is not None
    assert station.hooks.queued == 0


async def test_who_was_there_before_the_webhook_was_made_is_told_to_leave_all_the_same(
    lab: Lab, station: Station, receiver: Receiver
) -> None:
    ann = await lab.connect(station)
    await ann.join("standup", "ann")
    await webhook(station, receiver, Kind.MEMBER_LEFT)
    await ann.ws.close()
    await receiver.requested(1)
    assert said(receiver, "user", "reason") == [("member.left", "ann", "left")]


async def test_a_relay_that_is_stopped_says_who_had_to_leave_before_it_ends(
    lab: Lab, run: Run, receiver: Receiver
) -> None:
    async with run() as station:
        await webhook(station, receiver, Kind.MEMBER_LEFT)
        ann = await lab.connect(station)
        await ann.join("standup", "ann")
    assert said(receiver, "user", "reason", "reconciled") == [("member.left", "ann", "draining", None)]


async def test_what_could_not_be_delivered_is_delivered_after_the_next_start(
    lab: Lab, run: Run, receiver: Receiver
) -> None:
    receiver.answer = lambda event: (503, {})
    async with run() as station:
        await webhook(station, receiver, Kind.MEMBER_LEFT)
        ann = await lab.connect(station)
        await ann.join("standup", "ann")
        await ann.ws.close()
        await receiver.requested(1)
    assert not receiver.told
    receiver.answer = lambda event: (204, {})
    lab.later(600)
    async with run():
        await receiver.requested(2)
    assert said(receiver, "user", "reason") == [("member.left", "ann", "left")]


async def test_a_database_that_is_away_neither_hurts_the_members_nor_loses_an_event(
    lab: Lab, station: Station, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await webhook(station, receiver, Kind.MEMBER_JOINED)
    assert station.store is not None
    assert station.hooks is not None
    away = asyncio.Event()
    add = station.store.deliveries.add

    async def adding(*arguments: Any) -> int:
        if not away.is_set():
            tried.set()
            raise StoreDown("away")
        return await add(*arguments)

    tried = asyncio.Event()
    monkeypatch.setattr(station.store.deliveries, "add", adding)
    monkeypatch.setattr("sealcast.server.hooks.courier._PAUSE", 0.01)
    ann, bob = await lab.connect(station), await lab.connect(station)
    room = await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    await tried.wait()
    frame = await ann.frame(room)
    assert await bob.receive() == lab.Frame(room.number, room.member, frame)
    assert station.hooks.queued == 2
    away.set()
    await receiver.requested(2)
    assert sorted(said(receiver, "user")) == [("member.joined", "ann"), ("member.joined", "bob")]
    assert station.hooks.lost == 0


async def test_events_are_bounded_and_what_is_lost_is_counted(
    lab: Lab, station: Station, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await webhook(station, receiver)
    assert station.store is not None
    assert station.hooks is not None

    async def adding(*_: Any) -> int:
        raise StoreDown("away")

    with monkeypatch.context() as patch:
        patch.setattr(station.store.deliveries, "add", adding)
        patch.setattr("sealcast.server.hooks.courier.EVENTS_MOST", 4)
        ann = await lab.connect(station)
        for number in range(4):
            await ann.join(f"room-{number}", "ann")
        assert station.hooks.queued <= 4
        assert station.hooks.lost >= 1
