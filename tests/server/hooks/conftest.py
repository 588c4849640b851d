"""A receiver of webhooks on a real socket, and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest_asyncio

from sealcast.server.hooks.event import Event, Kind
from sealcast.server.hooks.outbox import Endpoint
from sealcast.server.hooks.signature import new_secret, verify

APP = "0123456789abcdef0123456789abcdef"


class Receiver:
    """Takes deliveries, checks their signatures, and answers as it is told."""

    def __init__(self) -> None:
        self.secret = new_secret()
        self.told: list[dict[str, Any]] = []
        self.requests = 0
        self.answer: Callable[[dict[str, Any]], tuple[int, dict[str, str]]] = lambda body: (204, {})
        self.came = asyncio.Condition()
        self.port = 0
        self.hosts: list[str] = []
        self.body = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def endpoint(self, number: str = "1", **more: Any) -> Endpoint:
        return Endpoint(number, APP, self.url, (self.secret,), **more)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode().split("\r\n")
                sent = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
                raw = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
                sent["webhook-signature"] = raw["webhook-signature"]
                body = await reader.readexactly(int(sent["content-length"]))
                assert lines[0] == "POST /hook HTTP/1.1"
                verify(sent, body, self.secret, float(sent["webhook-timestamp"]))
                self.hosts.append(sent["host"])
                event = json.loads(body)
                assert event["id"] == sent["webhook-id"]
                status, extra = self.answer(event)
                self.requests += 1
                if status < 300:
                    self.told.append(event)
                shown = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
                length = f"content-length: {len(self.body)}\r\n" if status != 204 else ""
                writer.write(f"HTTP/1.1 {status} x\r\n{length}{shown}\r\n".encode() + self.body)
                await writer.drain()
                async with self.came:
                    self.came.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def requested(self, count: int) -> None:
        """Wait until so many requests have been answered."""
        async with asyncio.timeout(10), self.came:
            await self.came.wait_for(lambda: self.requests >= count)


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """Let a receiver listen."""
    made = Receiver()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await server.wait_closed()


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Provide a receiver that listens."""
    async with receiving() as made:
        yield made


def happened(sequence: int, user: str = "alice", kind: Kind = Kind.MEMBER_JOINED, **more: Any) -> Event:
    return Event(kind, APP, 1_800_000_000.0 + sequence, sequence, channel="room", user=user, **more)
