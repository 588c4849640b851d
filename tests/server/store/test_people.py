"""What is kept about one user beside sessions: rules, and what webhooks are to be told."""

from __future__ import annotations

from typing import Any

from sealcast.server.access import Access
from sealcast.server.hooks.event import Event, Kind
from sealcast.server.hooks.kept import event_record
from sealcast.server.store.store import Store

from .test_rules import APP, OTHER, ban, revocation


async def rules(store: Store, time: Any) -> None:
    """Of ann a rule of each kind that holds, and bans that have lapsed and were lifted; more of others."""
    await store.bans.add(ban(time.now, lasts=None), 9)
    await store.bans.add(ban(time.now, lasts=1.0, channel="lapsed"), 9)
    lifted = ban(time.now, lasts=None, channel="lifted")
    await store.bans.add(lifted, 9)
    await store.bans.add(ban(time.now, lasts=1.0, user="bob"), 9)
    await store.bans.add(ban(time.now, app_id=OTHER, lasts=1.0), 9)
    await store.revocations.add(revocation(time.now), 9)
    await store.revocations.add(revocation(time.now, user="bob"), 9)
    await store.bans.lift(APP, lifted.ban_id)


async def tell(store: Store, app_id: str, user: str, *, hook: bool = True) -> Event:
    if hook:
        await store.webhooks.create(app_id, "https://a.example/", "whsec_x", kinds=(), enabled=True, most=9)
    joined = Event(Kind.MEMBER_JOINED, app_id, 1.0, 1, channel="standup", user=user, member=1)
    await store.deliveries.add("node", [event_record(joined)])
    return joined


async def everything(store: Store, user: str, app_id: str = APP) -> list[tuple[str, dict[str, Any]]]:
    """Read a page of one record at a time."""
    found: list[tuple[str, dict[str, Any]]] = []
    after = None
    while part := await store.people.page(app_id, user, after, 1):
        found.append((part[0].kind, part[0].fields))
        after = (part[0].kind, part[0].key)
    return found


async def test_rules_and_webhooks_are_handed_out_page_by_page(store: Store, time: Any) -> None:
    await rules(store, time)
    joined = await tell(store, APP, "ann")
    await tell(store, APP, "bob", hook=False)
    await tell(store, OTHER, "ann")
    found = await everything(store, "ann")
    kinds = [kind for kind, _ in found]
    assert kinds == ["ban"] * 3 + ["revocation", "webhook_open", "webhook_delivery"]
    by_channel = {fields["channel"]: fields for kind, fields in found if kind == "ban"}
    assert by_channel["lifted"]["lifted"] == time.now
    assert by_channel[None]["privileges"] == ["join", "data"]
    assert by_channel[None]["reason"] == "because"
    assert not any("creator" in fields for _, fields in found), "who made a rule is not about the user"
    assert found[-1][1]["event"]["id"] == joined.id == found[-2][1]["event"]["id"]


async def test_a_cursor_that_was_made_up_is_the_beginning(store: Store) -> None:
    await tell(store, APP, "ann")
    for key in ("x", "²", "9" * 40, "-1", ""):
        (part,) = await store.people.page(APP, "ann", ("webhook_delivery", key), 9)
        assert part.kind == "webhook_delivery", key


async def test_rules_in_force_stay_and_the_answer_says_so(store: Store, time: Any) -> None:
    await rules(store, time)
    time.now += 2
    deleted = await store.people.delete(APP, "ann")
    assert (deleted.counts["ban"], deleted.counts["revocation"]) == (2, 0)
    assert deleted.kept == {"ban": 1, "revocation": 1}
    assert [kind for kind, _ in await everything(store, "ann")] == ["ban", "revocation"]
    access = Access(time, store.bans, store.revocations)
    await access.refresh()
    assert access.bans.denied(APP, "standup", "ann", "192.0.2.1"), "still banned"
    assert len(await everything(store, "bob")) == 2
    assert len(await everything(store, "ann", OTHER)) == 1


async def test_a_process_that_has_not_heard_of_a_lifted_rule_does_so_after_it_was_deleted(
    store: Store, time: Any
) -> None:
    late = Access(time, store.bans, store.revocations)
    made = ban(time.now, lasts=None)
    await store.bans.add(made, 9)
    await late.refresh()
    assert late.bans.of(APP) == [made]
    await store.bans.lift(APP, made.ban_id)
    assert (await store.people.delete(APP, "ann")).counts["ban"] == 1
    await late.refresh()
    assert late.bans.of(APP) == []


async def test_what_webhooks_were_to_be_told_of_a_user_goes_with_the_rest(store: Store) -> None:
    joined = await tell(store, APP, "ann")
    await tell(store, APP, "bob", hook=False)
    await tell(store, OTHER, "ann")
    deleted = await store.people.delete(APP, "ann")
    assert (deleted.counts["webhook_open"], deleted.counts["webhook_delivery"]) == (1, 1)
    assert await everything(store, "ann") == []
    left = Event(Kind.MEMBER_LEFT, APP, 2.0, 2, channel="standup", user="ann", member=1, closes=joined.id)
    assert await store.deliveries.add("node", [event_record(left)]) == 0, "nobody is told its end"
    assert len(await everything(store, "bob")) == 2
    assert len(await everything(store, "ann", OTHER)) == 2
