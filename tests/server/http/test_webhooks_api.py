"""Webhooks over the API: made, changed, tried, and what was given up."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from sealcast.server.config import Config, DatabaseConfig, HooksConfig, ServerConfig
from sealcast.server.hooks.signature import Forged, verify
from sealcast.server.station import Station

if TYPE_CHECKING:
    from pathlib import Path

    from ..conftest import Lab

from .conftest import ROOT_KEY, Operated
from .receiver import Backend

Refusal = Callable[[httpx.Response], tuple[int, str]]
APP, OTHER = "0123456789abcdef0123456789abcdef", "abcdef0123456789abcdef0123456789"
HOOKS = f"/api/v1/apps/{APP}/webhooks"
URL = "https://backend.example/hook?token=s3cret"


@pytest_asyncio.fixture
async def operated(lab: Lab, tmp_path: Path) -> AsyncIterator[Operated]:
    """A station whose webhooks may go to this machine, with one app of the configuration."""
    server = ServerConfig(
        port=0, internal_port=0, internal_key=ROOT_KEY, close=0.2, drain_spread=0.0, heartbeat=3600.0
    )
    config = Config(
        server=server,
        database=DatabaseConfig(directory=str(tmp_path)),
        hooks=HooksConfig(private=True, insecure=True, per_app=3),
        apps=(lab.app(),),
    )
    async with contextlib.AsyncExitStack() as stack:
        station = Station(config, lab.clock)
        await stack.enter_async_context(station.running())
        lab.relays.append(station)
        yield Operated(station, stack)


async def made(api: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    answer = await api.post(HOOKS, json={"url": URL, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_webhook_is_made_with_a_secret_that_is_shown_once(api: httpx.AsyncClient) -> None:
    new = await made(api, kinds=["member.left", "member.left"])
    assert new["secret"].startswith("whsec_")
    webhook = new["webhook"]
    assert (webhook["url"], webhook["kinds"], webhook["enabled"]) == (URL, ["member.left"], True)
    place = f"{HOOKS}/{webhook['webhook_id']}"
    assert (await api.get(place)).json() == webhook
    assert (await api.get(HOOKS)).json() == {"items": [webhook], "next": None}
    assert new["secret"] not in (await api.get(HOOKS)).text + (await api.get(place)).text


async def test_one_that_is_asked_for_twice_is_made_once_and_its_secret_is_shown_once(
    api: httpx.AsyncClient,
) -> None:
    answers = [await api.post(HOOKS, json={"url": URL}, headers={"Idempotency-Key": "k1"}) for _ in range(2)]
    first, second = (answer.json() for answer in answers)
    assert first["webhook"] == second["webhook"]
    assert second["secret"] is None
    assert len((await api.get(HOOKS)).json()["items"]) == 1


async def test_it_is_changed_disabled_and_deleted(api: httpx.AsyncClient, refusal: Refusal) -> None:
    place = f"{HOOKS}/{(await made(api))['webhook']['webhook_id']}"
    changed = (await api.patch(place, json={"kinds": ["token.refused"], "enabled": False})).json()
    assert (changed["url"], changed["kinds"], changed["enabled"]) == (URL, ["token.refused"], False)
    changed = (await api.patch(place, json={"kinds": [], "url": "https://other.example/"})).json()
    assert (changed["url"], changed["kinds"], changed["enabled"]) == ("https://other.example/", [], False)
    assert (await api.delete(place)).status_code == 204
    assert refusal(await api.get(place)) == (404, "not_found")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"url": "ftp://backend.example/"}, "url"),
        ({"url": "https://user:word@backend.example/"}, "user name or password"),
        ({"url": "https://backend.example/" + "x" * 3000}, "url"),
        ({"url": "https://backend.example/a b"}, "no space"),
        ({"url": URL, "kinds": ["member.danced"]}, "kinds"),
        ({"url": URL, "enabled": "yes"}, "enabled"),
        ({"url": URL, "colour": "red"}, "colour"),
        ({}, "url"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    api: httpx.AsyncClient, refusal: Refusal, body: dict[str, Any], problem: str
) -> None:
    answer = await api.post(HOOKS, json=body)
    assert refusal(answer) == (422, "invalid")
    assert problem in " ".join(answer.json()["problems"])
    assert "word" not in answer.text.replace("password", "")


async def test_an_app_has_so_many_and_one_that_is_not_there_has_none(
    api: httpx.AsyncClient, refusal: Refusal
) -> None:
    for _ in range(3):
        await made(api)
    assert refusal(await api.post(HOOKS, json={"url": URL})) == (409, "too_many_webhooks")
    nowhere = f"/api/v1/apps/{'9' * 32}/webhooks"
    assert refusal(await api.post(nowhere, json={"url": URL})) == (404, "not_found")
    assert refusal(await api.get(nowhere)) == (404, "not_found")


async def test_nobody_else_sees_or_changes_them(
    operated: Operated, api: httpx.AsyncClient, refusal: Refusal
) -> None:
    place = f"{HOOKS}/{(await made(api))['webhook']['webhook_id']}"
    without = await operated.guest("apps:read", "apps:write", "audit:read")
    await api.post("/api/v1/apps", json={"app_id": OTHER})
    elsewhere = await operated.guest("webhooks:write", app_id=OTHER)
    for guest, expected in ((without, (403, "forbidden")), (elsewhere, (404, "not_found"))):
        for method, path in (
            ("GET", HOOKS),
            ("POST", HOOKS),
            ("GET", place),
            ("PATCH", place),
            ("DELETE", place),
            ("POST", f"{place}/rotate"),
            ("POST", f"{place}/test"),
            ("POST", f"{place}/revive"),
            ("GET", f"{place}/dead-letters"),
            ("POST", f"{place}/dead-letters/1/revive"),
            ("DELETE", f"{place}/dead-letters/1"),
        ):
            body = {"url": URL} if method in ("POST", "PATCH") and path in (HOOKS, place) else None
            assert refusal(await guest.request(method, path, json=body)) == expected, (method, path)
    # The id of another app's webhook is of no use in one's own app.
    borrowed = place.replace(APP, OTHER)
    assert refusal(await elsewhere.get(borrowed)) == (404, "not_found")
    assert refusal(await elsewhere.delete(borrowed)) == (404, "not_found")


async def test_a_test_event_arrives_signed_with_the_new_and_the_old_secret(
    api: httpx.AsyncClient, backend: Backend
) -> None:
    new = await made(api, url=backend.url)
    place = f"{HOOKS}/{new['webhook']['webhook_id']}"
    assert (await api.post(f"{place}/test")).json() == {"delivered": True, "answer": "204"}
    ((sent, body),) = backend.told
    now = float(sent["webhook-timestamp"])
    event_id = verify(sent, body, new["secret"], now)
    told = json.loads(body)
    assert (told["id"], told["type"], told["app_id"]) == (event_id, "webhook.test", APP)

    rotated = (await api.post(f"{place}/rotate", json={"overlap": 60})).json()
    assert rotated["secret"] != new["secret"]
    await api.post(f"{place}/test")
    for secret in (new["secret"], rotated["secret"]):
        verify(*backend.told[1], secret, now)
    last = (await api.post(f"{place}/rotate", json={"overlap": 0})).json()["secret"]
    await api.post(f"{place}/test")
    verify(*backend.told[2], last, now)
    with pytest.raises(Forged):
        verify(*backend.told[2], rotated["secret"], now)


async def test_a_test_event_that_fails_says_why(api: httpx.AsyncClient, backend: Backend) -> None:
    place = f"{HOOKS}/{(await made(api, url=backend.url))['webhook']['webhook_id']}"
    backend.status = 500
    assert (await api.post(f"{place}/test")).json() == {"delivered": False, "answer": "500"}


async def test_what_was_given_up_is_listed_tried_again_and_deleted(
    lab: Lab, operated: Operated, api: httpx.AsyncClient, backend: Backend, refusal: Refusal
) -> None:
    webhook = (await made(api, url=backend.url, kinds=["member.joined"]))["webhook"]
    place = f"{HOOKS}/{webhook['webhook_id']}"
    backend.status = 410
    for user in ("ann", "bob", "cid"):
        await (await lab.connect(operated.station)).join("standup", user)
    async with asyncio.timeout(10):
        while (await api.get(place)).json()["dead"] < 3:
            await asyncio.sleep(0)
    page = (await api.get(f"{place}/dead-letters", params={"limit": 2})).json()
    rest = (await api.get(f"{place}/dead-letters", params={"cursor": page["next"]})).json()
    assert (len(page["items"]), len(rest["items"]), rest["next"]) == (2, 1, None)
    letters = page["items"] + rest["items"]
    assert {letter["event"]["data"]["user"] for letter in letters} == {"ann", "bob", "cid"}
    assert {letter["answer"] for letter in letters} == {"410"}

    backend.status = 204
    backend.told.clear()
    one, two, three = (f"{place}/dead-letters/{letter['delivery_id']}" for letter in letters)
    assert (await api.post(f"{one}/revive")).json() == {"revived": 1}
    assert (await api.delete(two)).status_code == 204
    assert refusal(await api.delete(two)) == (404, "not_found")
    assert (await api.post(f"{place}/revive")).json() == {"revived": 1}
    assert refusal(await api.post(f"{three}/revive")) == (404, "not_found")
    async with asyncio.timeout(10):
        while (await api.get(place)).json()["waiting"]:
            await asyncio.sleep(0)
    arrived = {json.loads(body)["id"] for _, body in backend.told}
    assert arrived == {letters[0]["event"]["id"], letters[2]["event"]["id"]}
    for cursor in ("eA", "LTE"):
        answer = await api.get(f"{place}/dead-letters", params={"cursor": cursor})
        assert refusal(answer) == (422, "invalid")


async def test_changes_are_written_down_without_what_could_be_secret(
    operated: Operated, api: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    new = await made(api)
    place = f"{HOOKS}/{new['webhook']['webhook_id']}"
    await api.patch(place, json={"url": "https://other.example/?key=hidden"})
    rotated = (await api.post(f"{place}/rotate")).json()
    await api.delete(place)
    written = "".join(capsys.readouterr())
    for action in ("webhook.created", "webhook.changed", "webhook.rotated", "webhook.deleted"):
        assert action in written
    for secret in (new["secret"], rotated["secret"], "s3cret", "hidden"):
        assert secret not in written


async def test_without_a_database_there_are_none(operate: Any, lab: Lab, refusal: Refusal) -> None:
    bare = await operate(lab.app(), database=False)
    api = await bare.client()
    assert refusal(await api.post(HOOKS, json={"url": URL})) == (409, "file_configured")
    assert refusal(await api.get(HOOKS)) == (409, "file_configured")


async def test_plain_http_and_private_addresses_are_for_who_allows_them(
    operate: Any, lab: Lab, backend: Backend, refusal: Refusal
) -> None:
    strict = await operate(lab.app())
    api = await strict.client()
    answer = await api.post(HOOKS, json={"url": backend.url})
    assert refusal(answer) == (422, "invalid")
    assert "hooks.insecure" in answer.text
    new = await made(api, url=f"https://127.0.0.1:{backend.port}/")
    result = (await api.post(f"{HOOKS}/{new['webhook']['webhook_id']}/test")).json()
    assert result["delivered"] is False
    assert "hooks.private" in result["answer"]
    assert not backend.told
