"""What the console's pages of rules, records and webhooks do, over HTTP and with real members."""

from __future__ import annotations

import asyncio
import html
import re
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from sealcast.protocol.controls import Join
from sealcast.server.store.records import StoreDown

from .browsing import Browser, SignedIn
from .conftest import Operate, Operated

if TYPE_CHECKING:
    from ..conftest import Lab
    from .receiver import Backend

PATH = "/apps/0123456789abcdef0123456789abcdef"


@pytest_asyncio.fixture
async def operated(operate: Operate, lab: Lab) -> Operated:
    """A station with an app, whose webhooks may go to this machine."""
    started: Operated = await operate(lab.app(), hooks={"private": True, "insecure": True})
    return started


async def read(browser: Browser, path: str, status: int = 200) -> str:
    """Return what a page says, without its tags."""
    answer = await browser.get(path)
    assert answer.status_code == status, answer.text
    main = re.sub(r"(?s)<(script|template).*?</\1>", "", answer.text.partition('<main id="main"')[2])
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main)))


async def submit(browser: Browser, path: str, **fields: str) -> str:
    """Send a form with a yes; return what the page says that it leads to."""
    answer = await browser.submit(path, confirmed="yes", **fields)
    assert answer.status_code == 303, answer.text
    return await read(browser, answer.headers["location"].removeprefix("/console"))


async def logged(operated: Operated) -> list[tuple[str, str]]:
    """Return who did what, from the audit log, the oldest first."""
    from sealcast.server.store.audit import Asked

    assert operated.station.store is not None
    entries = await operated.station.store.audit.page(Asked())
    return [(entry.actor, entry.action) for entry in reversed(entries)]


# --- bans and revoked tokens ---


async def test_who_is_banned_is_put_out_and_comes_back_when_it_is_lifted(
    signed_in: SignedIn, operated: Operated, lab: Lab
) -> None:
    browser = await signed_in("operator")
    ann, bob = await lab.connect(operated.station), await lab.connect(operated.station)
    await ann.join("standup", "ann")
    await bob.join("standup", "bob")
    assert "Nobody is banned." in await read(browser, f"{PATH}/bans")
    form = (await browser.get(f"{PATH}/member?channel=standup&user=ann")).text
    (link,) = re.findall(r'href="/console([^"]+/bans/new[^"]+)"', form)
    prefilled = (await browser.get(html.unescape(link))).text
    assert 'name="user" maxlength="255" value="ann"' in prefilled
    assert 'name="channel" maxlength="64" value="standup"' in prefilled

    ban = {"user": "ann", "channel": "standup", "amount": "2", "unit": "hours", "takes_join": "yes"}
    asked = await browser.submit(f"{PATH}/bans", **ban, reason="shouting")
    assert (asked.status_code, "Are you sure?" in asked.text) == (200, True)
    assert "Nobody is banned." in await read(browser, f"{PATH}/bans"), "nothing before the yes"
    said = await submit(browser, f"{PATH}/bans", **ban, reason="shouting")
    assert "Banned: user ann, channel standup." in said
    assert "shouting" in said
    assert await ann.ended() == (4508, "banned")
    again = await lab.connect(operated.station)
    join = Join(channel="standup", user="ann", token=lab.token("standup", "ann"))
    assert (await again.refused(join)).name == "banned"

    assert "user ann" in await read(browser, f"{PATH}/bans?user=ann")
    assert "No ban names that." in await read(browser, f"{PATH}/bans?user=bob")
    page = (await browser.get(f"{PATH}/bans")).text
    (one,) = re.findall(rf'href="/console({PATH}/bans/[0-9a-f]{{20}})"', page)
    lab.later(1)
    changed = await submit(browser, f"{one}/change", amount="", unit="days")
    assert "Until it is lifted" in changed
    assert "number of minutes, hours, days" in await submit(browser, f"{one}/change", amount="x", unit="days")
    assert "duration" in await submit(browser, f"{one}/change", amount="0", unit="days")
    assert "The ban is lifted: user ann, channel standup." in await submit(browser, f"{one}/lift")
    await read(browser, one, 404)
    await again.join("standup", "ann")
    actor = "account operator@example.org"
    assert (await logged(operated))[-3:] == [
        (actor, action) for action in ("ban.created", "ban.changed", "ban.lifted")
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"takes_join": "yes"}, "names nobody"),
        ({"user": "ann"}, "privileges"),
        ({"user": "ann", "takes_join": "yes", "amount": "-1", "unit": "hours"}, "for how long"),
        ({"user": "ann", "takes_join": "yes", "amount": "nan", "unit": "hours"}, "for how long"),
        ({"user": "ann", "takes_join": "yes", "amount": "1", "unit": "years"}, "for how long"),
        ({"user": "ann", "takes_video": "yes", "amount": "0", "unit": "hours"}, "a duration of 0 puts out"),
        ({"address": "here", "takes_join": "yes"}, "address"),
        ({"channel": "a*b", "takes_join": "yes"}, "channel"),
        ({"user": "ann", "takes_join": "yes", "reason": "x" * 300}, "reason"),
    ],
)
async def test_a_ban_that_makes_no_sense_is_refused_on_its_form(
    signed_in: SignedIn, fields: dict[str, str], problem: str
) -> None:
    browser = await signed_in()
    said = await submit(browser, f"{PATH}/bans", **fields)
    assert "Ban somebody" in said
    assert problem in said
    assert "Nobody is banned." in await read(browser, f"{PATH}/bans")


async def test_tokens_are_revoked_of_a_user_and_one_by_its_id_and_are_good_again(
    signed_in: SignedIn, operated: Operated, lab: Lab
) -> None:
    browser, path = await signed_in(), f"{PATH}/revocations"
    ann = await lab.connect(operated.station)
    token = lab.token("standup", "ann")
    await ann.join("standup", "ann", token=token)
    form = (await browser.get(f"{path}?of_user=ann&of_channel=standup")).text
    assert 'name="user" maxlength="255" value="ann"' in form
    said = await submit(browser, path, user="ann", channel="standup", reason="a lost phone")
    assert "Revoked: tokens of user ann for channel standup." in said
    assert "a lost phone" in said
    await ann.ended()
    again = await lab.connect(operated.station)
    await again.refused(Join(channel="standup", user="ann", token=token))
    assert "No revocation names that." in await read(browser, f"{path}?user=bob")
    (one,) = re.findall(rf'action="/console({path}/[0-9a-f]{{20}}/lift)"', (await browser.get(path)).text)
    assert "The revocation is lifted." in await submit(browser, one)
    await again.join("standup", "ann", token=token)

    assert "Revoked: token" in await submit(browser, path, token_id="0123456789abcdef" * 2)
    assert "Revoked: all tokens." in await submit(browser, path, issued_before="2027-01-15T07:00")
    entry = await read(browser, "/audit?action=revocation.created")
    assert f"token_id {'0123456789abcdef' * 2}" in entry, "an id is no secret"
    assert "issued_before 2027-01-15 07:00 UTC" in entry
    for fields, problem in (
        ({}, "names nothing"),
        ({"token_id": "x"}, "token_id"),
        ({"token_id": "0" * 32, "user": "ann"}, "give nothing else"),
        ({"issued_before": "yesterday"}, "a day and a time"),
        ({"issued_before": "2027-01-15T07:00+01:00"}, "a day and a time"),
        ({"issued_before": "2020-01-01T00:00"}, "ended by themselves"),
    ):
        assert problem in await submit(browser, path, **fields)


# --- blocks ---


async def test_an_address_is_blocked_and_what_blocked_itself_is_lifted(
    signed_in: SignedIn, operated: Operated, lab: Lab
) -> None:
    browser, warden = await signed_in("operator"), operated.station.hub.warden
    assert "No address is blocked." in await read(browser, "/blocks")
    network = {"network": "203.0.113.0/24", "amount": "2", "unit": "days", "reason": "noise"}
    said = await submit(browser, "/blocks", **network)
    assert "203.0.113.0/24 is kept out." in said
    assert warden.standing("203.0.113.9").refusal == "blocked"
    for _ in range(10):
        warden.offend("198.51.100.4", "invalid_token", lab.APP)
    page = await read(browser, "/blocks")
    assert "198.51.100.4 the relay itself invalid_token" in page
    assert "203.0.113.0/24 operator noise" in page
    assert "198.51.100.4 is let in again." in await submit(browser, "/blocks/lift", network="198.51.100.4")
    assert not warden.standing("198.51.100.4").refusal
    for wrong in ("0.0.0.0/0", "203.0.113.7/24", "nowhere", ""):
        assert "network" in await submit(browser, "/blocks", network=wrong)
    refused = await browser.submit("/blocks/lift", network="192.0.2.1", confirmed="yes")
    assert refused.status_code == 404
    assert [action for _, action in await logged(operated)][-2:] == ["block.created", "block.lifted"]


async def test_a_block_of_the_configuration_is_shown_and_cannot_be_lifted(
    signed_in: SignedIn, operated: Operated
) -> None:
    browser, warden = await signed_in(), operated.station.hub.warden
    warden.configure(warden.rules.model_copy(update={"deny": ("192.0.2.0/24",)}))
    page = (await browser.get("/blocks")).text
    assert "it is taken out of the configuration" in page
    assert "/console/blocks/lift" not in page
    assert "the configuration" in await submit(browser, "/blocks/lift", network="192.0.2.0/24")


# --- calls ---


async def test_a_call_that_ended_is_found_with_who_was_in_it(
    signed_in: SignedIn, operated: Operated, lab: Lab
) -> None:
    browser, path = await signed_in("viewer"), f"{PATH}/calls"
    assert "There was no call yet." in await read(browser, path)
    ann, bob = await lab.connect(operated.station), await lab.connect(operated.station)
    for channel, user, client in (("standup", "ann", ann), ("retro", "bob", bob)):
        room = await client.join(channel, user)
        await client.frame(room)
        await client.settle()
    lab.later(125)
    await ann.ws.close()
    for search in ("channel=standup", "user=ann", "from=2027-01-15T08:00", "address=127.0.0.1"):
        page = await read(browser, f"{path}?{search}")
        assert "standup" in page, search
        assert ("retro" in page) == (search.startswith(("from", "address"))), search
    for search in ("channel=planning", "user=eve", "to=2027-01-15T07:00", "address=192.0.2.0/24"):
        assert "Nothing was found." in await read(browser, f"{path}?{search}"), search
    (one,) = re.findall(
        rf'href="/console({path}/[0-9a-f]{{24}})">standup', (await browser.get(f"{path}?user=ann")).text
    )
    call = await read(browser, one)
    for shown in ("after 2 min 5 s", "1 times, 1 at once", "ann 127.0.0.1", "left"):
        assert shown in call, shown
    assert "Ban" not in call, "a viewer bans nobody"
    (going_on,) = re.findall(
        rf'href="/console({path}/[0-9a-f]{{24}})">retro', (await browser.get(f"{path}?user=bob")).text
    )
    assert "goes on" in await read(browser, going_on)
    for search, problem in (
        ("address=here", "an IP address"),
        ("from=soon", "from: a day and a time"),
        ("channel=%2a", "channel"),
        ("cursor=%21", "cursor"),
    ):
        assert problem in await read(browser, f"{path}?{search}", 422)
    await read(browser, f"{path}/{'0' * 24}", 404)


# --- the audit log ---


async def test_the_audit_log_is_searched_paged_and_names_its_head(
    signed_in: SignedIn, operated: Operated
) -> None:
    browser, store = await signed_in("viewer"), operated.station.store
    assert store is not None
    for number in range(60):
        rule = {"rule": {"user": f"user-{number}", "until": None}}
        await store.audit.add("key 123", "ban.created", f"ban {number}", rule, address="192.0.2.7")
    head = (await store.audit.ends()).head
    first = (await browser.get("/audit?actor=key+123")).text
    assert f'<code id="head">{head.seq}:{head.hash.hex()}</code>' in first
    assert "user <code>user-59</code>" in first
    assert "user-5<" not in first
    (older,) = re.findall(r'href="/console(/audit\?actor=key\+123&amp;cursor=[^"]+)"', first)
    second = (await browser.get(html.unescape(older))).text
    assert "user-5<" in second
    assert "user-59" not in second
    assert "account.signed_in" not in second, "the filter goes along"
    assert "account.signed_in" in await read(browser, "/audit?action=account.signed_in")
    assert "ban 59" in await read(browser, "/audit?target=ban+5")
    assert "Nothing was found." in await read(browser, "/audit?from=2030-01-01T00:00")
    assert "a day and a time" in await read(browser, "/audit?to=never", 422)


# --- webhooks ---


async def test_a_webhook_is_made_tried_changed_and_deleted(
    signed_in: SignedIn, operated: Operated, backend: Backend
) -> None:
    browser, path = await signed_in("operator"), f"{PATH}/webhooks"
    assert "Nobody is told" in await read(browser, path)
    made = await browser.submit(path, url=backend.url, **{"told_member.left": "yes"})
    one = made.headers["location"].removeprefix("/console")
    page = (await browser.get(one)).text
    (secret,) = re.findall(r'<code id="secret">(whsec_[^<]+)</code>', page)
    assert secret not in (await browser.get(one)).text
    assert 'name="told_member.left" value="yes" checked' in page
    assert "member.left" in await read(browser, path)

    assert "The test event arrived; the answer: 204" in await submit(browser, f"{one}/test")
    backend.status = 500
    failed = await submit(browser, f"{one}/test")
    assert "The test event did not arrive; the answer: 500" in failed
    assert "disabled" in await submit(browser, f"{one}/disable")
    assert "The webhook is enabled." in await submit(browser, f"{one}/enable")
    rotated = await browser.submit(f"{one}/rotate", hours="1", confirmed="yes")
    assert rotated.status_code == 303
    page = (await browser.get(one)).text
    (new,) = re.findall(r'<code id="secret">(whsec_[^<]+)</code>', page)
    assert new != secret
    assert "signs too until" in page
    assert "overlap" in await submit(browser, f"{one}/rotate", hours="1000")
    changed = await submit(browser, f"{one}/change", url="https://backend.example/")
    assert "https://backend.example/" in changed
    assert "Is told everything" in changed
    for wrong in ("ftp://backend.example/", "https://user:word@backend.example/", ""):
        assert "url" in await submit(browser, path, url=wrong)
    assert "Nobody is told" in await submit(browser, f"{one}/delete")
    await read(browser, one, 404)


async def test_deliveries_that_were_given_up_are_tried_again_or_deleted(
    signed_in: SignedIn, operated: Operated, backend: Backend, lab: Lab
) -> None:
    browser, path = await signed_in("operator"), f"{PATH}/webhooks"
    made = await browser.submit(path, url=backend.url, **{"told_member.joined": "yes"})
    one = made.headers["location"].removeprefix("/console")
    assert "still being tried" in await read(browser, one)
    backend.status = 410
    for user in ("ann", "bob", "cid", "dan"):
        await (await lab.connect(operated.station)).join("standup", user)
    async with asyncio.timeout(lab.PATIENCE):
        while "Given up 4" not in await read(browser, one):
            pass
    page = (await browser.get(one)).text
    assert all(f"{user} in standup" in page for user in ("ann", "bob", "cid", "dan"))
    backend.status = 204
    backend.told.clear()
    forms = re.findall(rf'action="/console({one}/dead/[0-9]+/revive)"', page)
    assert "The delivery is tried again." in await submit(browser, forms[0])
    gone = forms[1].replace("/revive", "/delete")
    assert "The delivery is deleted." in await submit(browser, gone)
    assert (await browser.submit(gone, confirmed="yes")).status_code == 404
    assert (await browser.submit(f"{one}/dead/{'9' * 19}/revive")).status_code == 404
    assert (await browser.submit(f"{one}/dead/x/revive")).status_code == 404
    assert "Deliveries that are tried again: 2." in await submit(browser, f"{one}/revive")
    async with asyncio.timeout(lab.PATIENCE):
        while len(backend.told) < 3:
            backend.came.clear()
            await backend.came.wait()


# --- keys ---


async def test_a_key_is_shown_once_may_what_was_ticked_and_is_good_for_nothing_when_deleted(
    signed_in: SignedIn, operated: Operated, lab: Lab
) -> None:
    browser = await signed_in()
    assert "There is no API key" in await read(browser, "/keys")
    assert "tick what" in await submit(browser, "/keys", name="backend")
    assert "app_id" in await submit(browser, "/keys", name="backend", app_id="x", **{"may_apps:read": "yes"})
    made = await browser.submit("/keys", name="backend", days="30", **{"may_apps:read": "yes"})
    assert made.status_code == 303
    page = (await browser.get("/keys")).text
    (key,) = re.findall(r'<code id="secret">(sealcast_[^<]+)</code>', page)
    assert key not in (await browser.get("/keys")).text
    api = await operated.client(key)
    assert (await api.get("/api/v1/apps")).status_code == 200
    assert (await api.get("/api/v1/audit")).status_code == 403
    lab.later(31 * 86_400)
    assert (await api.get("/api/v1/apps")).status_code == 401
    browser = await signed_in(email="second@example.org")
    assert "ended" in await read(browser, "/keys")
    (delete,) = re.findall(r'action="/console(/keys/[0-9a-f]{12}/delete)"', (await browser.get("/keys")).text)
    assert "There is no API key" in await submit(browser, delete)


# --- how pages fail ---


async def test_a_page_that_fails_says_so_in_its_own_way_and_is_logged_once(
    signed_in: SignedIn,
    operated: Operated,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    browser = await signed_in()

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a secret of the request")

    assert operated.station.store is not None
    monkeypatch.setattr(operated.station.store.audit, "page", broken)
    capsys.readouterr()
    answer = await browser.get("/audit")
    assert answer.status_code == 500
    assert "This went wrong" in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src")
    assert "a secret" not in answer.text
    lines = [line for line in capsys.readouterr().out.splitlines() if answer.headers["x-request-id"] in line]
    assert len(lines) == 1
    assert "a page failed" in lines[0]


async def test_a_form_does_all_or_nothing_where_its_audit_entry_cannot_be_kept(
    signed_in: SignedIn, operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, store = await signed_in(), operated.station.store
    assert store is not None

    async def down(*_: object, **__: object) -> None:
        raise StoreDown("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(store.audit, "add", down)
        for path, fields in (
            ("/apps", {"name": "never"}),
            ("/keys", {"name": "never", "may_apps:read": "yes"}),
            (f"{PATH}/webhooks", {"url": "https://never.example/"}),
            ("/accounts", {"email": "never@example.org", "role": "viewer", "password": "long enough, this"}),
        ):
            answer = await browser.submit(path, confirmed="yes", **fields)
            assert answer.status_code == 503, path
    for path in ("/apps", "/keys", f"{PATH}/webhooks", "/accounts"):
        assert "never@" not in (page := (await browser.get(path)).text)
        assert "never.example" not in page
        assert ">never<" not in page
        assert 'role="status"' not in page, "nothing is told as if it had been done"


async def test_what_no_database_takes_comes_to_none(signed_in: SignedIn) -> None:
    browser = await signed_in()
    for path in (f"{PATH}/bans/%00", "/apps/%00", f"{PATH}/calls/%2e%2e%0a"):
        assert (await browser.get(path)).status_code == 404, path
    for path in ("/audit?actor=%00", f"{PATH}/calls?user=%00", "/accounts?after=%00"):
        assert (await browser.get(path)).status_code == 400, path
    assert (await browser.submit("/signin", email="\0@x", password="x")).status_code == 400


async def test_without_a_database_pages_say_that_they_need_one_and_rules_are_kept_in_memory(
    operate: Operate, lab: Lab
) -> None:
    operated: Operated = await operate(lab.app(), database=False)
    browser = Browser(await operated.client(key=""))
    link = operated.station.sign_in_link("admin")
    assert link is not None
    assert (await browser.submit("/once", "/once", code=link.partition("#")[2])).status_code == 303
    for path in ("/audit", "/keys", "/accounts", f"{PATH}/calls", f"{PATH}/webhooks"):
        answer = await browser.get(path)
        assert (answer.status_code, "there is no database" in answer.text) == (409, True), path
    await submit(browser, f"{PATH}/bans", user="ann", takes_join="yes")
    page = (await browser.get(f"{PATH}/bans")).text
    (one,) = re.findall(rf'href="/console({PATH}/bans/[0-9a-f]{{20}})"', page)
    assert "until the relay restarts" in await read(browser, one)
    assert "a restart lifts it" in await submit(browser, "/blocks", network="192.0.2.1")


async def test_names_are_shown_as_text_whatever_is_in_them(
    signed_in: SignedIn, operated: Operated, lab: Lab
) -> None:
    browser = await signed_in()
    user = "<script>alert(1)</script>&'\""
    client = await lab.connect(operated.station)
    await client.join("standup", user)
    await submit(browser, f"{PATH}/bans", user=user, takes_join="yes", reason="<i>why</i>")
    paths: list[str] = [f"{PATH}/bans", "/audit", f"{PATH}/calls"]
    found: list[Any] = re.findall(
        rf'href="/console({PATH}/(?:bans|calls)/[0-9a-f]{{20,}})"',
        "".join([(await browser.get(path)).text for path in paths]),
    )
    assert len(found) == 2
    for path in (*paths, *found):
        text = (await browser.get(path)).text
        assert "<script>alert" not in text, path
        assert "<i>" not in text, path
