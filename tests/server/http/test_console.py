"""The console over HTTP, as a browser and as somebody who is none: who gets in, and what is refused."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sealcast.protocol.tokens import verify
from sealcast.server.http.console.pages import SECTIONS
from sealcast.server.http.console.visit import ANYBODY, PageRoute
from sealcast.server.passwords import Passwords
from sealcast.server.store.audit import AuditLog
from sealcast.server.store.records import Role, StoreDown

from .browsing import PASSWORD, Browse, Browser, SignedIn

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operate, Operated

ROUTES = [route for section in SECTIONS for route in section.routes]
CLOSED = [route for route in ROUTES if route.needs != ANYBODY]


def concrete(route: PageRoute) -> str:
    return route.path.format_map(defaultdict(lambda: "0" * 32))


# --- who gets in ---


async def test_every_page_and_every_form_is_closed_to_who_is_not_signed_in(browse: Browse) -> None:
    assert len(CLOSED) > 50
    browser = await browse()
    token = await browser.csrf("/signin")
    for route in CLOSED:
        if route.method == "POST":
            answer = await browser.send(concrete(route), {"csrf": token})
        else:
            answer = await browser.get(concrete(route))
        if route.live:
            assert (answer.status_code, answer.json()["name"]) == (401, "unauthenticated")
        else:
            assert (answer.status_code, answer.headers["location"]) == (303, "/console/signin"), route.path


async def test_an_account_signs_in_and_out(signed_in: SignedIn) -> None:
    browser = await signed_in()
    assert "admin@example.org" in (await browser.get("/")).text
    assert (await browser.get("/signin")).headers["location"] == "/console/"
    cookies = dict(browser.client.cookies)
    out = await browser.submit("/signout")
    assert out.headers["location"] == "/console/signin"
    assert (await browser.get("/")).status_code == 303
    browser.client.cookies.update(cookies)
    assert (await browser.get("/")).status_code == 303, (
        "the session is over, not only forgotten by the browser"
    )


async def test_a_wrong_password_and_no_account_look_the_same(signed_in: SignedIn, browse: Browse) -> None:
    await signed_in()
    browser = await browse()
    answers = [
        await browser.sign_in("admin@example.org", "wrong password"),
        await browser.sign_in("nobody@example.org", "wrong password"),
    ]
    texts = [re.sub(r'value="[^"]*"', "", answer.text) for answer in answers]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert texts[0] == texts[1]
    assert "wrong password" not in answers[0].text


async def test_a_sign_in_without_an_account_works_on_a_hash_too(
    operated: Operated, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    compare = Passwords._compare

    def watched(self: Passwords, kept: str, text: str) -> bool:
        compared.append(kept)
        return compare(self, kept, text)

    monkeypatch.setattr(Passwords, "_compare", watched)
    await (await browse()).sign_in("nobody@example.org")
    assert len(compared) == 1
    assert compared[0].startswith("$argon2id$")


async def test_a_change_whose_entry_is_not_kept_is_none(
    signed_in: SignedIn, operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*entry: Any, **more: Any) -> None:
        raise StoreDown("the database does not answer in time")

    browser = await signed_in()
    app_id = (await browser.submit("/apps", name="calls")).headers["location"].rpartition("/")[2]
    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "add", fail)
        assert (await browser.submit("/apps", name="others")).status_code == 503
        disabled = await browser.submit(f"/apps/{app_id}/disable", confirmed="yes")
        assert disabled.status_code == 503
    relay = operated.station
    assert relay.store is not None
    assert [(app.name, app.enabled) for app in await relay.store.apps.page()] == [("calls", True)]
    await relay.directory.refresh()
    assert [app.app_id for app in relay.directory] == [app_id]
    assert relay.hub.app(app_id) is not None


async def test_a_disabled_account_does_not_get_in_and_is_put_out(
    signed_in: SignedIn, operated: Operated, browse: Browse, lab: Lab
) -> None:
    browser = await signed_in()
    store = operated.station.store
    assert store is not None
    (record,) = await store.accounts.page()
    await store.accounts.update(record.account_id, disabled=True)  # as another process would
    lab.later(5.1)
    assert (await browser.get("/")).status_code == 303
    assert (await (await browse()).sign_in("admin@example.org")).status_code == 403


async def test_a_password_that_was_changed_elsewhere_ends_sessions(
    signed_in: SignedIn, operated: Operated, lab: Lab
) -> None:
    browser = await signed_in()
    store = operated.station.store
    assert store is not None
    (record,) = await store.accounts.page()
    await store.accounts.update(record.account_id, password_hash="another")
    lab.later(5.1)
    assert (await browser.get("/")).status_code == 303


async def test_sign_ins_are_throttled_by_account_and_by_address(
    signed_in: SignedIn, browse: Browse, lab: Lab
) -> None:
    await signed_in()
    lab.later(60)
    browser = await browse()
    page = {"csrf": await browser.csrf("/signin"), "email": "admin@example.org", "password": "wrong"}
    tries = [await browser.send("/signin", page) for _ in range(11)]
    assert [answer.status_code for answer in tries] == [403] * 10 + [429]
    assert int(tries[-1].headers["retry-after"]) > 0
    right = await browser.send("/signin", {**page, "password": PASSWORD})
    assert right.status_code == 429, "the right one has to wait too"
    others = [await browser.send("/signin", {**page, "email": f"{n}@example.org"}) for n in range(12)]
    assert others[-1].status_code == 429
    lab.later(60)
    assert (await browser.send("/signin", {**page, "password": PASSWORD})).status_code == 303


async def test_sessions_end_when_nobody_is_there_and_after_half_a_day(signed_in: SignedIn, lab: Lab) -> None:
    browser = await signed_in()
    lab.later(3500)
    assert (await browser.get("/")).status_code == 200
    lab.later(1800)
    assert (await browser.get("/live")).status_code == 200
    lab.later(1900)
    assert (await browser.get("/")).status_code == 303, "figures that load by themselves are nobody"
    again = await browser.sign_in("admin@example.org")
    assert again.status_code == 303
    for _ in range(13):
        assert (await browser.get("/")).status_code == 200
        lab.later(3400)
    assert (await browser.get("/")).status_code == 303


async def test_signing_in_makes_a_new_session_id_and_ends_the_old_one(signed_in: SignedIn) -> None:
    browser = await signed_in()
    before = {name: value for name, value in browser.client.cookies.items() if "guest" not in name}
    old = dict(browser.client.cookies)
    assert (await browser.submit("/signin", email="admin@example.org", password=PASSWORD)).status_code == 303
    after = {name: value for name, value in browser.client.cookies.items() if "guest" not in name}
    assert set(before) == set(after)
    assert not set(before.values()) & set(after.values())
    browser.client.cookies.clear()
    browser.client.cookies.update(old)
    assert (await browser.get("/")).status_code == 303


async def test_a_session_id_of_another_makes_no_session(browse: Browse, operated: Operated) -> None:
    browser = await browse()
    await browser.get("/signin")
    (guest,) = browser.client.cookies
    browser.client.cookies.set(guest.replace("-guest", ""), "chosen-by-somebody-else")
    assert (await browser.get("/")).status_code == 303


async def test_signing_out_everywhere_ends_all_sessions_of_the_account(
    signed_in: SignedIn, browse: Browse
) -> None:
    one = await signed_in()
    two = await browse()
    await two.sign_in("admin@example.org")
    other = await signed_in("viewer")
    await one.submit("/signout/everywhere")
    assert [(await each.get("/")).status_code for each in (one, two, other)] == [303, 303, 200]


async def test_a_database_that_is_down_puts_nobody_out_and_lets_nobody_in(
    signed_in: SignedIn, operated: Operated, browse: Browse, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, stranger = await signed_in(), await browse()
    store = operated.station.store
    assert store is not None

    async def down(*_: object, **__: object) -> None:
        raise StoreDown("the database does not answer")

    for name in ("get", "by_email"):
        monkeypatch.setattr(store.accounts, name, down)
    monkeypatch.setattr(store.apps, "page", down)
    lab.later(6)
    assert (await browser.get("/")).status_code == 200
    for answer in (await browser.get("/apps"), await stranger.sign_in("admin@example.org")):
        assert answer.status_code == 503
        assert "the database does not answer" in answer.text


# --- cookies and headers ---


async def test_cookies_are_for_this_site_and_for_no_script(signed_in: SignedIn, browse: Browse) -> None:
    first = await (await browse()).get("/signin")
    second = await (await signed_in()).submit("/signin", email="admin@example.org", password=PASSWORD)
    for answer in (first, second):
        (cookie,) = answer.headers.get_list("set-cookie")
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"httponly", "samesite=strict", "path=/"} <= parts
        assert "secure" not in parts, "the test has no TLS"


async def test_under_tls_cookies_are_secure_and_bound_to_the_host() -> None:
    from starlette.requests import Request
    from starlette.responses import Response

    from sealcast.server.http.console.gate import CookieJar

    scope = {"type": "http", "scheme": "https", "server": ("relay", 7701), "headers": [(b"host", b"relay")]}
    response = Response()
    CookieJar(Request({**scope, "path": "/", "query_string": b""})).sign_in(response, "id")
    cookie = response.headers["set-cookie"]
    assert cookie.startswith("__Host-sealcast-7701=id;")
    assert "Secure" in cookie
    assert "Domain" not in cookie


async def test_pages_allow_nothing_from_elsewhere_and_nothing_inline(signed_in: SignedIn) -> None:
    browser = await signed_in()
    for path in ("/", "/apps", "/accounts", "/account", "/once", "/nothing"):
        answer = await browser.get(path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert not re.search(r"<script(?! src=)|<style|\son[a-z]+=|\sstyle=|https?://", answer.text)


async def test_static_files_are_for_anybody_and_kept_by_their_version(browse: Browse) -> None:
    browser = await browse()
    page = (await browser.get("/signin")).text
    paths = set(re.findall(r'"/console(/static/[^"]+)"', page))
    assert {path.partition("?")[0] for path in paths} == {
        f"/static/{name}" for name in ("console.css", "console.js", "mark.svg")
    }
    for path in paths:
        assert "immutable" in (await browser.get(path)).headers["cache-control"]
        assert (await browser.get(path.partition("?")[0])).headers["cache-control"] == "no-store"
    assert (await browser.get("/static/..%2fapplication.py")).status_code == 404


async def test_people_are_sent_from_the_root_to_the_console_and_programs_are_not(browse: Browse) -> None:
    client = (await browse()).client
    for path in ("/", "/console"):
        assert (await client.get(path, headers={"Accept": "text/html"})).headers["location"] == "/console/"
    assert (await client.get("/")).json()["name"] == "not_found"


# --- forms ---


async def test_a_form_without_its_token_or_from_elsewhere_does_nothing(
    signed_in: SignedIn, api: httpx.AsyncClient
) -> None:
    browser = await signed_in()
    token = await browser.csrf()
    stranger = await signed_in("operator")
    attempts: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({"csrf": "0" * 64}, {}),
        ({"csrf": "é"}, {}),
        ({"csrf": await stranger.csrf()}, {}),
        ({"csrf": token}, {"Origin": "https://evil.example"}),
        ({"csrf": token}, {"Origin": "null"}),
        ({"csrf": token}, {"Sec-Fetch-Site": "cross-site"}),
        ({"csrf": token}, {"Sec-Fetch-Site": "same-site"}),
        ({"csrf": token}, {"Sec-Fetch-Site": "none"}),
    ]
    for fields, headers in attempts:
        answer = await browser.send("/apps", {"name": "theirs", **fields}, **headers)
        assert answer.status_code == 403, (fields, headers)
    bare = await browser.client.post("/console/apps", data={"name": "theirs", "csrf": token})
    assert bare.status_code == 403, "a browser says where a form comes from"
    assert (await api.get("/api/v1/apps")).json()["items"] == []
    assert (await browser.send("/apps", {"name": "mine", "csrf": token})).status_code == 303
    assert [app["name"] for app in (await api.get("/api/v1/apps")).json()["items"]] == ["mine"]


async def test_signing_in_needs_a_form_of_our_own_too(signed_in: SignedIn, browse: Browse) -> None:
    await signed_in()
    browser = await browse()
    fields = {"email": "admin@example.org", "password": PASSWORD}
    assert (await browser.send("/signin", fields)).status_code == 403
    token = await browser.csrf("/signin")
    evil = await browser.send("/signin", {**fields, "csrf": token}, Origin="https://evil.example")
    assert evil.status_code == 403


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b'{"csrf": "x"}', "application/json", 400),
        (b"csrf=%ff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"a=1" for _ in range(33)), "application/x-www-form-urlencoded", 400),
        (b"a=" + b"x" * 16_384, "application/x-www-form-urlencoded", 413),
        (b"\xff\xfe", "application/x-www-form-urlencoded", 400),
    ],
)
async def test_what_is_no_form_is_refused(signed_in: SignedIn, body: bytes, kind: str, status: int) -> None:
    browser = await signed_in()
    answer = await browser.client.post("/console/apps", content=body, headers={"Content-Type": kind})
    assert answer.status_code == status


async def test_harm_is_done_only_after_a_yes(signed_in: SignedIn, api: httpx.AsyncClient) -> None:
    browser = await signed_in()
    app_id = (await browser.submit("/apps", name="calls")).headers["location"].rpartition("/")[2]
    asked = await browser.submit(f"/apps/{app_id}/disable")
    assert asked.status_code == 200
    assert "put out at once" in asked.text
    assert (await api.get(f"/api/v1/apps/{app_id}")).json()["enabled"] is True
    assert (await browser.submit(f"/apps/{app_id}/disable", confirmed="yes")).status_code == 303
    assert (await api.get(f"/api/v1/apps/{app_id}")).json()["enabled"] is False


# --- roles ---

MAY: dict[str, set[Role]] = {
    "signed in": {"admin", "operator", "viewer"},
    "usage:read": {"admin", "operator", "viewer"},
    "channels:read": {"admin", "operator", "viewer"},
    "apps:read": {"admin", "operator", "viewer"},
    "apps:write": {"admin", "operator"},
    "sessions:read": {"admin", "operator", "viewer"},
    "audit:read": {"admin", "operator", "viewer"},
    "members:write": {"admin", "operator"},
    "bans:write": {"admin", "operator"},
    "revocations:write": {"admin", "operator"},
    "blocks:write": {"admin", "operator"},
    "webhooks:write": {"admin", "operator"},
    "keys:write": {"admin"},
    "admin": {"admin"},
}


@pytest.mark.parametrize("role", ["admin", "operator", "viewer"])
async def test_roles_hold_for_every_page_and_every_form(signed_in: SignedIn, role: Role) -> None:
    browser = await signed_in(role)
    token = await browser.csrf()
    for route in CLOSED:
        if route.path.startswith("/signout"):
            continue
        if route.method == "POST":
            answer = await browser.send(concrete(route), {"csrf": token})
        else:
            answer = await browser.get(concrete(route))
        refused = answer.status_code == 403 and "your account may not do this" in answer.text
        assert refused == (role not in MAY[route.needs]), (route.path, answer.status_code)


async def test_a_role_sees_only_what_it_may_use(signed_in: SignedIn, lab: Lab) -> None:
    admin, viewer = await signed_in("admin"), await signed_in("viewer")
    app = (await admin.submit("/apps", name="calls")).headers["location"].removeprefix("/console")
    assert "Create an app" in (await admin.get("/apps")).text
    assert "Create an app" not in (await viewer.get("/apps")).text
    assert "/console/accounts" in (await admin.get("/")).text
    assert "/console/accounts" not in (await viewer.get("/")).text
    forms = re.findall(r'action="([^"]+)"', (await viewer.get(app)).text)
    assert forms == ["/console/signout"]


# --- what pages do ---


async def test_an_app_is_made_its_certificate_shown_once_and_the_change_written_down(
    signed_in: SignedIn, operated: Operated, caplog: Any
) -> None:
    browser = await signed_in()
    made = await browser.submit("/apps", name="calls <b>")
    path = made.headers["location"].removeprefix("/console")
    store = operated.station.store
    assert store is not None
    record = await store.apps.get(path.rpartition("/")[2])
    page = (await browser.get(path)).text
    assert f'<code id="secret">{record.certificates[0].secret}</code>' in page
    assert "calls &lt;b&gt;" in page
    assert record.certificates[0].secret not in (await browser.get(path)).text


async def test_changes_are_written_down_with_the_account_and_the_address(
    signed_in: SignedIn, operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str, str, dict[str, Any], str]] = []

    async def audit(actor: str, action: str, target: str, detail: Any, *, address: str = "") -> None:
        told.append((actor, action, target, dict(detail), address))

    console = operated.station._console
    assert console is not None
    console.services.audit = audit
    browser = await signed_in()
    path = (await browser.submit("/apps", name="calls")).headers["location"].removeprefix("/console")
    app = f"app {path.rpartition('/')[2]}"
    await browser.submit(f"{path}/token", channel="standup", user="ada", minutes="5")
    await browser.submit(f"{path}/certificates", confirmed="yes")
    await browser.submit("/accounts", email="eve@example.org", role="viewer", password=PASSWORD)
    await browser.submit(f"{path}/kick", channel="standup", user="ada", confirmed="yes")
    assert {(actor, address) for actor, _, _, _, address in told} == {
        ("account admin@example.org", "127.0.0.1")
    }
    assert [(action, target) for _, action, target, _, _ in told] == [
        ("account.signed_in", "account admin@example.org"),
        ("app.created", app),
        ("token.made", app),
        ("certificate.added", app),
        ("account.created", "account eve@example.org"),
        ("members.kicked", app),
    ]
    assert told[2][3] == {"channel": "standup", "user": "ada", "minutes": 5}


async def test_certificates_go_round(signed_in: SignedIn, api: httpx.AsyncClient) -> None:
    browser = await signed_in()
    path = (await browser.submit("/apps", name="calls")).headers["location"].removeprefix("/console")

    async def certificates() -> list[tuple[str, str, bool]]:
        found = (await api.get(f"/api/v1{path}/certificates")).json()
        return [(each["certificate_id"], each["role"], each["enabled"]) for each in found]

    ((old, _, _),) = await certificates()
    await browser.submit(f"{path}/certificates", confirmed="yes")
    (_, (new, role, _)) = await certificates()
    assert role == "secondary"
    await browser.submit(f"{path}/certificates/swap", confirmed="yes")
    assert await certificates() == [(new, "primary", True), (old, "secondary", True)]
    refused = await browser.submit(f"{path}/certificates/{old}/delete", confirmed="yes")
    assert refused.headers["location"] == f"/console{path}"
    assert "disable it first" in (await browser.get(path)).text
    await browser.submit(f"{path}/certificates/{old}/disable", confirmed="yes")
    await browser.submit(f"{path}/certificates/{old}/delete", confirmed="yes")
    assert await certificates() == [(new, "primary", True)]


async def test_a_test_token_is_good_for_one_user_in_one_channel_for_minutes(
    signed_in: SignedIn, operated: Operated, lab: Lab
) -> None:
    browser = await signed_in()
    path = (await browser.submit("/apps", name="calls")).headers["location"].removeprefix("/console")
    await browser.get(path)
    await browser.submit(f"{path}/token", path, channel="standup", user="ada", minutes="5")
    page = (await browser.get(path)).text
    found = re.search(r'<code id="secret">([^<]+)</code>', page)
    assert found is not None
    config = operated.station.directory.get(path.rpartition("/")[2])
    assert config is not None
    grant = verify(
        found[1],
        app_id=config.app_id,
        certificates=config.certificates,
        channel="standup",
        user="ada",
        now=lab.clock.wall(),
    )
    assert grant.expires <= lab.clock.wall() + 300
    for wrong in (
        {"channel": "*", "user": "ada", "minutes": "5"},
        {"channel": "standup", "user": "", "minutes": "5"},
        {"channel": "standup", "user": "ada", "minutes": "61"},
        {"channel": "standup", "user": "ada", "minutes": "-1"},
    ):
        await browser.submit(f"{path}/token", path, **wrong)
        assert '<code id="secret">' not in (await browser.get(path)).text


async def test_accounts_are_managed_and_nobody_locks_themselves_out(
    signed_in: SignedIn, browse: Browse, operated: Operated
) -> None:
    admin = await signed_in()
    await admin.submit("/accounts", email="Eve@Example.org", role="operator", password=PASSWORD)
    store = operated.station.store
    assert store is not None
    eve, own = (
        await store.accounts.by_email("eve@example.org"),
        await store.accounts.by_email("admin@example.org"),
    )
    assert eve is not None
    assert own is not None
    browser = await browse()
    await browser.sign_in("eve@example.org")
    assert "operator" in (await browser.get("/account")).text
    await admin.submit(f"/accounts/{eve.account_id}/role", role="viewer")
    assert (await browser.get("/")).status_code == 303
    await admin.submit(f"/accounts/{eve.account_id}/disable", confirmed="yes")
    assert (await browser.sign_in("eve@example.org")).status_code == 403
    await admin.submit(f"/accounts/{eve.account_id}/enable")
    assert (await browser.sign_in("eve@example.org")).status_code == 303
    await admin.submit(f"/accounts/{own.account_id}/disable", confirmed="yes")
    assert "your own account" in (await admin.get("/accounts")).text
    for wrong in (
        {"email": "x", "role": "admin", "password": PASSWORD},
        {"email": "x@y", "role": "admin", "password": "short"},
        {"email": "x@y", "role": "king", "password": PASSWORD},
        {"email": "eve@example.org", "role": "admin", "password": PASSWORD},
    ):
        await admin.submit("/accounts", **wrong)
        assert 'role="alert"' in (await admin.get("/accounts")).text
    assert await store.accounts.count() == 2


async def test_changing_the_own_password_needs_the_old_one_and_ends_other_sessions(
    signed_in: SignedIn, browse: Browse, lab: Lab
) -> None:
    one, two = await signed_in(), await browse()
    await two.sign_in("admin@example.org")
    new = "another good password"
    for wrong in (
        {"password": "not it at all", "new": new, "again": new},
        {"password": PASSWORD, "new": new, "again": "something different"},
        {"password": PASSWORD, "new": "short", "again": "short"},
    ):
        await one.submit("/account/password", **wrong)
        assert 'role="alert"' in (await one.get("/account")).text
    await one.submit("/account/password", password=PASSWORD, new=new, again=new)
    lab.later(6)
    assert [(await each.get("/")).status_code for each in (one, two)] == [200, 303]
    assert (await two.sign_in("admin@example.org")).status_code == 403
    assert (await two.sign_in("admin@example.org", new)).status_code == 303


async def test_figures_of_what_members_send_are_there_to_be_drawn(
    operate: Operate, lab: Lab, hashed: str
) -> None:
    operated: Operated = await operate(lab.app())
    store = operated.station.store
    assert store is not None
    await store.accounts.create("admin@example.org", hashed)
    browser = Browser(await operated.client(key=""))
    await browser.sign_in("admin@example.org")
    alice, bob = await lab.connect(operated.station), await lab.connect(operated.station)
    room = await alice.join("standup", "alice")
    await bob.join("standup", "bob")
    paths = {
        "relay": "/live",
        "app": f"/live?app={lab.APP}",
        "channel": f"/live?app={lab.APP}&channel=standup",
        "member": f"/live?app={lab.APP}&channel=standup&user=alice",
    }
    for path in paths.values():
        assert (await browser.get(path)).status_code == 200
    lab.later(2)
    for _ in range(10):
        await alice.frame(room)
    await alice.settle()
    seen = {}
    for name, path in paths.items():
        seen[name] = (await browser.get(path)).json()
    rate = 10 / 2.05
    for name, answer in seen.items():
        assert answer["series"]["frames"][-1] == pytest.approx(rate, abs=0.1), name
        assert answer["series"]["encrypted"][-1] == 1.0, name
    assert [row["channel"] for row in seen["relay"]["rows"]["channels"]] == ["standup"]
    rows = {row["user"]: row for row in seen["channel"]["rows"]["members"]}
    assert rows["alice"]["audio"] == pytest.approx(rate, abs=0.1)
    assert rows["bob"]["audio"] == 0
    assert rows["alice"]["address"] == "127.0.0.1"
    assert seen["channel"]["series"]["members"][-1] == 2
    for _ in range(125):
        lab.later(1)
        answer = (await browser.get("/live")).json()
    assert len(answer["series"]["frames"]) == 120, "the series are bounded"
    for page in ("channel?name=standup", "member?channel=standup&user=alice"):
        text = (await browser.get(f"/apps/{lab.APP}/{page}")).text
        assert "alice" in text
        assert "Kick" in text
    assert (await browser.get(f"/apps/{lab.APP}/member?channel=standup&user=eve")).status_code == 404
    assert (await browser.get("/live?app=" + "0" * 32)).status_code == 404
    assert (await browser.get("/live?user=" + "x" * 300)).status_code == 422
    kicked = await browser.submit(f"/apps/{lab.APP}/kick", channel="standup", user="alice", confirmed="yes")
    assert kicked.headers["location"] == f"/console/apps/{lab.APP}/channel?name=standup"
    assert "alice</a>" not in (await browser.get(f"/apps/{lab.APP}/channel?name=standup")).text, "at once"
    lab.later(1)
    rows_left = (await browser.get(paths["channel"])).json()["rows"]["members"]
    assert [row["user"] for row in rows_left] == ["bob"]


# --- one-time sign-in ---


def code_of(operated: Operated, role: Role = "viewer") -> str:
    link = operated.station.sign_in_link(role)
    assert link is not None
    address, _, code = link.partition("#")
    assert address == f"{operated.station.internal_url}/console/once"
    return code


async def test_a_one_time_code_signs_in_once(operate: Operate, lab: Lab) -> None:
    operated: Operated = await operate(lab.app(), database=False)
    code = code_of(operated)
    one, two = Browser(await operated.client(key="")), Browser(await operated.client(key=""))
    for _ in range(3):
        assert (await one.get("/once")).status_code == 200, "looking at the page does not use it up"
    assert (await one.submit("/once", "/once", code=code)).status_code == 303
    assert "viewer" in (await one.get("/account")).text
    assert (await one.get("/")).status_code == 200
    assert (await two.submit("/once", "/once", code=code)).status_code == 403
    assert (await two.submit("/once", "/once", code="made up")).status_code == 403
    assert "no accounts" in (await two.get("/signin")).text
    lab.later(3700)
    assert (await one.get("/")).status_code == 303


async def test_a_one_time_code_is_good_for_ten_minutes(operate: Operate, lab: Lab) -> None:
    operated: Operated = await operate(lab.app(), database=False)
    code = code_of(operated)
    lab.later(600)
    browser = Browser(await operated.client(key=""))
    assert (await browser.submit("/once", "/once", code=code)).status_code == 403


# --- what is never there ---


def test_nothing_that_is_served_asks_for_or_holds_a_content_key() -> None:
    from pathlib import Path

    from sealcast.server.http.console import rendering

    place = Path(rendering.__file__).parent
    served = [*place.glob("static/*"), *place.glob("templates/*")]
    assert len(served) > 10
    for path in served:
        text = path.read_text("utf-8").lower()
        for word in ("content key", "content_key", "crypto.subtle", "passphrase", "aes", "hkdf", "importkey"):
            found = [
                line for line in text.splitlines() if word in line and "never sees a content key" not in line
            ]
            assert not found, (path.name, found)
        for field in ("input", "textarea"):
            for tag in re.findall(rf"<{field}[^>]*>", text):
                assert not re.search(r'name="[^"]*key[^"]*"', tag), tag
