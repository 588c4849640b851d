"""uvicorn with an ASGI application: what stands under FastAPI and Starlette, without them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .plain import PythonServer

__all__ = ["PEERS"]

_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PEERS = (
    PythonServer(
        "uvicorn",
        "plain ASGI on uvicorn and uvloop, one send per frame and receiver, awaited in a row: one slow "
        "receiver stalls the rest; no checks at all",
        __name__,
        ("uvicorn", "websockets", "httptools", "uvloop"),
    ),
)


class Relay:
    """The ASGI application."""

    def __init__(self) -> None:
        self._channels: dict[str, set[_Send]] = {}

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        """Serve one connection."""
        if scope["type"] != "websocket":
            return
        members = self._channels.setdefault(scope["path"], set())
        await receive()
        # Before the answer goes out: a client that has it is to receive everything.
        members.add(send)
        try:
            await send({"type": "websocket.accept"})
            while (event := await receive())["type"] == "websocket.receive":
                await self._relay(members, send, event.get("bytes"))
        finally:
            members.discard(send)

    async def _relay(self, members: set[_Send], sender: _Send, message: bytes | None) -> None:
        if message is None:
            return
        event = {"type": "websocket.send", "bytes": message}
        for member in tuple(members):
            if member is not sender:
                try:
                    await member(event)
                except (OSError, RuntimeError):
                    members.discard(member)


def serve() -> None:
    """Relay until terminated; print the port."""
    import socket

    from uvicorn import Config, Server

    from .serving import BACKLOG, MESSAGE_MAX, announce

    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    config = Config(
        Relay(),
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=MESSAGE_MAX,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        lifespan="off",
        log_level="error",
        access_log=False,
        backlog=BACKLOG,
    )
    announce(listener.getsockname()[1])
    Server(config).run(sockets=[listener])


if __name__ == "__main__":
    from .serving import allow_connections

    allow_connections()
    serve()
