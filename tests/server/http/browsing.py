"""A browser of the console as far as HTTP goes, and who signs in with it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

import httpx

__all__ = ["PASSWORD", "Browse", "Browser", "SignedIn"]

PASSWORD = "correct horse battery"


class Browser:
    """A browser as far as HTTP goes: it keeps cookies, and says where forms come from."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.origin = str(client.base_url).rstrip("/")

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(f"/console{path}")

    async def send(self, path: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        """Send a form as it is."""
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        return await self.client.post(f"/console{path}", data=fields, headers={**own, **headers})

    async def csrf(self, page: str = "/account") -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', (await self.get(page)).text)
        assert found is not None
        return found[1]

    async def submit(self, path: str, page: str = "/account", **fields: str) -> httpx.Response:
        """Send a form that stands on a page."""
        return await self.send(path, {"csrf": await self.csrf(page), **fields})

    async def sign_in(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return await self.submit("/signin", "/signin", email=email, password=password)


Browse = Callable[[], Awaitable[Browser]]
SignedIn = Callable[..., Awaitable[Browser]]
