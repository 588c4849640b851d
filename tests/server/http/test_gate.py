"""Who may call what: keys, scopes, one app, how often, and once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sealcast.server.http.api_keys import SCOPES
from sealcast.server.http.route import ApiRoute
from sealcast.server.http.routes import ROUTERS

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operate, Operated

Refusal = Callable[[httpx.Response], tuple[int, str]]

APP, OTHER, CERTIFICATE = "0123456789abcdef0123456789abcdef", "f" * 32, "fedcba9876543210fedcba9876543210"
API = "/api/v1"


class _Names(dict[str, str]):
    """A value for every name in a path."""

    def __missing__(self, name: str) -> str:
        return "x"


def routes() -> Iterator[tuple[str, str, str]]:
    """Every operation of the API: method, path, and the scope that it needs."""
    for router in ROUTERS:
        for route in router.routes:
            assert isinstance(route, ApiRoute), "every route of the API is behind the gate"
            for method in route.methods:
                yield (
                    method,
                    API + route.path.replace(":path}", "}").format_map(_Names(app_id=APP)),
                    route.scope,
                )


ROUTES = list(routes())
every_route = pytest.mark.parametrize(("method", "path", "scope"), ROUTES)


async def with_apps(operated: Operated) -> None:
    store = operated.station.store
    assert store is not None
    for app_id in (APP, OTHER):
        await store.apps.create(app_id, CERTIFICATE, name="", enabled=True, settings={})
    await operated.station.directory.refresh()


def test_every_route_needs_a_scope_that_exists() -> None:
    assert {scope for _, _, scope in ROUTES} <= set(SCOPES)
    assert len(ROUTES) > 10


async def test_no_route_answers_without_a_good_key(operated: Operated, refusal: Refusal) -> None:
    # Each bad key counts against its address, so a few are enough here.
    stranger = await operated.client("")
    for method, path, _ in ROUTES:
        answer = await stranger.request(method, path)
        assert refusal(answer) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    good = await operated.key(*SCOPES)
    for bad in (
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        good.upper(),
        "x",
        operated.KEY[:-1],
        "sealcast_",
    ):
        assert refusal(await (await operated.client(bad)).get(f"{API}/apps")) == (401, "unauthenticated")
    answer = await stranger.get(f"{API}/apps", headers={"Authorization": f"Basic {good}"})
    assert refusal(answer) == (401, "unauthenticated")


async def test_no_route_answers_a_key_without_its_scope(operated: Operated, refusal: Refusal) -> None:
    clients = {
        scope: await operated.guest(*(other for other in SCOPES if other != scope))
        for scope in {scope for _, _, scope in ROUTES}
    }
    for method, path, scope in ROUTES:
        answer = await clients[scope].request(method, path)
        assert refusal(answer) == (403, "forbidden"), (method, path)
        assert scope in answer.json()["message"]


async def test_a_key_for_one_app_sees_and_changes_no_other(operated: Operated, refusal: Refusal) -> None:
    await with_apps(operated)
    guest = await operated.guest(*SCOPES, app_id=OTHER)
    for method, path, _ in ROUTES:
        if APP in path:
            assert refusal(await guest.request(method, path)) == (404, "not_found"), (method, path)
    assert [app["app_id"] for app in (await guest.get(f"{API}/apps")).json()["items"]] == [OTHER]
    assert (await guest.patch(f"{API}/apps/{OTHER}", json={"name": "mine"})).status_code == 200
    assert refusal(await guest.post(f"{API}/apps", json={})) == (403, "forbidden")
    await guest.post(f"{API}/apps/{OTHER}/disable")
    assert refusal(await guest.delete(f"{API}/apps/{OTHER}")) == (403, "forbidden")


async def test_a_key_makes_no_key_that_may_more(operated: Operated, refusal: Refusal) -> None:
    await with_apps(operated)
    root = await operated.client()
    guest = await operated.guest("keys:write", "apps:read")
    bound = await operated.guest("keys:write", "apps:read", app_id=OTHER)
    assert refusal(await guest.post(f"{API}/keys", json={"scopes": ["apps:write"]})) == (403, "forbidden")
    body = {"scopes": ["apps:read"], "app_id": APP}
    assert refusal(await bound.post(f"{API}/keys", json=body)) == (404, "not_found")
    made = (await bound.post(f"{API}/keys", json={"scopes": ["apps:read"], "name": "mine"})).json()
    assert made["key"]["app_id"] == OTHER
    listed = (await bound.get(f"{API}/keys")).json()["items"]
    assert {key["app_id"] for key in listed} == {OTHER}
    foreign = (await root.post(f"{API}/keys", json={"scopes": ["apps:read"]})).json()["key"]["key_id"]
    assert refusal(await bound.get(f"{API}/keys/{foreign}")) == (404, "not_found")
    assert refusal(await bound.delete(f"{API}/keys/{foreign}")) == (404, "not_found")


async def test_a_key_is_good_until_it_is_deleted_and_shown_once(operated: Operated, refusal: Refusal) -> None:
    root = await operated.client()
    made = (await root.post(f"{API}/keys", json={"scopes": ["apps:read", "apps:read"], "name": "ci"})).json()
    assert made["key"]["scopes"] == ["apps:read"]
    guest = await operated.client(made["secret"])
    assert (await guest.get(f"{API}/apps")).status_code == 200
    key_id = made["key"]["key_id"]
    shown = await root.get(f"{API}/keys/{key_id}")
    assert shown.json()["last_used"] is not None
    assert made["secret"] not in shown.text + (await root.get(f"{API}/keys")).text
    assert (await root.delete(f"{API}/keys/{key_id}")).status_code == 204
    assert refusal(await guest.get(f"{API}/apps")) == (401, "unauthenticated")
    assert refusal(await root.get(f"{API}/keys/{key_id}")) == (404, "not_found")


async def test_a_key_ends_when_it_expires(lab: Lab, operated: Operated, refusal: Refusal) -> None:
    now = lab.clock.wall()
    guest = await operated.guest("apps:read", expires=now + 60)
    assert (await guest.get(f"{API}/apps")).status_code == 200
    lab.later(61)
    assert refusal(await guest.get(f"{API}/apps")) == (401, "unauthenticated")
    root = await operated.client()
    answer = await root.post(f"{API}/keys", json={"scopes": ["apps:read"], "expires": now})
    assert refusal(answer) == (422, "invalid")


async def test_a_key_has_a_rate_of_its_own(lab: Lab, operated: Operated, refusal: Refusal) -> None:
    guest, other = await operated.guest("apps:read", rate=3), await operated.guest("apps:read", rate=3)
    for _ in range(3):
        assert (await guest.get(f"{API}/apps")).status_code == 200
    answer = await guest.get(f"{API}/apps")
    assert refusal(answer) == (429, "rate_limited")
    assert answer.headers["retry-after"] == "20"
    assert (await other.get(f"{API}/apps")).status_code == 200
    lab.later(20)
    assert (await guest.get(f"{API}/apps")).status_code == 200


async def test_an_address_that_tries_keys_is_stopped_for_a_while(
    lab: Lab, operated: Operated, refusal: Refusal
) -> None:
    thief, good = await operated.client("wrong"), await operated.client()
    for _ in range(30):
        assert refusal(await thief.get(f"{API}/apps")) == (401, "unauthenticated")
    answer = await thief.get(f"{API}/apps")
    assert refusal(answer) == (429, "rate_limited")
    assert answer.headers["retry-after"] == "2"
    lab.later(120)
    assert (await good.get(f"{API}/apps")).status_code == 200


# --- idempotency ---


async def test_a_post_that_is_sent_twice_is_carried_out_once(operated: Operated) -> None:
    api = await operated.client()
    headers = {"Idempotency-Key": "one"}
    first = await api.post(f"{API}/apps", json={"name": "a"}, headers=headers)
    second = await api.post(f"{API}/apps", json={"name": "a"}, headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.headers["idempotency-replayed"] == "true"
    assert second.json() == {**first.json(), "secret": None}
    assert len((await api.get(f"{API}/apps")).json()["items"]) == 1


async def test_no_secret_is_kept_for_the_second_answer(operated: Operated, tmp_path: Any) -> None:
    api = await operated.client()
    made = await api.post(f"{API}/keys", json={"scopes": ["apps:read"]}, headers={"Idempotency-Key": "one"})
    files = b"".join(path.read_bytes() for path in (tmp_path / "data").iterdir())
    assert made.json()["key"]["key_id"].encode() in files
    assert made.json()["secret"].encode() not in files


async def test_an_idempotency_key_belongs_to_one_request_of_one_caller(
    operated: Operated, refusal: Refusal
) -> None:
    api, other = await operated.client(), await operated.guest(*SCOPES)
    headers = {"Idempotency-Key": "one"}
    await api.post(f"{API}/apps", json={"name": "a"}, headers=headers)
    changed = await api.post(f"{API}/apps", json={"name": "b"}, headers=headers)
    assert refusal(changed) == (422, "idempotency_key_reused")
    elsewhere = await api.post(f"{API}/keys", json={"name": "a"}, headers=headers)
    assert refusal(elsewhere) == (422, "idempotency_key_reused")
    assert (await other.post(f"{API}/apps", json={"name": "a"}, headers=headers)).status_code == 201
    bad = await api.post(f"{API}/apps", json={}, headers={"Idempotency-Key": "x" * 129})
    assert refusal(bad) == (422, "invalid")


async def test_a_post_that_was_refused_can_be_mended_under_its_key(
    operated: Operated, refusal: Refusal
) -> None:
    api = await operated.client()
    headers = {"Idempotency-Key": "one"}
    refused = await api.post(f"{API}/apps", json={"limits": {"members": 0}}, headers=headers)
    assert refusal(refused) == (422, "invalid")
    assert (await api.post(f"{API}/apps", json={}, headers=headers)).status_code == 201


async def test_posts_at_the_same_time_are_carried_out_once(operated: Operated) -> None:
    api = await operated.client()
    posts = [api.post(f"{API}/apps", json={}, headers={"Idempotency-Key": "one"}) for _ in range(5)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert sum("idempotency-replayed" not in a.headers for a in answers if a.status_code == 201) == 1
    assert {a.json()["name"] for a in answers if a.status_code == 409} <= {"request_in_progress"}
    assert len((await api.get(f"{API}/apps")).json()["items"]) == 1


async def test_a_request_that_was_never_finished_is_not_taken_for_done(
    lab: Lab, operated: Operated, refusal: Refusal
) -> None:
    api, headers = await operated.client(), {"Idempotency-Key": "one"}
    first = await api.post(f"{API}/apps", json={}, headers=headers)
    store = operated.station.store
    assert store is not None
    async with store.database.connection() as connection:
        await connection.exec_driver_sql("UPDATE answered_requests SET status = NULL, body = NULL")
    assert first.status_code == 201
    assert refusal(await api.post(f"{API}/apps", json={}, headers=headers)) == (409, "request_in_progress")
    lab.later(61)
    assert refusal(await api.post(f"{API}/apps", json={}, headers=headers)) == (409, "outcome_unknown")
    lab.later(86_400)
    assert (await api.post(f"{API}/apps", json={}, headers=headers)).status_code == 201


async def test_without_a_database_posts_are_remembered_in_memory(operate: Operate, refusal: Refusal) -> None:
    operated = await operate(database=False)
    api = await operated.client()
    for _ in range(2):  # a refusal is forgotten
        answer = await api.post(f"{API}/apps", json={}, headers={"Idempotency-Key": "one"})
        assert refusal(answer) == (409, "file_configured")
