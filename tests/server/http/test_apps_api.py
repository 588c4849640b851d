"""Apps and certificates over the API, and what members notice of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from sealcast.protocol.controls import Join, Joined

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operate, Operated

Refusal = Callable[[httpx.Response], tuple[int, str]]

APP, CERTIFICATE, SECOND = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210", "0f" * 16
APPS = "/api/v1/apps"


async def made(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post(APPS, json={"app_id": APP, "certificate": CERTIFICATE, **more})
    assert answer.status_code == 201, answer.text
    app: dict[str, Any] = answer.json()["app"]
    return app


async def test_an_app_that_is_made_takes_members_at_once(
    lab: Lab, operated: Operated, api: httpx.AsyncClient
) -> None:
    with pytest.raises(InvalidStatus, match="404"):
        await lab.connect(operated.station)
    app = await made(api, name="Teams", limits={"members": 5})
    assert (app["name"], app["origin"], app["version"], app["limits"]["members"]) == (
        "Teams",
        "database",
        1,
        5,
    )
    ann = await lab.connect(operated.station)
    await ann.join("standup", "ann")
    shown = (await api.get(f"{APPS}/{APP}")).json()
    assert (shown["connections"], shown["open_channels"]) == (1, 1)


async def test_id_and_certificate_are_made_up_and_the_certificate_is_shown_once(
    api: httpx.AsyncClient,
) -> None:
    answer = await api.post(APPS, json={})
    secret, app = answer.json()["secret"], answer.json()["app"]
    assert len(secret) == len(app["app_id"]) == 32
    assert app["certificates"][0]["ends_with"] == secret[-4:]
    everything = (await api.get(APPS)).text + (await api.get(f"{APPS}/{app['app_id']}")).text
    assert secret not in everything


async def test_an_app_is_there_once(api: httpx.AsyncClient, refusal: Refusal) -> None:
    await made(api)
    answer = await api.post(APPS, json={"app_id": APP})
    assert refusal(answer) == (409, "already_there")


async def test_disabling_puts_everybody_out_and_enabling_lets_them_in_again(
    lab: Lab, operated: Operated, api: httpx.AsyncClient
) -> None:
    await made(api)
    ann = await lab.connect(operated.station)
    await ann.join("standup", "ann")
    answer = await api.post(f"{APPS}/{APP}/disable")
    assert answer.json()["enabled"] is False
    assert (await ann.ended())[1] == "app_disabled"
    with pytest.raises(InvalidStatus, match="404"):
        await lab.connect(operated.station)
    await api.post(f"{APPS}/{APP}/enable")
    await (await lab.connect(operated.station)).join("standup", "ann")


async def test_an_app_is_deleted_only_when_it_is_disabled(
    lab: Lab, operated: Operated, api: httpx.AsyncClient, refusal: Refusal
) -> None:
    await made(api)
    assert refusal(await api.delete(f"{APPS}/{APP}")) == (409, "app_enabled")
    await api.post(f"{APPS}/{APP}/disable")
    assert (await api.delete(f"{APPS}/{APP}")).status_code == 204
    for asked in (api.get(f"{APPS}/{APP}"), api.delete(f"{APPS}/{APP}"), api.post(f"{APPS}/{APP}/enable")):
        assert refusal(await asked) == (404, "not_found")
    await made(api)
    await (await lab.connect(operated.station)).join("standup", "ann")


async def test_a_change_is_laid_over_what_is_there(api: httpx.AsyncClient) -> None:
    await made(api, name="Teams", limits={"members": 5, "message": 1000}, policy={"encryption": "optional"})
    change = {
        "limits": {"message": 2000},
        "policy": None,
        "channels": [{"pattern": "a*", "delivery": "latest"}],
    }
    app = (await api.patch(f"{APPS}/{APP}", json=change)).json()
    assert (app["name"], app["version"]) == ("Teams", 2)
    assert (app["limits"]["members"], app["limits"]["message"]) == (5, 2000)
    assert app["policy"]["encryption"] == "required"
    assert app["channels"][0]["pattern"] == "a*"
    assert (await api.get(f"{APPS}/{APP}")).json() == app


async def test_a_change_that_makes_no_sense_changes_nothing(api: httpx.AsyncClient, refusal: Refusal) -> None:
    app = await made(api)
    for change in (
        {"limits": {"members": 0}},
        {"limits": {"membres": 5}},
        {"limits": {"members": True}},
        {"limits": {"members": "5"}},
        {"policy": {"accept_006": 1}},
        {"limits": []},
        {"rates": {"bytes_per_member": 1}},
        {"name": "a\nb"},
        {"name": "x" * 65},
        {"unknown": 1},
        {"channels": [{"delivery": "latest"}]},
        [],
    ):
        answer = await api.patch(f"{APPS}/{APP}", json=change)
        assert refusal(answer) == (422, "invalid"), change
        assert answer.json()["problems"]
    assert (await api.get(f"{APPS}/{APP}")).json() == app


async def test_a_refusal_names_each_option_that_is_wrong(api: httpx.AsyncClient, refusal: Refusal) -> None:
    body = {"limits": {"members": 0, "membres": 5}, "channels": [{"pattern": 5}]}
    answer = await api.post(APPS, json=body)
    assert refusal(answer) == (422, "invalid")
    named = [problem.partition(":")[0] for problem in answer.json()["problems"]]
    assert named == ["limits.members", "limits.membres", "channels.0.pattern"]


async def test_no_refusal_repeats_what_could_be_a_secret(api: httpx.AsyncClient, refusal: Refusal) -> None:
    for body in ({"certificate": "not-32-hex-secret"}, {"certificate": {"secret": 1}}):
        answer = await api.post(APPS, json=body)
        assert refusal(answer) == (422, "invalid")
        assert "not-32" not in answer.text
        assert "certificate" in answer.json()["problems"][0]


async def test_limits_that_are_changed_hold_for_who_is_there(
    lab: Lab, operated: Operated, api: httpx.AsyncClient
) -> None:
    await made(api)
    ann, bob = await lab.connect(operated.station), await lab.connect(operated.station)
    await ann.join("standup", "ann")
    await api.patch(f"{APPS}/{APP}", json={"limits": {"members": 1}})
    refused = await bob.refused(Join(channel="standup", user="bob", token=lab.token("standup", "bob")))
    assert refused.name == "channel_full"


async def test_certificates_are_rotated_while_members_talk(
    lab: Lab, operated: Operated, api: httpx.AsyncClient, refusal: Refusal
) -> None:
    async def joins(certificate: str) -> bool:
        client = await lab.connect(operated.station)
        token = lab.token("standup", "zoe", certificate=certificate)
        answer = await client.ask(Join(channel="standup", user="zoe", token=token))
        await client.ws.close()
        return isinstance(answer, Joined)

    await made(api)
    certificates = f"{APPS}/{APP}/certificates"
    async with lab.undisturbed(operated.station):
        added = await api.post(certificates, json={"certificate": SECOND})
        assert (added.status_code, added.json()["secret"]) == (201, SECOND)
        assert await joins(CERTIFICATE)
        assert await joins(SECOND)
        app = (await api.post(f"{certificates}/swap")).json()
        assert [each["ends_with"] for each in app["certificates"]] == [SECOND[-4:], CERTIFICATE[-4:]]
        new, old = (each["certificate_id"] for each in app["certificates"])
        assert refusal(await api.delete(f"{certificates}/{old}")) == (409, "certificate_enabled")
        assert refusal(await api.post(f"{certificates}/{new}/disable")) == (409, "primary_certificate")
        await api.post(f"{certificates}/{old}/disable")
        assert not await joins(CERTIFICATE)
        await api.post(f"{certificates}/{old}/enable")
        assert await joins(CERTIFICATE)
        await api.post(f"{certificates}/{old}/disable")
        assert (await api.delete(f"{certificates}/{old}")).status_code == 204
        assert not await joins(CERTIFICATE)
        assert await joins(SECOND)
    assert len((await api.get(certificates)).json()) == 1
    assert refusal(await api.post(f"{certificates}/swap")) == (409, "no_secondary")
    assert refusal(await api.delete(f"{certificates}/nonsense")) == (404, "not_found")
    assert len((await api.post(certificates)).json()["secret"]) == 32
    assert refusal(await api.post(certificates)) == (409, "has_secondary")


async def test_lists_come_in_pages_with_the_apps_of_the_configuration_in_their_place(
    lab: Lab, operate: Operate, refusal: Refusal
) -> None:
    operated = await operate(lab.app("5" * 32, certificate=SECOND), lab.app("b" * 32, certificate=SECOND))
    api = await operated.client()
    for digit in "13789f":
        await made(api, app_id=digit * 32)
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        page = (await api.get(APPS, params={"limit": 3, "cursor": cursor})).json()
        seen += [(app["app_id"][0], app["origin"][0]) for app in page["items"]]
        cursor, pages = page["next"], pages + 1
    assert "".join(digit for digit, _ in seen) == "135789bf"
    assert {digit for digit, origin in seen if origin == "c"} == {"5", "b"}
    assert pages == 3
    for wrong in ({"limt": 3}, {"limit": 0}, {"limit": 201}, {"cursor": "%"}, {"cursor": "AAAA"}):
        assert refusal(await api.get(APPS, params=wrong)) == (422, "invalid")


async def test_apps_of_the_configuration_are_shown_and_not_changed(
    lab: Lab, operate: Operate, refusal: Refusal
) -> None:
    for database in (True, False):
        operated = await operate(lab.app(secondary_certificate=SECOND), database=database)
        api = await operated.client()
        app = (await api.get(f"{APPS}/{APP}")).json()
        assert (app["origin"], app["version"], app["created"]) == ("configuration", None, None)
        assert [each["role"] for each in app["certificates"]] == ["primary", "secondary"]
        for asked in (
            api.patch(f"{APPS}/{APP}", json={"name": "x"}),
            api.post(f"{APPS}/{APP}/disable"),
            api.post(f"{APPS}/{APP}/certificates"),
            api.delete(f"{APPS}/{APP}"),
            api.post(APPS, json={"app_id": APP}),
        ):
            assert refusal(await asked) == (409, "file_configured")
        if not database:
            assert refusal(await api.post(APPS, json={})) == (409, "file_configured")
            assert refusal(await api.post("/api/v1/keys", json={"scopes": ["apps:read"]})) == (
                409,
                "file_configured",
            )
            assert refusal(await api.get(f"{APPS}/{SECOND}")) == (404, "not_found")
            assert len((await api.get(APPS)).json()["items"]) == 1


async def test_changes_at_the_same_time_all_hold(operated: Operated, api: httpx.AsyncClient) -> None:
    await made(api)
    changes: list[dict[str, Any]] = [{"limits": {name: 7}} for name in ("members", "channels", "connections")]
    answers = await asyncio.gather(*(api.patch(f"{APPS}/{APP}", json=change) for change in changes))
    assert {answer.status_code for answer in answers} == {200}
    config = operated.station.directory.get(APP)
    assert config is not None
    assert (config.limits.members, config.limits.channels, config.limits.connections) == (7, 7, 7)


async def test_numbers_that_are_none_are_refused(api: httpx.AsyncClient, refusal: Refusal) -> None:
    headers = {"Content-Type": "application/json"}
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        for path, body in (
            (APPS, f'{{"limits": {{"outbox_age": {number}}}}}'),
            (APPS, f'{{"channels": [{{"pattern": "a", "history_ttl": {number}}}]}}'),
            ("/api/v1/keys", f'{{"scopes": ["apps:read"], "expires": {number}}}'),
        ):
            answer = await api.post(path, content=body, headers=headers)
            assert refusal(answer) == (422, "invalid"), body
    assert (await api.get(APPS)).json()["items"] == []


async def test_ids_with_anything_in_them_are_refused_or_unknown(
    api: httpx.AsyncClient, refusal: Refusal
) -> None:
    for odd in ("%00", "%2e%2e", "%ff", "a" * 5000, "%F0%9F%98%80", "'; DROP TABLE apps; --"):
        for path in (f"{APPS}/{odd}", f"/api/v1/keys/{odd}"):
            assert refusal(await api.get(path)) in {(422, "invalid"), (404, "not_found")}, path
    assert refusal(await api.get("/api/v1/keys/" + "0" * 12)) == (404, "not_found")


async def test_what_would_be_unsafe_where_others_connect_is_refused(
    lab: Lab, operate: Operate, refusal: Refusal
) -> None:
    # This machine by another name: the relay knows only its usual ones.
    api = await (await operate(host="127.1")).client()
    open_to_all = {"policy": {"allow_app_id_only": True}}
    answer = await api.post(APPS, json=open_to_all)
    assert refusal(answer) == (422, "invalid")
    assert "server.unsafe_app_id_only" in answer.json()["problems"][0]
    assert refusal(await api.post(APPS, json={**open_to_all, "enabled": False})) == (422, "invalid")
    answer = await api.post(APPS, json={"app_id": APP, "certificate": CERTIFICATE})
    assert refusal(answer) == (422, "invalid")
    assert "a certificate is a placeholder" in answer.json()["problems"][0]
    app = (await api.post(APPS, json={})).json()["app"]
    place = f"{APPS}/{app['app_id']}"
    assert refusal(await api.patch(place, json=open_to_all)) == (422, "invalid")
    answer = await api.post(f"{place}/certificates", json={"certificate": CERTIFICATE})
    assert refusal(answer) == (422, "invalid")
    assert (await api.get(place)).json()["version"] == 1
