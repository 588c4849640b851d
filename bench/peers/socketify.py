"""socketify: uWebSockets, in C++, with handlers in Python."""

from __future__ import annotations

import ctypes.util
from typing import Any

from .plain import PythonServer

__all__ = ["PEERS"]


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
        "uWebSockets' publish, which joins a loop turn's frames; no tokens, rights, counters or metrics",
        __name__,
        ("socketify",),
    ),
)


def serve() -> None:
    """Relay until terminated; print the port."""
    from socketify import App
    from socketify.native import lib

    from .serving import MESSAGE_MAX, OUTBOX_MAX, announce

    app = App()

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

    def relay(ws: Any, message: bytes, opcode: int) -> None:
        # socketify's own publish() sends to the sender too; uWebSockets' leaves it out.
        topic = ws.get_user_data()
        lib.uws_ws_publish_with_options(
            app.SSL, ws.ws, topic, len(topic), message, len(message), opcode, False
        )

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
            "message": relay,
        },
    )
    app.listen({"host": "127.0.0.1", "port": 0}, lambda config: announce(config.port))
    # libuv's loop alone: App.run() polls it from asyncio's, which costs CPU even when nothing happens.
    app.loop.uv_loop.run()


if __name__ == "__main__":
    from .serving import allow_connections

    allow_connections()
    serve()
