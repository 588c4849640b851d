"""One Chromium for all tests here, and for each a station of its own and a fresh profile."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from .stage import EMAIL, PASSWORD, Stage, Trouble, chromium, path_of_chromium, staged

PATIENCE = 20_000
"""Milliseconds for what should be there in a fraction of a second."""

SignIn = Callable[..., Awaitable[Page]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    if path_of_chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium, and CI has to have one: apt-get install chromium")
        pytest.skip("no Chromium here; on Debian and Ubuntu: apt-get install chromium")
    async with chromium() as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: Browser) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Open pages, each in a profile of its own. What any of them complains of fails the test."""
    opened: list[tuple[Page, Trouble]] = []
    expect.set_options(timeout=PATIENCE)

    async def begin(
        width: int = 1280, height: int = 900, allowed: str = "nothing", **options: object
    ) -> Page:
        context = await browser.new_context(viewport={"width": width, "height": height}, **options)  # type: ignore[arg-type]
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        opened.append((page, Trouble(page, allowed)))
        return page

    yield begin
    for page, trouble in opened:
        await page.context.close()
        assert trouble.seen == []


@pytest_asyncio.fixture(loop_scope="session")
async def sign_in(stage: Stage, open_page: Callable[..., Awaitable[Page]]) -> SignIn:
    async def begin(**options: object) -> Page:
        page = await open_page(**options)
        await page.goto(f"{stage.url}/")
        await page.get_by_label("E-mail").fill(EMAIL)
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        return page

    return begin
