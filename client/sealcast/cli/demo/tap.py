"""The wire between members and relay, recorded: a TCP forwarder that keeps what passes.

What a client sends is masked (RFC 6455 §5.3), with another mask for every frame, so a search of the bare
bytes would find nothing even of clear text. The tap therefore keeps the *unmasked* payloads of that
direction; of the other direction, which is never masked, it keeps the bytes as they are.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Final

from .wire import Reader, WireError, WireFrame, path_of

__all__ = ["RECORDING_MAX", "Recording", "Tap"]

RECORDING_MAX: Final = 256 * 1024 * 1024
"""Bytes that a tap keeps of one app; what comes after is forwarded and no longer kept."""

_CHUNK: Final = 64 * 1024
_PREFIX: Final = "/v1/"


class Recording:
    """What passed on one connection."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.app_id = ""
        """From the path that the client asked for."""
        self.up: list[bytes] = []
        """The client's HTTP head, then the unmasked payload of every WebSocket frame it sent."""
        self.down = bytearray()
        """Every byte that the relay sent, as it came."""
        self.frames = 0
        """WebSocket frames in both directions."""
        self.fault = ""
        """Why the connection could not be followed, empty when it could."""
        self.cut = False
        """Whether the tap was full before the connection ended."""

    def texts(self) -> tuple[bytes, bytes]:
        """Return both directions, each as one piece."""
        return b"".join(self.up), bytes(self.down)


class _Direction:
    """Follows one direction of one connection."""

    def __init__(self, tap: Tap, recording: Recording, upward: bool) -> None:
        self._tap = tap
        self._recording = recording
        self._upward = upward
        self._reader = Reader()
        self._has_head = False

    def take(self, data: bytes) -> None:
        """Record *data*; whatever it is, it never raises."""
        recording = self._recording
        if not self._upward:
            self._keep(data)
        if recording.fault:
            if self._upward:
                self._keep(data)
            return
        frames: list[WireFrame] = []
        try:
            frames = self._reader.feed(data)
        except WireError as error:
            recording.fault = str(error)
        if not self._has_head and self._reader.head is not None:
            self._head(self._reader.head)
        if recording.fault and self._upward:
            self._keep(data)
        for frame in frames:
            recording.frames += 1
            if self._upward:
                self._keep(frame.payload)
                if not frame.masked:
                    recording.fault = "a client's frame without a mask"
            self._tap.watch(recording, self._upward, frame)

    def end(self) -> None:
        """The stream has ended: nothing may be left over."""
        if self._reader.pending and not self._recording.fault:
            self._recording.fault = "the stream ended within a WebSocket frame"

    def _head(self, head: bytes) -> None:
        self._has_head = True
        if self._upward:
            self._recording.app_id = path_of(head).removeprefix(_PREFIX)
            self._keep(head)

    def _keep(self, data: bytes) -> None:
        recording = self._recording
        if not self._tap.room(recording.app_id, len(data)):
            recording.cut = True
        elif self._upward:
            recording.up.append(data)
        else:
            recording.down += data


class Tap:
    """Listens on loopback and forwards every connection to the relay.

    Args:
        relay: where the relay listens.
        watch: shown every WebSocket frame: the recording, whether it goes to the relay, the frame.
        most: bytes to keep of one app.

    """

    def __init__(
        self,
        relay: tuple[str, int],
        watch: Callable[[Recording, bool, WireFrame], None],
        most: int = RECORDING_MAX,
    ) -> None:
        self.watch = watch
        self.recordings: list[Recording] = []
        self.port = 0
        """Where it listens, once started."""
        self._relay = relay
        self._most = most
        self._kept: Counter[str] = Counter()
        self._full: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Tap:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def of(self, app_id: str) -> list[Recording]:
        """Return the recordings of one app."""
        return [recording for recording in self.recordings if recording.app_id == app_id]

    def room(self, app_id: str, size: int) -> bool:
        """Say whether *size* more bytes of an app may be kept; then they count as kept."""
        if app_id in self._full or self._kept[app_id] + size > self._most:
            self._full.add(app_id)  # a gap would be worse than an end
            return False
        self._kept[app_id] += size
        return True

    async def settle(self, timeout: float) -> bool:
        """Wait until every connection has ended; return whether that came about in time."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)
        return not self._tasks

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recording = Recording(len(self.recordings))
        self.recordings.append(recording)
        try:
            try:
                relay_reader, relay_writer = await asyncio.open_connection(*self._relay)
            except OSError:
                recording.fault = "the relay could not be reached"
                return
            try:
                await asyncio.gather(
                    _pump(reader, relay_writer, _Direction(self, recording, True)),
                    _pump(relay_reader, writer, _Direction(self, recording, False)),
                )
            finally:
                relay_writer.close()
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: _Direction) -> None:
    """Copy until the end of the stream; pass the end on as well."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            direction.take(data)
            writer.write(data)
            await writer.drain()
    direction.end()
    with contextlib.suppress(OSError):
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()
