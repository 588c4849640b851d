"""What the browser looks at: a station with real members that talk through it, and a Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from playwright.async_api import Browser, ConsoleMessage, Error, Page, async_playwright
from pydantic import SecretStr

from sealcast.client import Channel, Client, Key
from sealcast.client.tokens import mint
from sealcast.server.config import AppConfig, AppPolicy, Config, DatabaseConfig, HooksConfig, ServerConfig
from sealcast.server.passwords import Passwords
from sealcast.server.station import Station

__all__ = [
    "APP",
    "CERTIFICATE",
    "EMAIL",
    "PASSWORD",
    "Receiver",
    "Stage",
    "Trouble",
    "chromium",
    "path_of_chromium",
    "staged",
]

APP, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
SECRET = bytes(32)
_KEY = "key-of-the-stage-0123456789abcdef"
_SWITCHES = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def path_of_chromium() -> str | None:
    """Where Debian's Chromium is; nothing is downloaded."""
    named = os.environ.get("CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A Chromium without a screen, with a profile of its own."""
    path = path_of_chromium()
    assert path is not None, "looked for before"
    os.environ["PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD"] = "1"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(_SWITCHES), headless=True)
        try:
            yield browser
        finally:
            await browser.close()


class Trouble:
    """What a page complained of, but for *allowed*: errors, violations of its policy, exceptions."""

    def __init__(self, page: Page, allowed: str) -> None:
        self.seen: list[str] = []
        self._allowed = allowed
        page.on("console", self._said)
        page.on("pageerror", self._raised)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and self._allowed not in message.text:
            self.seen.append(message.text)

    def _raised(self, error: Error) -> None:
        self.seen.append(str(error))


class Receiver:
    """Takes what webhooks tell, and answers with a status."""

    def __init__(self) -> None:
        self.status = 204
        self.port = 0
        self.told: list[bytes] = []

    @property
    def url(self) -> str:
        """Where events are posted."""
        return f"http://127.0.0.1:{self.port}/sealcast/events"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Listen on this machine."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                self.told.append(await reader.readexactly(int(length)))
                writer.write(f"HTTP/1.1 {self.status} x\r\nContent-Length: 0\r\n\r\n".encode())
        writer.close()


class Stage:
    """A station, members that talk, and somebody who is told."""

    def __init__(self, station: Station, receiver: Receiver, stack: contextlib.AsyncExitStack) -> None:
        self.station = station
        self.receiver = receiver
        self._stack = stack

    @property
    def url(self) -> str:
        """The console's address."""
        assert self.station.internal_url is not None
        return f"{self.station.internal_url}/console"

    async def member(self, user: str, channel: str = "standup") -> Channel:
        """Let somebody join with the SDK."""
        assert self.station.address is not None
        host, port = self.station.address
        client = await self._stack.enter_async_context(Client(f"ws://{host}:{port}", app_id=APP))
        token = mint(APP, CERTIFICATE, channel, user)
        return await client.join(channel, user=user, token=token, key=Key.raw(SECRET))

    async def api(self) -> httpx.AsyncClient:
        """Return a client of the API that may do everything."""
        headers = {"Authorization": f"Bearer {_KEY}"}
        address = f"{self.station.internal_url}/api/v1"
        client = httpx.AsyncClient(base_url=address, headers=headers, trust_env=False, timeout=20)
        return await self._stack.enter_async_context(client)

    def talk(self, room: Channel, every: float = 0.02, message_every: int = 50) -> None:
        """Let a member send sealed frames and messages until the end."""

        async def talking() -> None:
            audio, video = room.stream("audio"), room.stream("video")
            for turn in range(1_000_000):
                audio.send(turn.to_bytes(4, "big") * 20)
                if turn % 2:
                    video.send(turn.to_bytes(4, "big") * 200, keyframe=turn % 50 == 1)
                if turn % message_every == 0:
                    await room.send(b"a message")
                await asyncio.sleep(every)

        task = asyncio.create_task(talking())

        async def over() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(over)


@contextlib.asynccontextmanager
async def staged(place: Path, node: str = "test") -> AsyncIterator[Stage]:
    """Start a station with an account and an app in its configuration."""
    config = Config(
        server=ServerConfig(
            port=0, internal_port=0, internal_key=SecretStr(_KEY), close=0.2, drain_spread=0.0, node=node
        ),
        hooks=HooksConfig(private=True, insecure=True),
        database=DatabaseConfig(directory=str(place / "data")),
        apps=(AppConfig(app_id=APP, name="Standups", certificate=CERTIFICATE, policy=AppPolicy()),),
    )
    async with contextlib.AsyncExitStack() as outer:
        station = Station(config)
        await outer.enter_async_context(station.running())
        assert station.store is not None
        hashed = await Passwords().hash(PASSWORD)
        await station.store.accounts.create(EMAIL, hashed, "admin")
        receiver = Receiver()
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(receiver.serving())
            yield Stage(station, receiver, stack)
