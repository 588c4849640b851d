"""What passed on the sockets, taken apart, and the keys that sealed it, derived from what the members hold.

The derivation is the profile's (docs/encryption.md): a sender's hello names its session, and with the
base key of that session every key id has its AES key and salt. Opening each captured frame under them
proves two things at once: that these are the keys in use, so that a search for them means something,
and that the conversation really is in the capture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag

from sealcast.cli.demo.seen import Sealed, read_sealed
from sealcast.cli.demo.tap import Recording
from sealcast.cli.demo.wire import WireFrame
from sealcast.client.e2ee.context import Sender, bind16, context_id, unpack_kid
from sealcast.client.e2ee.hello import read_hello
from sealcast.client.e2ee.suites import NONCE, Suite, suite_by_id
from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Side

from .members import Canary
from .needles import Needle, Text
from .providers import Material

__all__ = [
    "Capture",
    "Connection",
    "Lock",
    "Opening",
    "StreamKey",
    "Unlocked",
    "canary_needles",
    "ciphertexts",
    "texts",
    "unlock",
]

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


@dataclass(frozen=True, slots=True)
class StreamKey:
    """What one sender's frames of one key id are sealed with."""

    suite: Suite
    user: str
    kid: int
    key: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    bind: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lock:
    """A captured frame, with everything that opens it but the key; ``repr`` shows none of it."""

    name: str
    nonce: bytes = field(repr=False)
    aad: bytes = field(repr=False)
    body: bytes = field(repr=False)
    """Ciphertext and tag."""
    opened: bytes = field(repr=False)
    """What is inside."""
    key_size: int
    key: bytes = field(repr=False)
    """What opens it: for controls, and never shown to the search."""


@dataclass(slots=True)
class Opening:
    """How much of a capture could be opened."""

    frames: int = 0
    opened: int = 0
    expected: int = 0
    """Those in which a canary must be: all but what the SDK itself sends."""
    canaries: int = 0
    """Those in which the canary of their sender and kind was found."""

    def add(self, other: Opening) -> None:
        """Add another capture's numbers."""
        self.frames += other.frames
        self.opened += other.opened
        self.expected += other.expected
        self.canaries += other.canaries


@dataclass(slots=True)
class Unlocked:
    """The keys of one provider's conversation and what they opened."""

    needles: list[Needle] = field(default_factory=list)
    locks: list[Lock] = field(default_factory=list)
    """The shortest frame of each stream."""
    opening: Opening = field(default_factory=Opening)


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
        if payload[:1] == b"\0":
            control, _ = controls.decode(payload, Side.CLIENT)
            if isinstance(control, controls.Join):
                found.channel, found.user, found.hello = control.channel, control.user, control.hello
        else:
            found.frames.append(read_sealed(payload[envelope.decode(payload).start :]))
    return found


def texts(recordings: Iterable[Recording]) -> list[Text]:
    """Return all captured bytes, both directions of every connection."""
    found = []
    for recording in recordings:
        up, down = recording.texts()
        found.append(Text(f"socket {recording.number}, to the relay", up))
        found.append(Text(f"socket {recording.number}, from the relay", down))
    return found


def unlock(
    found: Iterable[Connection],
    app_id: str,
    channel: str,
    material: Material,
    canaries: dict[str, dict[str, Canary]],
    label: str,
) -> Unlocked:
    """Derive every key that sealed what was sent to *channel*, and open all of it.

    *label* comes first in the name of each needle.
    """
    result = Unlocked()
    needles = {value: f"{label}: {name}" for name, value in material.secrets}
    for connection in found:
        if connection.channel != channel or connection.hello is None:
            continue
        hello = read_hello(connection.hello, context_id(app_id, channel))
        sender = Sender(context_id(app_id, channel), suite_by_id(hello.suite), hello.user, hello.session)
        keys: dict[int, StreamKey | None] = {}
        shortest: dict[int, Lock] = {}
        for frame in connection.frames:
            result.opening.frames += 1
            if frame.kid is None:
                continue
            if frame.kid not in keys:
                keys[frame.kid] = _derive(sender, frame.kid, material, needles, label)
            key = keys[frame.kid]
            lock = _open(key, frame, label) if key is not None else None
            if lock is None:
                continue
            result.opening.opened += 1
            canary = canaries[hello.user].get(frame.descriptor.kind.name.lower())
            result.opening.expected += canary is not None
            result.opening.canaries += canary is not None and canary.text in lock.opened
            if frame.kid not in shortest or len(lock.body) < len(shortest[frame.kid].body):
                shortest[frame.kid] = lock
        result.locks += shortest.values()
    result.needles = [Needle(name, value) for value, name in needles.items()]
    return result


def _derive(
    sender: Sender, kid: int, material: Material, needles: dict[bytes, str], label: str
) -> StreamKey | None:
    """Derive the key of a key id; enter it and all between it and the base key among the needles."""
    stream, epoch, step = unpack_kid(kid)
    base = material.base_key(sender, epoch, step)
    if base is None:
        return None
    key, salt = sender.suite.schedule(base, kid)
    whose = f"of {sender.user}"
    needles.setdefault(base, f"{label}: base key {whose}, epoch {epoch}, step {step}")
    needles.setdefault(sender.suite.extract(b"", base), f"{label}: SFrame secret {whose}")
    needles.setdefault(key, f"{label}: AES key {whose}, stream {stream}")
    needles.setdefault(salt, f"{label}: SFrame salt {whose}, stream {stream}")
    return StreamKey(sender.suite, sender.user, kid, key, salt, bind16(sender, epoch))


def _open(key: StreamKey, frame: Sealed, label: str) -> Lock | None:
    """Open one frame; None when it does not open."""
    assert frame.ctr is not None, "a sealed frame"
    nonce = (int.from_bytes(key.salt, "big") ^ frame.ctr).to_bytes(NONCE, "big")
    aad = frame.header + key.bind + frame.descriptor.wire
    try:
        opened = key.suite.cipher(key.key).decrypt(nonce, frame.body, aad)
    except InvalidTag:
        return None
    name = f"{label}: {frame.descriptor.kind.name.lower()} frame {frame.ctr} of {key.user}"
    return Lock(name, nonce, aad, frame.body, opened, len(key.key), key.key)


def canary_needles(canaries: dict[str, dict[str, Canary]], label: str) -> Iterator[Needle]:
    """Return the canaries as needles."""
    for user, kinds in canaries.items():
        for kind, canary in kinds.items():
            yield Needle(f"{label}: {kind} canary of {user}", canary.text)


def ciphertexts(found: Iterable[Connection], size: int = 32) -> list[Needle]:
    """Return the beginning of the last ciphertext of each sender and stream: what the relay did hold."""
    last: dict[tuple[int, int], Needle] = {}
    for connection in found:
        for frame in connection.frames:
            if frame.kid is not None:
                whose = f"{connection.user}, key id {frame.kid}, connection {connection.number}"
                last[connection.number, frame.kid] = Needle(f"last ciphertext of {whose}", frame.body[:size])
    return list(last.values())
