"""The console in a real Chromium, while real members talk."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, expect

from sealcast.client import ChannelClosed

from .stage import APP, EMAIL, PASSWORD, Stage

if TYPE_CHECKING:
    from .conftest import SignIn

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

OpenPage = Callable[..., Awaitable[Page]]
PATH = f"/apps/{APP}"
PAGES = (
    *(
        "/",
        "/apps",
        PATH,
        f"{PATH}/channel?name=standup",
        "/accounts",
        "/account",
        "/audit",
        "/blocks",
        "/keys",
    ),
    *(f"{PATH}/bans", f"{PATH}/bans/new", f"{PATH}/revocations", f"{PATH}/calls", f"{PATH}/webhooks"),
)
LONG = "a-user-with-quite-a-long-name@department.example.org"


async def test_an_app_is_made_and_shown_with_its_certificate_once(sign_in: SignIn) -> None:
    page = await sign_in()
    await page.get_by_role("link", name="Apps").click()
    await page.get_by_label("Name").fill("Calls of the second floor")
    await page.get_by_role("button", name="Create").click()
    await expect(page.get_by_role("heading", name="Calls of the second floor")).to_be_visible()
    await expect(page.locator("#secret")).to_have_text(re.compile(r"^[0-9a-f]{32}$"))
    await page.reload()
    await expect(page.locator("#secret")).to_have_count(0)


async def test_certificates_are_rotated_each_step_confirmed(sign_in: SignIn) -> None:
    page = await sign_in()
    await page.get_by_role("link", name="Apps").click()
    await page.get_by_label("Name").fill("Rotating")
    await page.get_by_role("button", name="Create").click()
    first = (await page.locator("#secret").text_content() or "").strip()

    async def confirm(button: str, answer: str = "Yes") -> None:
        await page.get_by_role("button", name=button, exact=True).click()
        await page.get_by_role("dialog").get_by_role("button", name=answer).click()

    await confirm("Add a secondary", "No")
    await expect(page.get_by_text("secondary", exact=True)).to_have_count(0)
    await confirm("Add a secondary")
    second = (await page.locator("#secret").text_content() or "").strip()
    assert second != first
    await confirm("Swap")
    await expect(page.get_by_role("row", name="primary")).to_contain_text(second[-4:])
    await confirm("Disable")
    await confirm("Delete")
    await expect(page.get_by_role("row", name="secondary")).to_have_count(0)


async def test_a_channel_is_seen_to_live(stage: Stage, sign_in: SignIn) -> None:
    page = await sign_in()
    await expect(page.get_by_text("Nobody is in a channel.")).to_be_visible()
    alice = await stage.member("alice")
    await page.get_by_role("link", name="standup").click()
    await expect(page.locator("[data-live-state]")).to_have_text("live")
    await expect(page.locator('[data-figure="members"] .value')).to_have_text("1")
    await stage.member("bob")
    await expect(page.locator('[data-figure="members"] .value')).to_have_text("2")
    stage.talk(alice)
    row = page.get_by_role("row", name="alice")
    await expect(row.locator('[data-field="audio"]')).to_have_text(re.compile(r"^[1-9][0-9]?$"))
    await expect(row.locator('[data-field="encrypted"]')).to_have_text("100 %")
    await expect(page.locator('[data-figure="frames"] .value')).not_to_have_text("0")
    await expect(page.locator('[data-figure="frames"] path.line')).to_have_attribute("d", re.compile("^M.*L"))
    await page.get_by_role("link", name="alice", exact=True).click()
    await expect(page.get_by_role("heading", name="alice")).to_be_visible()
    await expect(page.get_by_text("sealcast/")).to_be_visible()
    await expect(page.locator('[data-figure="frames"] .value')).not_to_have_text("0")


async def test_a_member_that_is_kicked_is_seen_to_go(stage: Stage, sign_in: SignIn) -> None:
    await stage.member("alice")
    bob = await stage.member("bob")
    page = await sign_in()
    await page.goto(f"{stage.url}/apps/{APP}/channel?name=standup")
    watching = await page.context.new_page()
    await watching.goto(page.url)
    await page.get_by_role("button", name="Kick bob").click()
    await expect(page.get_by_role("dialog")).to_contain_text("This member is put out.")
    await page.get_by_role("dialog").get_by_role("button", name="Yes").click()
    await expect(page.get_by_text("bob was put out.")).to_be_visible()
    for each in (page, watching):
        await expect(each.get_by_role("row", name="alice")).to_be_visible()
        await expect(each.get_by_role("row", name="bob")).to_have_count(0)
    with pytest.raises(ChannelClosed, match="kicked"):
        await bob.send(b"still here?")


async def test_without_the_script_the_server_asks_instead(stage: Stage, sign_in: SignIn) -> None:
    await stage.member("alice")
    await stage.member("bob")
    page = await sign_in(java_script_enabled=False)
    await page.goto(f"{stage.url}/apps/{APP}/channel?name=standup")
    await page.get_by_role("button", name="Kick bob").click()
    await expect(page.get_by_role("heading", name="Are you sure?")).to_be_visible()
    await page.get_by_role("button", name="Yes").click()
    await expect(page.get_by_text("bob was put out.")).to_be_visible()
    await expect(page.get_by_role("row", name="bob")).to_have_count(0)


async def test_signing_in_needs_no_mouse(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page()
    await page.goto(f"{stage.url}/")
    focused = "document.activeElement.textContent.trim() || document.activeElement.name"
    assert await page.evaluate(focused) == "email", "the first field has the focus"
    await page.keyboard.type(EMAIL)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await page.keyboard.press("Tab")
    assert await page.evaluate(focused) == "Skip to the content"
    assert await page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0, "it is seen"
    order = []
    for _ in range(10):
        await page.keyboard.press("Tab")
        order.append(await page.evaluate(focused))
        ring = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring == "solid", order[-1]
    pages = ["Overview", "Apps", "Blocks", "Audit", "Keys", "Accounts"]
    assert order == ["sealcast", *pages, EMAIL, "Sign out", order[-1]]
    await page.goto(f"{stage.url}/apps")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"


async def test_a_one_time_link_signs_in_and_leaves_no_code_behind(stage: Stage, open_page: OpenPage) -> None:
    page = await open_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(json.dumps([request.url, request.headers])))
    link = stage.station.sign_in_link("viewer")
    assert link is not None
    code = link.partition("#")[2]
    await page.goto(link)
    await expect(page.get_by_label("Code")).to_have_value(code)
    assert page.url == f"{stage.url}/once"
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await expect(page.get_by_text("viewer")).to_be_visible()
    assert not [request for request in sent if code in request.replace("#" + code, "")]


async def test_who_is_signed_out_elsewhere_sees_the_sign_in(stage: Stage, sign_in: SignIn) -> None:
    page = await sign_in(allowed="401")  # Chromium says so of the answer that tells it
    await page.evaluate("""async () => {
        const text = await (await fetch('/console/account')).text();
        const page = new DOMParser().parseFromString(text, 'text/html');
        const body = new URLSearchParams({csrf: page.querySelector('[name=csrf]').value});
        await fetch('/console/signout/everywhere', {method: 'POST', body, redirect: 'manual'});
    }""")
    await expect(page.get_by_role("button", name="Sign in")).to_be_visible()


async def furnished(stage: Stage) -> tuple[str, ...]:
    """Let there be something of everything, with names as long as they come; return the pages of all."""
    api, hooks = await stage.api(), f"/apps/{APP}/webhooks"
    await stage.member(LONG)
    ban = {"user": "x" * 200, "channel": "y" * 60, "reason": "because " * 30, "duration": 3600}
    made = [(await api.post(f"/apps/{APP}/bans", json=ban)).json()["ban_id"]]
    long_url = f"{stage.receiver.url}/{'a-long-path' * 20}"
    stage.receiver.status = 410
    hook = (await api.post(hooks, json={"url": long_url})).json()["webhook"]["webhook_id"]
    scopes = ["apps:read", "channels:read", "members:write", "bans:write"]
    for path, body in (
        (f"/apps/{APP}/revocations", {"user": "v" * 200, "reason": "w" * 200}),
        ("/blocks", {"network": "2001:db8:1234:5678::/64", "reason": "w" * 200}),
        ("/keys", {"name": "w" * 60, "scopes": scopes}),
    ):
        (await api.post(path, json=body)).raise_for_status()
    await stage.member(LONG, "retro")
    while (await api.get(f"{hooks}/{hook}")).json()["dead"] < 2:
        await asyncio.sleep(0)
    call = (await api.get(f"/apps/{APP}/calls")).json()["items"][0]["call_id"]
    return (
        *PAGES,
        f"{PATH}/member?channel=retro&user={LONG}",
        f"{PATH}/bans/{made[0]}",
        f"{PATH}/webhooks/{hook}",
        f"{PATH}/calls/{call}",
    )


@pytest.mark.parametrize("width", [375, 768, 1280])
async def test_no_page_is_wider_than_its_window(stage: Stage, sign_in: SignIn, width: int) -> None:
    pages = await furnished(stage)
    page = await sign_in(width=width, height=800)
    for path in pages:
        await page.goto(stage.url + path)
        wide = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, path


_LABELS = """
() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a, summary')]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.labels?.length || one.textContent.trim() || one.getAttribute('aria-label')))
  .map((one) => one.outerHTML)
"""
_CONTRAST = """
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', {willReadFrequently: true});
  const parse = (text) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (one) => {
    for (let at = one; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] > 0.99) return color;
    }
    return parse(getComputedStyle(document.body).backgroundColor);
  };
  const poor = [];
  for (const one of document.querySelectorAll('body *')) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !one.checkVisibility() || one.closest('.unseen, .skip, noscript, template')) continue;
    const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${one.tagName}.${one.className} ${one.textContent.trim()} ${ratio}`);
  }
  return poor;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_has_a_name_and_can_be_read(stage: Stage, sign_in: SignIn, scheme: str) -> None:
    pages = await furnished(stage)
    page = await sign_in(color_scheme=scheme)
    background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(17, 21, 27)") == (scheme == "dark")
    for path in pages:
        await page.goto(stage.url + path)
        assert await page.evaluate(_LABELS) == [], path
        assert await page.evaluate(_CONTRAST) == [], path
        levels = await page.evaluate("[...document.querySelectorAll('h1, h2')].map((one) => one.tagName)")
        assert levels.count("H1") == 1, path
        repeated = await page.evaluate(
            "(() => { const ids = [...document.querySelectorAll('[id]')].map((one) => one.id);"
            " return ids.filter((id, i) => ids.indexOf(id) !== i); })()"
        )
        assert repeated == [], path
