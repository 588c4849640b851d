"""socketify: uWebSockets, in C++, with handlers in Python."""

from __future__ import annotations

import ctypes.util
import sys
from typing import Any

from .plain import PythonServer

__all__ = ["PEERS"]

_BINARY = 2


class Socketify(PythonServer):
    """uWebSockets' own topics. Python runs once for each message received, never for a delivery."""

    def missing(self) -> str | None:
        """Return what is not installed: the package, or the library that it is linked to."""
        if lacking := super().missing():
            return lacking
        if ctypes.util.find_library("uv") is None:
            return "needs libuv, which socketify is linked to: apt-get install libuv1"
        return None


PEERS = (
    Socketify(
        "socketify",
        "uWebSockets' publish, joining what arrives from several clients in a turn but not what arrives from "
        "one; no checks at all",
        __name__,
        ("socketify",),
    ),
    Socketify(
        "socketify-coalescing",
        "the same, but published after the turn, so that up to 32 frames share a write; no checks at all",
        __name__,
        ("socketify",),
        "--coalesce",
    ),
)


def serve(*, coalesce: bool) -> None:
    """Relay until terminated; print the port."""
    from socketify import App
    from socketify.native import lib

    from .serving import MESSAGE_MAX, OUTBOX_MAX, announce

    app = App()
    turn: list[tuple[Any, bytes, bytes]] = []

    def upgrade(response: Any, request: Any, context: Any) -> None:
        response.upgrade(
            request.get_header("sec-websocket-key"),
            request.get_header("sec-websocket-protocol"),
            request.get_header("sec-websocket-extensions"),
            context,
            request.get_url().encode(),
        )

    def opened(ws: Any) -> None:
        ws.subscribe(ws.get_user_data())

    def publish(sender: Any, topic: bytes, message: bytes) -> None:
        # socketify's own publish() sends to the sender too; uWebSockets' leaves it out.
        lib.uws_ws_publish_with_options(
            app.SSL, sender, topic, len(topic), message, len(message), _BINARY, False
        )

    def relay(ws: Any, message: bytes, opcode: int) -> None:
        publish(ws.ws, ws.get_user_data(), message)

    def collect(ws: Any, message: bytes, opcode: int) -> None:
        # Inside this handler uWebSockets' cork belongs to the sender, and of more than 32 frames for a
        # receiver each would be a write of its own.
        turn.append((ws.ws, ws.get_user_data(), message))

    def flush(_: None) -> None:
        for part in turn:
            publish(*part)
        turn.clear()

    def closed(ws: Any, code: int, reason: bytes | None) -> None:
        # Without this handler socketify keeps what it knows of the connection. The pointer is about to
        # dangle; the receivers are all others now.
        for sender, topic, message in turn:
            if sender == ws.ws:
                app.publish(topic, message)
        turn[:] = [part for part in turn if part[0] != ws.ws]

    app.ws(
        "/*",
        {
            "compression": 0,
            "max_payload_length": MESSAGE_MAX,
            "max_backpressure": OUTBOX_MAX,
            "close_on_backpressure_limit": True,
            "idle_timeout": 0,
            "send_pings_automatically": False,
            "upgrade": upgrade,
            "open": opened,
            "message": collect if coalesce else relay,
            "close": closed,
        },
    )
    app.listen({"host": "127.0.0.1", "port": 0}, lambda config: announce(config.port))
    # libuv's loop alone: App.run() polls it from asyncio's, which costs CPU even when nothing happens.
    loop = app.loop.uv_loop
    after = loop.create_check(flush, None) if coalesce else None
    loop.run()
    del after


if __name__ == "__main__":
    from .serving import allow_connections

    allow_connections()
    serve(coalesce="--coalesce" in sys.argv)
