"""Ban rules and revocations by the API: made, listed, changed, lifted; who may; what members notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sealcast.protocol.controls import Join, Renewed

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operate

Refusal = Callable[[httpx.Response], tuple[int, str]]
NOWHERE = "f" * 32


async def test_a_ban_lives_from_its_making_to_its_end(lab: Lab, operate: Operate, refusal: Refusal) -> None:
    operated = await operate(lab.app())
    api, written = await operated.client(), list[tuple[Any, ...]]()

    ann = await lab.connect(operated.station)
    await ann.join("standup", "ann")
    path = f"/api/v1/apps/{lab.APP}/bans"
    made = await api.post(path, json={"user": "ann", "channel": "standup", "duration": 60, "reason": "loud"})
    assert made.status_code == 201, written
    ban = made.json()
    now = lab.clock.wall()
    assert ban | {"ban_id": ""} == {
        "ban_id": "",
        "app_id": lab.APP,
        "address": None,
        "channel": "standup",
        "user": "ann",
        "privileges": ["join"],
        "created": now,
        "until": now + 60,
        "reason": "loud",
        "creator": "configured key",
        "kept": "database",
    }
    assert await ann.ended() == (4508, "banned")
    one = f"{path}/{ban['ban_id']}"
    assert (await api.get(one)).json() == ban
    changed = await api.patch(one, json={"duration": None})
    assert changed.json() == ban | {"until": None}
    assert (await api.get(path)).json() == {"items": [changed.json()], "next": None}
    again = await lab.connect(operated.station)
    token = lab.token("standup", "ann")
    assert (await again.refused(Join(channel="standup", user="ann", token=token))).name == "banned"
    assert (await api.delete(one)).status_code == 204
    await again.ask(Join(channel="standup", user="ann", token=token))
    for answer in (await api.get(one), await api.delete(one), await api.patch(one, json={"duration": 5})):
        assert refusal(answer) == (404, "not_found")


async def test_bans_outlive_the_relay_where_there_is_a_database(lab: Lab, operate: Operate) -> None:
    first = await operate(lab.app())
    api = await first.client()
    path = f"/api/v1/apps/{lab.APP}/bans"
    await api.post(path, json={"user": "ann"})
    second = await operate(lab.app())
    again = await second.client()
    (ban,) = (await again.get(path)).json()["items"]
    assert ban["user"] == "ann"
    await api.post(path, json={"user": "bob"})
    await second.station.access.refresh()
    ann = await lab.connect(second.station)
    for user in ("ann", "bob"):
        refused = await ann.refused(Join(channel="x", user=user, token=lab.token("x", user)))
        assert refused.name == "banned"


async def test_without_a_database_the_answer_says_that_rules_are_in_memory(
    lab: Lab, operate: Operate
) -> None:
    operated = await operate(lab.app(), database=False)
    api = await operated.client()
    ban = (await api.post(f"/api/v1/apps/{lab.APP}/bans", json={"user": "ann"})).json()
    revoked = (await api.post(f"/api/v1/apps/{lab.APP}/revocations", json={"user": "ann"})).json()
    assert (ban["kept"], revoked["kept"]) == ("memory", "memory")


async def test_a_duration_of_nothing_puts_out_and_keeps_no_rule(lab: Lab, operate: Operate) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    ann = await lab.connect(operated.station)
    await ann.join("standup", "ann")
    path = f"/api/v1/apps/{lab.APP}/bans"
    assert (await api.post(path, json={"user": "ann", "duration": 0})).status_code == 201
    assert await ann.ended() == (4507, "kicked")
    assert (await api.get(path)).json()["items"] == []
    await (await lab.connect(operated.station)).join("standup", "ann")


async def test_part_of_the_rights_is_taken_and_the_member_stays(lab: Lab, operate: Operate) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    ann = await lab.connect(operated.station)
    await ann.join("standup", "ann")
    body = {"address": "127.0.0.1", "privileges": ["video", "audio", "audio"]}
    made = (await api.post(f"/api/v1/apps/{lab.APP}/bans", json=body)).json()
    assert made["privileges"] == ["audio", "video"]
    assert set((await ann.told(Renewed)).grant) == {"data"}


async def test_bans_are_found_by_what_they_name_page_by_page(lab: Lab, operate: Operate) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    path = f"/api/v1/apps/{lab.APP}/bans"
    for body in (
        {"user": "ann"},
        {"user": "ann", "channel": "standup"},
        {"address": "192.0.2.0/24"},
        {"address": "2001:db8::1"},
    ):
        assert (await api.post(path, json=body)).status_code == 201
        lab.later(1)

    async def found(**query: Any) -> list[Any]:
        items = (await api.get(path, params=query)).json()["items"]
        return [(each["user"], each["channel"], each["address"]) for each in items]

    assert len(await found()) == 4
    assert await found(user="ann", channel="standup") == [("ann", "standup", None)]
    assert await found(address="192.0.2.77") == [(None, None, "192.0.2.0/24")]
    assert await found(address="2001:db8::ffff") == [(None, None, "2001:db8::/64")]
    assert await found(address="198.51.100.1") == []
    page = (await api.get(path, params={"limit": 3})).json()
    rest = (await api.get(path, params={"limit": 3, "cursor": page["next"]})).json()
    assert len(page["items"]) == 3
    assert [each["address"] for each in rest["items"]] == ["2001:db8::/64"]
    assert rest["next"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user": ""},
        {"user": "ann", "privileges": []},
        {"user": "ann", "privileges": ["fly"]},
        {"user": "ann", "duration": -1},
        {"user": "ann", "duration": "5"},
        {"user": "ann", "duration": 0, "privileges": ["audio"]},
        {"user": "ann", "other": 1},
        {"address": "nowhere"},
        {"channel": "x" * 65},
        {"user": "ann", "reason": "two\nlines"},
    ],
)
async def test_a_ban_that_cannot_be_is_refused(
    lab: Lab, operate: Operate, refusal: Refusal, body: dict[str, Any]
) -> None:
    operated = await operate(lab.app(), database=False)
    api = await operated.client()
    path = f"/api/v1/apps/{lab.APP}/bans"
    assert refusal(await api.post(path, json=body)) == (422, "invalid")
    assert (await api.get(path)).json()["items"] == []
    assert refusal(await api.get(path, params={"address": "nowhere"})) == (422, "invalid")


async def test_only_a_key_with_the_scope_for_the_app_may_do_it(
    lab: Lab, operate: Operate, refusal: Refusal
) -> None:
    operated = await operate()
    root = await operated.client()
    for app_id in (lab.APP, lab.OTHER_APP):
        assert (await root.post("/api/v1/apps", json={"app_id": app_id})).status_code == 201
    other = await operated.guest("channels:read", "members:write", "apps:write")
    own = await operated.guest("bans:write", "revocations:write", app_id=lab.APP)
    for what, body in (("bans", {"user": "ann"}), ("revocations", {"user": "ann"})):
        path = f"/api/v1/apps/{lab.APP}/{what}"
        assert refusal(await other.post(path, json=body)) == (403, "forbidden")
        assert refusal(await other.get(path)) == (403, "forbidden")
        assert (await own.post(path, json=body)).status_code == 201
        for app_id in (lab.OTHER_APP, NOWHERE):
            foreign = f"/api/v1/apps/{app_id}/{what}"
            assert refusal(await own.post(foreign, json=body)) == (404, "not_found")
        assert refusal(await root.post(f"/api/v1/apps/{NOWHERE}/{what}", json=body)) == (404, "not_found")


async def test_there_are_no_more_rules_than_the_app_may_have(
    lab: Lab, operate: Operate, refusal: Refusal
) -> None:
    operated = await operate(lab.app(limits={"bans": 1, "revocations": 1}))
    api = await operated.client()
    for what in ("bans", "revocations"):
        path = f"/api/v1/apps/{lab.APP}/{what}"
        assert (await api.post(path, json={"user": "ann"})).status_code == 201
        assert refusal(await api.post(path, json={"user": "bob"})) == (409, "too_many_rules")


async def test_every_change_is_audited(
    lab: Lab, operate: Operate, capsys: pytest.CaptureFixture[str]
) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    path = f"/api/v1/apps/{lab.APP}"
    ban = (await api.post(f"{path}/bans", json={"user": "ann"})).json()["ban_id"]
    await api.patch(f"{path}/bans/{ban}", json={"duration": 5})
    await api.delete(f"{path}/bans/{ban}")
    await api.post(f"{path}/bans", json={"user": "ann", "duration": 0})
    revoked = (await api.post(f"{path}/revocations", json={"user": "ann"})).json()["revocation_id"]
    await api.delete(f"{path}/revocations/{revoked}")
    said = capsys.readouterr()
    log = said.out + said.err
    for action in ("ban.created", "ban.changed", "ban.lifted", "ban.kicked"):
        assert action in log
    for action in ("revocation.created", "revocation.lifted"):
        assert action in log
    assert f"ban {ban}" in log
    assert "configured key" in log


async def test_a_revocation_lives_for_as_long_as_it_is_needed(
    lab: Lab, operate: Operate, refusal: Refusal
) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    ann = await lab.connect(operated.station)
    await ann.join("standup", "ann")
    path = f"/api/v1/apps/{lab.APP}/revocations"
    made = (await api.post(path, json={"user": "ann"})).json()
    now = lab.clock.wall()
    assert made["issued_before"] == int(now) + 1
    assert made["until"] == made["issued_before"] + 86_400 + 60
    assert await ann.ended() == (4006, "token_revoked")
    one = f"{path}/{made['revocation_id']}"
    assert (await api.get(one)).json() == made
    assert (await api.get(path, params={"user": "ann"})).json()["items"] == [made]
    assert (await api.get(path, params={"user": "bob"})).json()["items"] == []
    await (await lab.connect(operated.station)).refused(
        Join(channel="standup", user="ann", token=lab.token("standup", "ann"))
    )
    lab.later(1)
    await (await lab.connect(operated.station)).join("standup", "ann")
    lab.later(86_460)
    assert refusal(await api.get(one)) == (404, "not_found")
    again = (await api.post(path, json={"token_id": "a" * 32})).json()
    assert (await api.delete(f"{path}/{again['revocation_id']}")).status_code == 204
    assert (await api.get(path)).json()["items"] == []


async def test_a_revocation_that_cannot_be_is_refused(lab: Lab, operate: Operate, refusal: Refusal) -> None:
    operated = await operate(lab.app(), database=False)
    api = await operated.client()
    now = lab.clock.wall()
    for body in (
        {},
        {"token_id": "007eJx"},
        {"token_id": "a" * 32, "user": "ann"},
        {"issued_before": now - 86_401},
        {"issued_before": now + 86_402},
        {"issued_before": None},
        {"user": ""},
    ):
        answer = await api.post(f"/api/v1/apps/{lab.APP}/revocations", json=body)
        assert refusal(answer) == (422, "invalid"), body
