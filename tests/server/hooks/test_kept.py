"""Deliveries in a database: several processes on one, what is open there, and the bounds of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from sealcast.server.config import HooksConfig
from sealcast.server.hooks.courier import Courier
from sealcast.server.hooks.event import Event, Kind
from sealcast.server.hooks.kept import KeptOutbox
from sealcast.server.hooks.outbox import LEASE
from sealcast.server.hooks.service import Hooks
from sealcast.server.store.deliveries import OVERFULL
from sealcast.server.store.hook_records import WebhookRecord
from sealcast.server.store.migrate import migrate
from sealcast.server.store.records import Missing, StoreDown, WrongState
from sealcast.server.store.store import Store

from .conftest import APP, happened

NOW = 1_800_000_500.0
CREATED, DESTROYED = Kind.CHANNEL_CREATED, Kind.CHANNEL_DESTROYED
JOINED, LEFT = Kind.MEMBER_JOINED, Kind.MEMBER_LEFT


class Time:
    """Unix time, moved by the test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _nothing_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Courier, "start", lambda self: None)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest_asyncio.fixture
async def store(database_url: str, time: Time) -> AsyncIterator[Store]:
    store = Store(database_url, time)
    await migrate(store.database)
    yield store
    await store.close()


@pytest_asyncio.fixture
async def webhook(store: Store) -> WebhookRecord:
    return await made(store)


async def made(store: Store, app_id: str = APP, **more: object) -> WebhookRecord:
    options = {"kinds": [], "enabled": True, "most": 16, **more}
    url = "https://backend.example/hook?token=s3cret"
    return await store.webhooks.create(app_id, url, "whsec_c2VjcmV0", **options)  # type: ignore[arg-type]


def hooks(store: Store, time: Time, node: str = "node-1", *, alone: bool = False) -> Hooks:
    return Hooks(store.webhooks, store.deliveries, HooksConfig(), node, alone=alone, wall=time)


async def told(store: Store) -> list[Event]:
    """Take everything that would be delivered, in the order in which it would be."""
    outbox = KeptOutbox(store.deliveries, "reader")
    events = []
    while claimed := await outbox.turn(NOW + 1e6, 100, {}):
        for delivery in claimed:
            events.append(delivery.event)
            await outbox.delivered([delivery])
    return events


async def test_two_processes_never_take_the_same_delivery(store: Store, webhook: WebhookRecord) -> None:
    outboxes = [KeptOutbox(store.deliveries, f"node-{number}") for number in range(4)]
    await outboxes[0].add([happened(number, f"user-{number % 30}") for number in range(90)])
    taken: list[int] = []

    async def work(outbox: KeptOutbox) -> None:
        while await outbox.waiting():
            for delivery in await outbox.turn(NOW, 5, {}):
                taken.append(delivery.id)
                await asyncio.sleep(0)
                await outbox.delivered([delivery])

    await asyncio.gather(*map(work, outboxes))
    assert len(taken) == len(set(taken)) == 90


async def test_who_was_too_slow_does_not_spoil_the_claim_of_another(
    store: Store, webhook: WebhookRecord
) -> None:
    slow, quick = (KeptOutbox(store.deliveries, name) for name in ("slow", "quick"))
    await slow.add([happened(1)])
    (first,) = await slow.turn(NOW, 1, {})
    (again,) = await quick.turn(NOW + LEASE, 1, {})
    await slow.failed(first, "too late", NOW + 9000, NOW + LEASE)
    assert not await slow.turn(NOW + LEASE, 1, {})
    await quick.failed(again, "503", NOW + 100, NOW + LEASE)
    (third,) = await slow.turn(NOW + 2 * LEASE, 1, {})
    assert (third.failures, third.answer) == (1, "503")


async def test_the_same_events_written_down_twice_are_there_once(
    store: Store, webhook: WebhookRecord
) -> None:
    outbox = KeptOutbox(store.deliveries, "node-1")
    joined = happened(1, kind=JOINED)
    left = happened(2, kind=LEFT, closes=joined.id)
    assert await outbox.add([joined]) == 1
    assert await outbox.add([joined, left]) == 1
    assert await outbox.add([left]) == 0
    assert [event.id for event in await told(store)] == [joined.id, left.id]


async def test_what_was_open_at_a_crash_is_ended_at_the_start_once_and_in_order(
    store: Store, webhook: WebhookRecord, time: Time
) -> None:
    before = hooks(store, time)
    await before.start()
    outbox = KeptOutbox(store.deliveries, "node-1")
    channel = happened(1, user="", kind=CREATED)
    ann, bob = happened(2, "ann", member=1), happened(3, "bob", member=2)
    gone = happened(4, "bob", LEFT, closes=bob.id, reason="left")
    await outbox.add([channel, ann, bob, gone])
    time.now += 20
    await before.keep_house()
    await before.close()

    time.now += 1000
    for _ in range(2):
        after = hooks(store, time)
        await after.start()
        await after.close()
    events = await told(store)
    assert [(e.kind, e.user, e.reason) for e in events if e.reconciled] == [
        (LEFT, "ann", "connection_lost"),
        (DESTROYED, "", ""),
    ]
    left = next(e for e in events if e.reconciled)
    assert (left.member, left.channel, left.node) == (1, "room", "node-1")
    assert left.at == NOW + 20, "when it was known to be there last"
    assert left.seconds == pytest.approx(NOW + 20 - ann.at)
    assert left.sequence > max(event.sequence for event in (channel, ann, bob, gone))


async def test_what_is_open_elsewhere_is_left_alone_until_that_process_is_silent_for_long(
    store: Store, webhook: WebhookRecord, time: Time
) -> None:
    other, mine = hooks(store, time, "other"), hooks(store, time)
    await other.start()
    await mine.start()
    joined = happened(2, "ann")
    await KeptOutbox(store.deliveries, "other").add([joined])
    time.now += 200
    await mine.keep_house()
    assert [event.kind for event in await told(store)] == [JOINED]
    time.now += 200
    await mine.keep_house()
    await mine.keep_house()
    assert [(event.kind, event.user) for event in await told(store)] == [(LEFT, "ann")]
    assert [record.node for record in await store.deliveries.nodes()] == ["node-1"]
    # It was only cut off, and now tells the end itself: that was told.
    late = happened(9, "ann", LEFT, closes=joined.id)
    assert await KeptOutbox(store.deliveries, "other").add([late]) == 0
    await other.close()
    await mine.close()


async def test_a_relay_alone_on_its_database_ends_what_it_left_under_any_name(
    store: Store, webhook: WebhookRecord, time: Time
) -> None:
    await KeptOutbox(store.deliveries, "f00d").add([happened(1, "ann")])
    again = hooks(store, time, "beef", alone=True)
    await again.start()
    await again.close()
    assert [event.kind for event in await told(store)] == [JOINED, LEFT]


async def test_many_things_end_at_once(store: Store, webhook: WebhookRecord, time: Time) -> None:
    outbox = KeptOutbox(store.deliveries, "node-1")
    await outbox.add([happened(number, f"user-{number}") for number in range(1200)])
    again = hooks(store, time)
    await again.start()
    assert await outbox.waiting() == 2400
    await again.close()


async def test_the_sequence_grows_over_restarts_also_when_the_clock_is_set_back(
    store: Store, time: Time
) -> None:
    before = hooks(store, time)
    await before.start()
    numbers = [before.sequence.next() for _ in range(3)]
    assert numbers == [int(NOW * 1000), int(NOW * 1000) + 1, int(NOW * 1000) + 2]
    await before.close()
    time.now -= 3600
    after = hooks(store, time, "another-node")
    await after.start()
    assert after.sequence.next() > numbers[-1]
    await after.close()


async def test_what_was_given_up_is_kept_for_a_while_and_can_be_listed_revived_and_deleted(
    store: Store, webhook: WebhookRecord, time: Time
) -> None:
    outbox = KeptOutbox(store.deliveries, "node-1")
    await outbox.add([happened(number, f"user-{number}") for number in range(4)])
    for delivery in await outbox.turn(NOW, 10, {}):
        await outbox.failed(delivery, "410", None, NOW)
    ids = (APP, webhook.webhook_id)
    dead = await store.webhooks.dead(*ids, limit=3)
    assert [(each.event["sequence"], each.answer, each.died) for each in dead] == [
        (3, "410", NOW),
        (2, "410", NOW),
        (1, "410", NOW),
    ]
    rest = await store.webhooks.dead(*ids, before=dead[-1].delivery_id)
    assert [each.event["sequence"] for each in rest] == [0]
    assert (await store.webhooks.counts([webhook.webhook_id]))[webhook.webhook_id].dead == 4

    assert await store.webhooks.revive(*ids, dead[0].delivery_id) == 1
    with pytest.raises(Missing):
        await store.webhooks.revive(*ids, dead[0].delivery_id)
    (again,) = await outbox.turn(NOW, 10, {})
    assert (again.event.sequence, again.failures, again.since) == (3, 0, NOW)
    await store.webhooks.forget(*ids, dead[1].delivery_id)
    with pytest.raises(Missing):
        await store.webhooks.forget(*ids, dead[1].delivery_id)
    with pytest.raises(Missing):
        await store.webhooks.forget(*ids, again.id)
    assert await store.webhooks.revive(*ids) == 2

    for delivery in await outbox.turn(NOW, 10, {}):
        await outbox.failed(delivery, "500", None, NOW)
    await store.deliveries.tidy(NOW + 100, keep=101, most=100)
    assert len(await store.webhooks.dead(*ids)) == 2
    await store.deliveries.tidy(NOW + 102, keep=101, most=100)
    assert not await store.webhooks.dead(*ids)
    assert await outbox.waiting() == 1, "what waits is not purged"


async def test_over_the_bound_the_oldest_are_given_up_and_at_last_deleted(
    store: Store, webhook: WebhookRecord
) -> None:
    outbox = KeptOutbox(store.deliveries, "node-1")
    await outbox.add([happened(number, f"user-{number}") for number in range(10)])
    assert await store.deliveries.tidy(NOW, keep=1000, most=4) == 6
    dead = await store.webhooks.dead(APP, webhook.webhook_id)
    assert [each.event["sequence"] for each in dead] == [5, 4, 3, 2, 1, 0]
    assert {each.answer for each in dead} == {OVERFULL}
    assert await store.deliveries.tidy(NOW, keep=1000, most=4) == 0
    dead = await store.webhooks.dead(APP, webhook.webhook_id)
    assert [each.event["sequence"] for each in dead] == [5, 4, 3, 2]
    assert await outbox.waiting() == 4


async def test_a_disabled_webhook_is_told_nothing_and_what_waits_waits_on(
    store: Store, webhook: WebhookRecord
) -> None:
    outbox = KeptOutbox(store.deliveries, "node-1")
    await outbox.add([happened(1)])
    await store.webhooks.update(APP, webhook.webhook_id, enabled=False)
    assert await outbox.add([happened(2)]) == 0
    assert not await outbox.turn(NOW, 10, {})
    await store.webhooks.update(APP, webhook.webhook_id, enabled=True)
    assert [each.event.sequence for each in await outbox.turn(NOW, 10, {})] == [1]


async def test_deliveries_are_signed_with_the_old_secret_too_until_its_time_is_over(
    store: Store, webhook: WebhookRecord
) -> None:
    await store.webhooks.rotate(APP, webhook.webhook_id, "whsec_bmV3", overlap=100)
    outbox = KeptOutbox(store.deliveries, "node-1")
    await outbox.add([happened(1)])
    (first,) = await outbox.turn(NOW + 99, 1, {})
    assert first.endpoint.secrets == ("whsec_bmV3", "whsec_c2VjcmV0")
    await outbox.release()
    (second,) = await outbox.turn(NOW + 100, 1, {})
    assert second.endpoint.secrets == ("whsec_bmV3",)


async def test_an_app_has_so_many_webhooks_and_they_go_with_it(store: Store, webhook: WebhookRecord) -> None:
    with pytest.raises(WrongState, match="1 webhooks"):
        await made(store, most=1)
    await store.apps.create(APP, "0f" * 16, name="", enabled=False, settings={})
    outbox = KeptOutbox(store.deliveries, "node-1")
    await outbox.add([happened(1)])
    await store.apps.delete(APP)
    assert not await store.webhooks.page(APP)
    assert await outbox.waiting() == 0


async def test_an_app_is_shown_its_own_webhooks_only(store: Store, webhook: WebhookRecord) -> None:
    other = await made(store, "1" * 32)
    assert await store.webhooks.page(APP) == [webhook]
    for call in (store.webhooks.get, store.webhooks.dead, store.webhooks.revive, store.webhooks.delete):
        with pytest.raises(Missing):
            await call(APP, other.webhook_id)  # type: ignore[operator]
    assert await store.webhooks.get("1" * 32, other.webhook_id) == other


def test_a_record_shows_neither_secret_nor_address() -> None:
    record = WebhookRecord("1", APP, "https://x/?s3cret", (), "whsec_a", "whsec_b", 1.0, True, 0.0, 0.0)
    assert "s3cret" not in repr(record)
    assert "whsec" not in repr(replace(record, secret="whsec_c"))


async def test_what_was_made_is_crossed_out_with_the_next_claim_or_stays(
    store: Store, webhook: WebhookRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = KeptOutbox(store.deliveries, "node-1")
    await outbox.add([happened(number) for number in range(3)])
    (first,) = await outbox.turn(NOW, 1, {})

    def fail(webhooks: object) -> None:
        raise RuntimeError("in the middle of it")

    with monkeypatch.context() as patch:
        patch.setattr("sealcast.server.store.deliveries.random.shuffle", fail)
        with pytest.raises(RuntimeError):
            await outbox.turn(NOW, 9, {}, [first])
    assert await outbox.waiting() == 3
    (second,) = await outbox.turn(NOW, 9, {}, [first])
    assert await outbox.waiting() == 2
    assert second.event.sequence > first.event.sequence


async def test_who_needs_what_was_told_to_be_written_down_does_not_wait_for_ever(
    store: Store, time: Time, webhook: WebhookRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealcast.server.hooks.service._SETTLE", 0.01)
    told = hooks(store, time)
    await told.settled()
    told.tell(happened(1))
    with pytest.raises(StoreDown):
        await told.settled()  # nobody writes here
    await told.close()
    await told.settled()
    assert await store.deliveries.waiting() == 1
