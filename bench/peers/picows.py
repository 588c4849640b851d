"""picows: WebSocket framing in Cython, the fastest of Python's servers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .plain import PythonServer

if TYPE_CHECKING:
    from picows import WSTransport

__all__ = ["PEERS"]

_PACKAGES = ("picows", "uvloop")

PEERS = (
    PythonServer(
        "picows",
        "picows on uvloop, one send per frame and receiver; no tokens, rights, counters or metrics",
        __name__,
        _PACKAGES,
    ),
    PythonServer(
        "picows-coalescing",
        "picows on uvloop, the frames of a loop turn joined by hand; no tokens, rights, counters or metrics",
        __name__,
        _PACKAGES,
        "--coalesce",
    ),
)


class Turn:
    """The connections of one channel, and what has arrived for them in this turn of the loop.

    Memory is bounded by what one turn reads. A receiver that does not read grows its transport's buffer
    without bound: picows has no limit there, and neither has this.
    """

    def __init__(self) -> None:
        self.members: set[WSTransport] = set()
        self._frames: list[tuple[WSTransport, bytes]] = []

    def add(self, sender: WSTransport, frame: bytes) -> bool:
        """Keep a frame; return whether it is the turn's first one."""
        self._frames.append((sender, frame))
        return len(self._frames) == 1

    def flush(self) -> None:
        """Write to each member, once, all frames but its own."""
        frames, self._frames = self._frames, []
        everything = b"".join([frame for _, frame in frames])
        senders = {sender for sender, _ in frames}
        for member in self.members:
            if member not in senders:
                member.underlying_transport.write(everything)
            elif len(senders) > 1:
                others = b"".join([frame for sender, frame in frames if sender is not member])
                member.underlying_transport.write(others)


async def serve(*, coalesce: bool) -> None:
    """Relay until terminated; print the port."""
    import asyncio
    from collections import defaultdict

    from picows import WSFrame, WSListener, WSMsgType, WSUpgradeRequest, ws_create_server

    from .serving import BACKLOG, MESSAGE_MAX, announce, framed

    loop = asyncio.get_running_loop()
    channels: defaultdict[bytes, Turn] = defaultdict(Turn)

    class Member(WSListener):  # type: ignore[misc, unused-ignore]
        def __init__(self, turn: Turn) -> None:
            self._turn = turn

        def on_ws_connected(self, transport: WSTransport) -> None:
            self._turn.members.add(transport)

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            self._turn.members.discard(transport)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.CLOSE:
                transport.disconnect()
            elif frame.msg_type == WSMsgType.BINARY:
                self.relay(transport, frame.get_payload_as_bytes())

        def relay(self, transport: WSTransport, message: bytes) -> None:
            for member in self._turn.members:
                if member is not transport:
                    member.send(WSMsgType.BINARY, message)

    class CoalescingMember(Member):
        def relay(self, transport: WSTransport, message: bytes) -> None:
            if self._turn.add(transport, framed(message)):
                loop.call_soon(self._turn.flush)

    kind = CoalescingMember if coalesce else Member

    def listener(request: WSUpgradeRequest) -> Any:
        return kind(channels[bytes(request.path)])

    server = await ws_create_server(
        listener, "127.0.0.1", 0, max_frame_size=MESSAGE_MAX, read_buffer_init_size=16 * 1024, backlog=BACKLOG
    )
    announce(server.sockets[0].getsockname()[1])
    await loop.create_future()


if __name__ == "__main__":
    import uvloop

    from .serving import allow_connections

    allow_connections()
    uvloop.run(serve(coalesce="--coalesce" in sys.argv))
