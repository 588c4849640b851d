"""Rules, records and webhooks in a real Chromium: what is done there is done to real members."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Page, expect

from sealcast.client import ChannelClosed, JoinRefused

from .stage import APP, EMAIL, Stage

if TYPE_CHECKING:
    from .conftest import SignIn

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

PATH = f"/apps/{APP}"


async def confirm(page: Page, said: str) -> None:
    """Say yes to what the page asks."""
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text(said)
    await dialog.get_by_role("button", name="Yes").click()


async def test_a_member_that_is_banned_goes_and_comes_back_when_the_ban_is_lifted(
    stage: Stage, sign_in: SignIn
) -> None:
    await stage.member("alice")
    bob = await stage.member("bob")
    page = await sign_in()
    watching = await page.context.new_page()
    await watching.goto(f"{stage.url}{PATH}/channel?name=standup")
    await expect(watching.get_by_role("row", name="bob")).to_be_visible()
    await page.goto(watching.url)
    await page.get_by_role("link", name="Ban bob").click()
    await expect(page.get_by_label("User")).to_have_value("bob")
    await expect(page.get_by_label("Channel")).to_have_value("standup")
    await page.get_by_label("Number").fill("2")
    await page.get_by_label("Reason").fill("shouting")
    await page.get_by_role("button", name="Ban", exact=True).click()
    await confirm(page, "is put out")
    await expect(page.get_by_text("Banned: user bob, channel standup.")).to_be_visible()
    await expect(watching.get_by_role("row", name="alice")).to_be_visible()
    await expect(watching.get_by_role("row", name="bob")).to_have_count(0)
    with pytest.raises(ChannelClosed, match="banned"):
        await bob.send(b"still here?")
    with pytest.raises(JoinRefused, match="banned"):
        await stage.member("bob")

    await page.get_by_role("link", name="Audit").click()
    entry = page.get_by_role("row", name="ban.created")
    await expect(entry).to_contain_text(f"account {EMAIL}")
    await expect(entry).to_contain_text("127.0.0.1")
    await expect(entry).to_contain_text("shouting")

    await page.goto(f"{stage.url}{PATH}/bans")
    await page.get_by_role("button", name="Lift").click()
    await confirm(page, "given back at once")
    await expect(page.get_by_text("Nobody is banned.")).to_be_visible()
    await stage.member("bob")
    await expect(watching.get_by_role("row", name="bob")).to_be_visible()


async def test_a_ban_needs_neither_mouse_nor_script(stage: Stage, sign_in: SignIn) -> None:
    bob = await stage.member("bob")
    page = await sign_in(java_script_enabled=False)
    await page.goto(f"{stage.url}{PATH}/member?channel=standup&user=bob")
    await page.get_by_role("link", name="Ban", exact=True).press("Enter")
    await expect(page.get_by_label("User")).to_have_value("bob")
    await page.get_by_label("Reason").press("Enter")
    await expect(page.get_by_role("heading", name="Are you sure?")).to_be_visible()
    await page.get_by_role("button", name="Yes").press("Enter")
    await expect(page.get_by_text("Banned: user bob, channel standup.")).to_be_visible()
    with pytest.raises(ChannelClosed, match="banned"):
        await bob.send(b"still here?")


async def test_the_tokens_of_a_member_are_revoked(stage: Stage, sign_in: SignIn) -> None:
    bob = await stage.member("bob")
    page = await sign_in()
    await page.goto(f"{stage.url}{PATH}/member?channel=standup&user=bob")
    await page.get_by_role("link", name="Revoke its tokens").click()
    await page.get_by_role("button", name="Revoke").click()
    await confirm(page, "put out at once")
    await expect(page.get_by_text("Revoked: tokens of user bob for channel standup.")).to_be_visible()
    with pytest.raises(ChannelClosed):
        await bob.send(b"still here?")


async def test_a_block_is_lifted(stage: Stage, sign_in: SignIn) -> None:
    page, warden = await sign_in(), stage.station.hub.warden
    while not warden.standing("192.0.2.7").refusal:
        warden.offend("192.0.2.7", "invalid_token", APP)
    await page.get_by_role("link", name="Blocks").click()
    row = page.get_by_role("row", name="192.0.2.7")
    await expect(row).to_contain_text("the relay itself")
    await row.get_by_role("button", name="Lift").click()
    await confirm(page, "let in again")
    await expect(page.get_by_text("No address is blocked.")).to_be_visible()
    assert not warden.standing("192.0.2.7").refusal


async def test_a_call_that_ended_is_found(stage: Stage, sign_in: SignIn) -> None:
    alice = await stage.member("alice", "retro")
    await stage.member("bob", "standup")
    await alice.send(b"hello")
    await alice.leave()
    page = await sign_in()
    await page.goto(f"{stage.url}{PATH}")
    await page.get_by_role("link", name="Calls").click()
    await expect(page.get_by_role("row", name="standup")).to_contain_text("goes on")
    await page.get_by_label("User").fill("alice")
    await page.get_by_role("button", name="Search").click()
    await expect(page.get_by_role("row", name="standup")).to_have_count(0)
    row = page.get_by_role("row", name="retro")
    await expect(row).to_contain_text("over")
    await row.get_by_role("link", name="retro").click()
    await expect(page.get_by_role("heading", name="Call in retro")).to_be_visible()
    member = page.get_by_role("row", name="alice")
    await expect(member).to_contain_text("127.0.0.1")
    await expect(member).to_contain_text("left")


async def test_a_dead_letter_is_revived(stage: Stage, sign_in: SignIn) -> None:
    page, receiver = await sign_in(), stage.receiver
    await page.goto(f"{stage.url}{PATH}/webhooks")
    await page.get_by_label("Address, where").fill(receiver.url)
    await page.get_by_label("member.joined").check()
    await page.get_by_role("button", name="Add").click()
    await expect(page.locator("#secret")).to_have_text(re.compile("^whsec_"))
    await page.get_by_role("button", name="Send a test event").click()
    await expect(page.get_by_text("The test event arrived; the answer: 204")).to_be_visible()
    receiver.status = 410
    await stage.member("alice")
    row = page.get_by_role("row", name="alice in standup")
    async with asyncio.timeout(20):
        while not await row.count():
            await page.reload()
    await expect(row).to_contain_text("410")
    receiver.status = 204
    before = len(receiver.told)
    await row.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("The delivery is tried again.")).to_be_visible()
    async with asyncio.timeout(20):
        while len(receiver.told) == before:
            await asyncio.sleep(0.01)
    assert b'"user":"alice"' in receiver.told[-1]
    await page.reload()
    await expect(page.get_by_text("still being tried")).to_be_visible()


async def test_a_key_is_made_and_deleted(stage: Stage, sign_in: SignIn) -> None:
    page = await sign_in()
    await page.get_by_role("link", name="Keys").click()
    await page.get_by_label("Name").fill("backend")
    await page.get_by_label("apps:read").check()
    await page.get_by_role("button", name="Make").click()
    await expect(page.locator("#secret")).to_have_text(re.compile("^sealcast_"))
    await page.get_by_role("button", name="Delete backend").click()
    await confirm(page, "refused from now on")
    await expect(page.get_by_role("row", name="backend")).to_have_count(0)
