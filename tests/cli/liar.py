"""A relay that lies: it stands before a true one, and shows those who connect a channel without somebody."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from sealcast.protocol import controls
from sealcast.protocol.names import SUBPROTOCOL

_SUBPROTOCOLS = [Subprotocol(SUBPROTOCOL)]


@contextlib.asynccontextmanager
async def hiding(user: str, url: str) -> AsyncIterator[str]:
    """Forward everything from and to the relay at *url* but that *user* is there; yield where to connect."""

    async def forward(outside: ServerConnection) -> None:
        assert outside.request is not None
        where = url + outside.request.path
        async with (
            connect(where, subprotocols=_SUBPROTOCOLS, proxy=None) as inside,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(_pump(outside, inside, lambda data: data))
            group.create_task(_pump(inside, outside, lambda data: _without(user, data)))

    async with serve(forward, "127.0.0.1", 0, subprotocols=_SUBPROTOCOLS) as server:
        host, port = next(iter(server.sockets)).getsockname()
        yield f"ws://{host}:{port}"


async def _pump(source: Connection, target: Connection, through: Callable[[bytes], bytes | None]) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for data in source:
            assert isinstance(data, bytes)
            told = through(data)
            if told is not None:
                await target.send(told)
    await target.close()


def _without(user: str, data: bytes) -> bytes | None:
    if data[:1] != b"\0":
        return data
    control, ref = controls.decode(data, controls.Side.SERVER)
    if isinstance(control, controls.MemberJoined) and control.user == user:
        return None
    if isinstance(control, controls.Joined):
        members = tuple(member for member in control.members if member.user != user)
        return controls.encode(dataclasses.replace(control, members=members), ref)
    return data
