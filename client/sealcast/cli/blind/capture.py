"""What passed on the sockets, taken apart as far as somebody without keys can."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sealcast.cli.demo.seen import Sealed, read_sealed
from sealcast.cli.demo.tap import Recording
from sealcast.cli.demo.wire import WireFrame
from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Side

from .needles import Needle, Text

__all__ = ["Capture", "Connection", "ciphertexts", "texts"]

_BINARY: Final = 2
_PINGS_AND_CLOSE: Final = (8, 9, 10)


@dataclass(slots=True)
class Connection:
    """What one client sent."""

    number: int
    channel: str = ""
    user: str = ""
    hello: bytes | None = field(default=None, repr=False)
    frames: list[Sealed] = field(default_factory=list)
    """Frames and messages in the order in which they were sent."""
    directs: list[bytes] = field(default_factory=list, repr=False)
    """What it sent to single members."""


class Capture:
    """Collects what clients send, WebSocket message by message; its ``watch`` is for a ``Tap``."""

    def __init__(self) -> None:
        self.unexplained = 0
        """WebSocket frames that are no whole binary message."""
        self._sent: dict[int, tuple[Recording, list[bytes]]] = {}

    def watch(self, recording: Recording, upward: bool, frame: WireFrame) -> None:
        """Look at one WebSocket frame; *upward* is towards the relay."""
        if not upward or frame.opcode in _PINGS_AND_CLOSE:
            return
        if frame.opcode != _BINARY or not frame.final:
            self.unexplained += 1
            return
        self._sent.setdefault(recording.number, (recording, []))[1].append(frame.payload)

    def connections(self, app_id: str) -> list[Connection]:
        """Return what the clients of one app sent, one entry for each connection.

        Raises:
            ProtocolError: something that sealcast.1 does not explain.

        """
        return [
            _connection(recording.number, payloads)
            for recording, payloads in self._sent.values()
            if recording.app_id == app_id
        ]


def _connection(number: int, payloads: Iterable[bytes]) -> Connection:
    found = Connection(number)
    for payload in payloads:
        if payload[:1] != b"\0":
            found.frames.append(read_sealed(payload[envelope.decode(payload).start :]))
            continue
        match controls.decode(payload, Side.CLIENT)[0]:
            case controls.Join(channel=channel, user=user, hello=hello):
                found.channel, found.user, found.hello = channel, user, hello
            case controls.Direct(data=data):
                found.directs.append(data)
    return found


def texts(recordings: Iterable[Recording]) -> list[Text]:
    """Return all captured bytes, both directions of every connection."""
    found = []
    for recording in recordings:
        up, down = recording.texts()
        found.append(Text(f"socket {recording.number}, to the relay", up))
        found.append(Text(f"socket {recording.number}, from the relay", down))
    return found


def ciphertexts(found: Iterable[Connection], size: int = 32) -> list[Needle]:
    """Return the beginning of the last ciphertext of each sender and stream: what the relay did hold."""
    last: dict[tuple[int, int], Needle] = {}
    for connection in found:
        for frame in connection.frames:
            if frame.kid is not None:
                whose = f"{connection.user}, key id {frame.kid}, connection {connection.number}"
                last[connection.number, frame.kid] = Needle(f"last ciphertext of {whose}", frame.body[:size])
    return list(last.values())
