"""Records of sessions in the database: written, written again, searched, ended after a crash, deleted."""

from __future__ import annotations

from typing import Any

import pytest

from sealcast.server.config import RecordsConfig
from sealcast.server.store.audit import Asked
from sealcast.server.store.calls import CallsAsked, Place
from sealcast.server.store.kinds import KINDS
from sealcast.server.store.records import CallRecord, MembershipRecord, Missing, StoreDown
from sealcast.server.store.retention import CHORE, purge
from sealcast.server.store.store import Store

APP, OTHER = "a" * 32, "b" * 32
DAY = 86_400.0
KEEP = RecordsConfig()


def call(number: int, opened: float = 100.0, *, app: str = APP, run: str = "run1", **more: Any) -> CallRecord:
    return CallRecord(f"{number:024x}", run, "node1", app, more.pop("channel", "standup"), opened, **more)


def member(of: CallRecord, number: int, user: str = "ann", **more: Any) -> MembershipRecord:
    return MembershipRecord(
        record_id=f"{number:024x}",
        call=of,
        call_id=of.call_id,
        run_id=of.run_id,
        app_id=of.app_id,
        user_id=user,
        member=number,
        address=more.pop("address", "192.0.2.1"),
        agent="probe/1",
        system="Linux",
        joined=more.pop("joined", of.opened),
        **more,
    )


async def ids(store: Store, **asked: Any) -> list[int]:
    return [int(each.call_id, 16) for each in await store.calls.page(APP, CallsAsked(**asked))]


async def test_a_record_is_written_and_written_again(store: Store) -> None:
    one = call(1)
    ann = member(one, 1)
    await store.calls.write([], [ann])  # with the call that it needs
    (found,) = await store.calls.members(one.call_id)
    assert (found.user_id, found.ended, found.frames_in, found.system) == ("ann", None, 0, "Linux")
    ann.ended, ann.reason, ann.frames_in, ann.bytes_in = 160.0, "left", 7, 2**40
    one.closed, one.reason, one.memberships, one.peak = 161.0, "over", 1, 1
    await store.calls.write([one], [ann])
    (found,) = await store.calls.members(one.call_id)
    assert (found.ended, found.reason, found.frames_in, found.bytes_in) == (160.0, "left", 7, 2**40)
    kept = await store.calls.get(APP, one.call_id)
    assert (kept.closed, kept.reason, kept.memberships, kept.peak) == (161.0, "over", 1, 1)
    for app_id, call_id in ((OTHER, one.call_id), (APP, "f" * 24)):
        with pytest.raises(Missing, match="no such call"):
            await store.calls.get(app_id, call_id)


async def test_a_writing_whose_outcome_nobody_knows_can_be_done_again(store: Store) -> None:
    one = call(1)
    ann = member(one, 1)
    await store.calls.write([one], [ann])
    one.kept = ann.kept = False
    ann.ended = 5.0
    await store.calls.write([one], [ann])
    assert [each.ended for each in await store.calls.members(one.call_id)] == [5.0]


async def test_what_was_deleted_does_not_come_back(store: Store) -> None:
    one = call(1)
    ann, bob = member(one, 1), member(one, 2, "bob")
    await store.calls.write([one], [ann, bob])
    assert (await store.people.delete(APP, "ann")).counts["session"] == 1
    ann.ended = bob.ended = 5.0
    await store.calls.write([one], [ann, bob])
    assert [each.user_id for each in await store.calls.members(one.call_id)] == ["bob"]


async def test_calls_are_found(store: Store) -> None:
    one, two = call(1, 100.0, closed=200.0), call(2, 300.0, channel="retro")
    three, foreign = call(3, 300.0), call(4, app=OTHER)
    members = [
        member(one, 1),
        member(two, 2, "bob", address="192.0.2.0/24"),
        member(three, 3, "bob"),
        member(foreign, 4),
    ]
    await store.calls.write([], members)
    for asked, found in (
        ({}, [3, 2, 1]),
        ({"channel": "standup"}, [3, 1]),
        ({"user": "bob"}, [3, 2]),
        ({"user": "nobody"}, []),
        ({"addresses": ("192.0.2.1", "192.0.2.0/24")}, [3, 2, 1]),
        ({"addresses": ("192.0.2.0/24",)}, [2]),
        ({"since": 250.0}, [3, 2]),
        ({"since": 200.0}, [3, 2, 1]),
        ({"until": 300.0}, [1]),
        ({"since": 150.0, "until": 160.0, "user": "ann"}, [1]),
    ):
        assert await ids(store, **asked) == found, asked
    after = Place(300.0, three.call_id)
    assert [each.call_id for each in await store.calls.page(APP, CallsAsked(), after, 1)] == [two.call_id]
    assert (await store.calls.members(one.call_id, Place(100.0, members[0].record_id))) == []


async def test_what_a_crashed_process_left_open_ends_when_it_was_last_there(store: Store) -> None:
    one = call(1)
    ended, open_, late = member(one, 1, ended=120.0), member(one, 2), member(one, 3, joined=170.0)
    await store.calls.write([one], [ended, open_, late])
    await store.calls.beat("run1", "node1", 100.0)
    await store.calls.beat("run1", "node1", 160.0)
    await store.calls.beat("run2", "node2", 161.0)
    assert await store.calls.reconcile("run2", "node2", silent_since=150.0) == 0
    assert await store.calls.reconcile("run2", "node2", silent_since=161.0) == 1
    assert await store.calls.reconcile("run2", "node2", silent_since=161.0) == 0
    found = {each.member: (each.ended, each.reason) for each in await store.calls.members(one.call_id)}
    assert found == {1: (120.0, None), 2: (160.0, "node_lost"), 3: (170.0, "node_lost")}
    kept = await store.calls.get(APP, one.call_id)
    assert (kept.closed, kept.reason) == (160.0, "node_lost")


async def test_an_earlier_process_of_the_same_name_is_gone_at_once(store: Store) -> None:
    await store.calls.write([], [member(call(1), 1)])
    await store.calls.beat("run1", "node1", 160.0)
    await store.calls.beat("run2", "node1", 161.0)
    assert await store.calls.reconcile("run2", "node1", silent_since=0.0) == 1


async def test_everything_about_a_user_is_handed_out_in_parts_and_deleted(store: Store) -> None:
    calls = [call(number) for number in range(1, 6)]
    await store.calls.write([], [member(each, number) for number, each in enumerate(calls, 1)])
    await store.calls.write([], [member(calls[0], 9, "ann2"), member(call(7, app=OTHER), 10)])
    none = {kind.name: 0 for kind in KINDS}
    first = await store.people.page(APP, "ann", None, 3)
    rest = await store.people.page(APP, "ann", (first[-1].kind, first[-1].key), 3)
    assert [part.fields["call_id"] for part in (*first, *rest)] == [each.call_id for each in calls]
    assert first[0].fields["channel"] == "standup"
    assert first[0].fields["address"] == "192.0.2.1"
    assert await store.people.delete(APP, "ann") == (none | {"session": 5}, {}, False)
    assert await store.people.page(APP, "ann", None, 3) == []
    assert len(await store.people.page(APP, "ann2", None, 3)) == 1
    assert len(await store.people.page(OTHER, "ann", None, 3)) == 1


async def test_a_deletion_stops_at_a_bound_and_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sealcast.server.store.people._MOST", 2)
    one = call(1)
    await store.calls.write([], [member(one, number) for number in range(1, 4)])
    deleted = await store.people.delete(APP, "ann")
    assert (deleted.counts["session"], deleted.more) == (2, True)
    deleted = await store.people.delete(APP, "ann")
    assert (deleted.counts["session"], deleted.more) == (1, False)


# --- retention ---


async def fill(store: Store, time: Any) -> None:
    """Records that are older than is kept, and some that are not."""
    now = time.now
    old, long, young = now - 91 * DAY, now - 200 * DAY, now - DAY
    over, open_ = call(1, long, closed=old), call(2, long)
    await store.calls.write([over, open_], [member(over, n, ended=old) for n in range(1, 8)])
    await store.calls.write(
        [], [member(open_, 8, ended=old), member(open_, 9), member(open_, 10, ended=young)]
    )
    await store.calls.beat("run0", "node0", old, ended=True)
    await store.answers.begin("key 1", "k", b"f")


async def test_what_is_too_old_goes_and_that_is_an_entry(
    store: Store, time: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sealcast.server.store.retention._SLICE", 3)
    await fill(store, time)
    counts = await purge(store, KEEP, time.now, "relay", "me")
    assert counts == {"sessions": 8, "calls": 1, "runs": 1, "answers": 0, "blocks": 0, "audit": 0}
    assert await ids(store) == [2]
    assert [each.member for each in await store.calls.members(f"{2:024x}")] == [9, 10]
    (entry,) = await store.audit.page(Asked(action="retention.purged"))
    assert '"sessions":8' in entry.detail
    done = await store.chores.done(CHORE)
    assert (done.last, dict(done.said)) == (time.now, counts)


async def test_a_purge_with_nothing_to_do_leaves_no_entry(store: Store, time: Any) -> None:
    before = (await store.audit.ends()).head
    assert await purge(store, KEEP, time.now, "relay", "me") is not None
    assert (await store.audit.ends()).head == before


async def test_one_process_purges_at_a_time_and_once_a_day(store: Store, time: Any) -> None:
    assert await store.chores.begin(CHORE, "other")
    assert await purge(store, KEEP, time.now, "relay", "me") is None
    time.now += 3601  # the other one has not come back
    assert await purge(store, KEEP, time.now, "relay", "me") is not None
    assert await purge(store, KEEP, time.now, "relay", "me", every=DAY) is None
    time.now += DAY
    assert await purge(store, KEEP, time.now, "relay", "me", every=DAY) is not None


async def test_what_an_interrupted_purge_has_deleted_stands_in_the_entry_of_the_next(
    store: Store, time: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store, time)

    async def fail(*_: Any) -> int:
        raise StoreDown("gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.audit), "purge", fail)
        with pytest.raises(StoreDown):
            await purge(store, KEEP, time.now, "relay", "me")
    assert await store.audit.page(Asked(action="retention.purged")) == []
    await purge(store, KEEP, time.now, "relay", "other")
    (entry,) = await store.audit.page(Asked(action="retention.purged"))
    assert '"sessions":8' in entry.detail
    await purge(store, KEEP, time.now, "relay", "other")
    assert len(await store.audit.page(Asked(action="retention.purged"))) == 1
