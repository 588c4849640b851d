"""Screenshots of the console for the documentation: ``make screenshots``.

Starts a station with members that talk, looks at the main pages in Chromium, and writes ``docs/images/``.
What moves differs from run to run; sizes, pages and names do not.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
from playwright.async_api import Browser, Page, expect

from sealcast.client import Channel

from .stage import APP, EMAIL, PASSWORD, Stage, chromium, path_of_chromium, staged

__all__ = ["FORMS", "PLACE", "Form", "names", "pages"]

PLACE: Final = Path(__file__).parents[2] / "docs" / "images"
_CHANNEL: Final = "standup"
_PAST: Final = "incident-42"
_GONE: Final = ("mallory", "trent", "wendy")
_SECONDS: Final = 30
"""How long members have talked when the pictures are made, so that charts have something to show."""


class Form(NamedTuple):
    """How a page is looked at."""

    width: int
    height: int
    scheme: str


FORMS: Final = {
    "light": Form(1280, 900, "light"),
    "dark": Form(1280, 900, "dark"),
    "phone": Form(375, 812, "light"),
}


def pages() -> dict[str, str]:
    """The main pages, by the name of their pictures; ids that are not known before stand in braces."""
    app = f"/apps/{APP}"
    return {
        "signin": "",
        "overview": "/",
        "apps": "/apps",
        "app": app,
        "channel": f"{app}/channel?name={_CHANNEL}",
        "member": f"{app}/member?channel={_CHANNEL}&user=alice",
        "calls": f"{app}/calls",
        "call": f"{app}/calls/{{call}}",
        "bans": f"{app}/bans",
        "ban": f"{app}/bans/new?user=mallory&channel={_CHANNEL}",
        "revocations": f"{app}/revocations",
        "webhooks": f"{app}/webhooks",
        "webhook": f"{app}/webhooks/{{webhook}}",
        "blocks": "/blocks",
        "audit": "/audit",
        "keys": "/keys",
        "accounts": "/accounts",
    }


def names() -> set[str]:
    """The names of all pictures."""
    return {f"console-{page}-{form}.png" for page in pages() for form in FORMS}


async def _sign_in(page: Page, stage: Stage) -> None:
    await page.goto(f"{stage.url}/signin")
    await page.get_by_label("E-mail").fill(EMAIL)
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()


async def _begin(stage: Stage, api: httpx.AsyncClient) -> tuple[str, list[Channel]]:
    """Let there be a call that is to end, and a webhook whose receiver wants nothing; return its id."""
    hooks = f"/apps/{APP}/webhooks"
    await _post(api, hooks, url="https://backend.example/sealcast", enabled=False)
    made = await _post(api, hooks, url=stage.receiver.url, kinds=["member.joined", "member.left"])
    stage.receiver.status = 410
    return made["webhook"]["webhook_id"], [await stage.member(user, _PAST) for user in _GONE]


async def _furnish(stage: Stage, api: httpx.AsyncClient, past: list[Channel]) -> str:
    """Let there be something to see on every page; return the id of the call that has ended."""
    app, warden = f"/apps/{APP}", stage.station.hub.warden
    for member in past:
        await member.send(b"a message")
        await member.leave()
    await _post(api, "/keys", name="backend", scopes=["apps:read", "channels:read", "bans:write"])
    await _post(api, "/keys", name="dashboard", scopes=["usage:read", "metrics:read"])
    await _post(api, f"{app}/bans", user="mallory", reason="shouting, twice")
    await _post(api, f"{app}/bans", user="trent", channel="retro", privileges=["video"], duration=7 * 86_400)
    await _post(api, f"{app}/bans", address="198.51.100.0/24", duration=3600, reason="a scraper")
    await _post(api, f"{app}/revocations", user="wendy", reason="a lost phone")
    await _post(api, f"{app}/revocations", token_id="9f86d081884c7d659a2feaa0c55ad015")
    await _post(api, "/blocks", network="203.0.113.0/24", seconds=86_400, reason="a flood")
    while not warden.standing("192.0.2.7").refusal:
        warden.offend("192.0.2.7", "invalid_token", APP)
    found = (await api.get(f"{app}/calls", params={"channel": _PAST})).json()["items"]
    call_id: str = found[0]["call_id"]
    return call_id


async def _post(api: httpx.AsyncClient, path: str, **body: Any) -> Any:
    answer = await api.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


async def _shoot(browser: Browser, stage: Stage, form: str, ids: dict[str, str]) -> None:
    width, height, scheme = FORMS[form]
    context = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,  # type: ignore[arg-type]
        reduced_motion="reduce",
    )
    page = await context.new_page()
    for name, path in pages().items():
        if not path:
            await page.goto(f"{stage.url}/signin")
        else:
            if name == "overview":
                await _sign_in(page, stage)
            await page.goto(stage.url + path.format_map(ids))
            if await page.locator("[data-live]").count():
                await expect(page.locator("[data-live-state]")).to_have_text("live")
        await page.screenshot(path=PLACE / f"console-{name}-{form}.png", animations="disabled", caret="hide")
    await context.close()


async def _watch(browser: Browser, stage: Stage) -> Page:
    """Look at what is collected only while somebody does, so that it is there for the pictures."""
    context = await browser.new_context()
    page = await context.new_page()
    await _sign_in(page, stage)
    for name, path in pages().items():
        if name in ("app", "channel", "member"):
            watching = await context.new_page()
            await watching.goto(stage.url + path)
    return page


async def main() -> None:
    """Make all of them."""
    PLACE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        async with staged(Path(place), "relay-1") as stage, chromium() as browser:
            assert stage.station.store is not None
            for name, role in (("grace@example.org", "operator"), ("linus@example.org", "viewer")):
                await stage.station.store.accounts.create(name, "no password is good", role)  # type: ignore[arg-type]
            for user, every in (("alice", 0.02), ("bob", 0.04), ("carol", 0.1), ("dave", 0.5)):
                stage.talk(await stage.member(user, _CHANNEL), every)
            for channel in ("retro", "planning"):
                stage.talk(await stage.member("erin", channel), 0.06)
            api = await stage.api()
            webhook, past = await _begin(stage, api)
            await _watch(browser, stage)
            await asyncio.sleep(_SECONDS)
            ids = {"webhook": webhook, "call": await _furnish(stage, api, past)}
            for form in FORMS:
                await _shoot(browser, stage, form, ids)


if __name__ == "__main__":
    if path_of_chromium() is None:
        sys.exit("no Chromium here; on Debian and Ubuntu: apt-get install chromium")
    asyncio.run(main())
