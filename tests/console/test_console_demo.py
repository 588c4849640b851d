"""What somebody sees who starts the demo and opens the link that it prints."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]


@contextlib.asynccontextmanager
async def demo() -> AsyncIterator[str]:
    """Run a demo without an end; return the link to its console. It has to end well when it is asked to."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sealcast.cli", "demo", "--keep", "--participants", "2"),
        stdout=asyncio.subprocess.PIPE,
        process_group=0,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(rb"http\S+/console/once#\S+", await process.stdout.readline())):
                assert not process.stdout.at_eof(), "it has printed no link"
        yield found[0].decode()
        process.send_signal(signal.SIGINT)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 0, out.decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_link_of_the_demo_shows_its_channel_live(open_page: Callable[..., Awaitable[Page]]) -> None:
    page = await open_page()
    async with demo() as link:
        await page.goto(link)
        await expect(page.get_by_label("Code")).not_to_have_value("")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        await expect(page.locator("[data-live-state]")).to_have_text("live")
        await expect(page.locator('[data-figure="members"] .value')).to_have_text("2")
        await expect(page.locator('[data-figure="frames"] .value')).not_to_have_text("0")
        await page.get_by_role("table", name="Largest channels").get_by_role("link").click()
        rows = page.get_by_role("table", name="Members").locator("tbody tr")
        await expect(rows).to_have_count(2)
        await expect(page.locator('[data-figure="frames"] .value')).not_to_have_text("0")
        await expect(page.locator('[data-figure="encrypted"] .value')).to_have_text("100 %")
        assert await page.get_by_role("button", name="Kick").count() == 0, "the demo's link is a viewer's"
        await page.goto("about:blank")
