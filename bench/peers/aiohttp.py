"""aiohttp's WebSocket server, as its users write a broadcast."""

from __future__ import annotations

from .plain import PythonServer

__all__ = ["PEERS"]

PEERS = (
    PythonServer(
        "aiohttp",
        "aiohttp on uvloop, one send per frame and receiver, awaited in a row: one slow receiver stalls the "
        "rest; no checks at all",
        __name__,
        ("aiohttp", "uvloop"),
    ),
)


async def serve() -> None:
    """Relay until terminated; print the port."""
    import asyncio
    import contextlib
    from collections import defaultdict

    from aiohttp import WSMsgType, web

    from .serving import BACKLOG, MESSAGE_MAX, OUTBOX_MAX, announce

    channels: defaultdict[str, set[web.WebSocketResponse]] = defaultdict(set)

    async def member(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=MESSAGE_MAX, writer_limit=OUTBOX_MAX)
        # Before the answer goes out: a client that has it is to receive everything.
        members = channels[request.path]
        members.add(socket)
        try:
            await socket.prepare(request)
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    for other in tuple(members):
                        if other is not socket:
                            with contextlib.suppress(ConnectionError, RuntimeError):
                                await other.send_bytes(message.data)
        finally:
            members.discard(socket)
        return socket

    app = web.Application()
    app.router.add_get("/c/{channel}", member)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=BACKLOG)
    await site.start()
    announce(runner.addresses[0][1])
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    import uvloop

    from .serving import allow_connections

    allow_connections()
    uvloop.run(serve())
