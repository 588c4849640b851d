"""What somebody on the relay's side of the wire can tell without a key: who, what kind, how much, when.

A ``Witness`` is shown every WebSocket frame that the tap recorded of one app. It reads what the relay
reads: controls, envelopes, descriptors, SFrame headers.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from sealcast.protocol import controls, envelope
from sealcast.protocol.controls import Side
from sealcast.protocol.descriptor import BYTES, Descriptor, decode
from sealcast.protocol.errors import RemoteProtocolError
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import read_header

from .wire import WireFrame

__all__ = ["Party", "Sealed", "Tally", "Witness", "read_sealed"]

_KEPT: Final = 1_024
"""Frames of sound, and messages, that are kept for the display."""
_TEXT, _BINARY, _CONTINUATION = 1, 2, 0


@dataclass(frozen=True, slots=True)
class Sealed:
    """A frame or message as the relay sees it: the descriptor, the SFrame header, and bytes."""

    descriptor: Descriptor
    kid: int | None
    """The key id; None in clear text, which has no SFrame header."""
    ctr: int | None
    header: bytes = field(repr=False)
    """The bytes of the SFrame header."""
    body: bytes = field(repr=False)
    """Ciphertext and tag; in clear text the payload itself."""

    @property
    def size(self) -> int:
        """Bytes from the descriptor on."""
        return BYTES + len(self.header) + len(self.body)


def read_sealed(data: bytes) -> Sealed:
    """Read what starts with a descriptor. Raises RemoteProtocolError when it cannot be read."""
    descriptor = decode(data)
    if not descriptor.sealed:
        return Sealed(descriptor, None, None, b"", data[BYTES:])
    kid, ctr, end = read_header(data, BYTES)
    return Sealed(descriptor, kid, ctr, data[BYTES:end], data[end:])


class Tally:
    """A bag of byte strings, by number and by the sum of their hashes: equal bags have equal tallies."""

    __slots__ = ("count", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0

    def add(self, data: bytes) -> None:
        """Put one byte string in."""
        self.count += 1
        self.total = (self.total + int.from_bytes(hashlib.sha256(data).digest(), "big")) % (1 << 256)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and (self.count, self.total) == (other.count, other.total)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Tally({self.count})"


@dataclass(slots=True)
class Party:
    """What was seen of one connection."""

    user: str = ""
    member: int = 0
    """Its number in the channel, once it has joined."""
    hello: bytes | None = field(default=None, repr=False)
    frames_up: int = 0
    sound_up: int = 0
    """Frames of audio among them."""
    messages_up: int = 0
    clear_up: int = 0
    """Frames and messages in clear text."""
    frames_down: int = 0
    sound_down: int = 0
    messages_down: int = 0
    unreadable: int = 0
    """WebSocket messages that the protocol does not explain."""
    sent: Tally = field(default_factory=Tally)
    """Everything it sent, from the descriptor on."""
    received: dict[int, Tally] = field(default_factory=dict)
    """Everything it was sent, by the sender's member number."""


class Witness:
    """Watches all connections of one app.

    Args:
        speaker: whose frames of sound are kept for the display.

    """

    def __init__(self, speaker: str) -> None:
        self.parties: dict[int, Party] = {}
        """By the number of the connection."""
        self.sounds: OrderedDict[int, bytes] = OrderedDict()
        """The speaker's newest frames of audio on their way to the relay, by counter."""
        self.lines: OrderedDict[int, bytes] = OrderedDict()
        """The newest messages on their way from the relay, by offset."""
        self._speaker = speaker
        self._parts: dict[tuple[int, bool], bytearray] = {}

    def frame(self, connection: int, upward: bool, frame: WireFrame) -> None:
        """Look at one WebSocket frame; *upward* is towards the relay."""
        party = self.parties.setdefault(connection, Party())
        party.unreadable += frame.opcode == _TEXT
        if frame.opcode not in (_BINARY, _CONTINUATION):
            return
        whole = self._whole(connection, upward, frame)
        if whole is None:
            return
        try:
            if whole[:1] == b"\0":
                _control(party, upward, whole)
            elif upward:
                self._up(party, whole)
            else:
                self._down(party, whole)
        except RemoteProtocolError:
            party.unreadable += 1

    def _whole(self, connection: int, upward: bool, frame: WireFrame) -> bytes | None:
        if frame.opcode == _BINARY and frame.final:
            return frame.payload
        parts = self._parts.setdefault((connection, upward), bytearray())
        if frame.opcode == _BINARY:
            parts.clear()
        parts += frame.payload
        return bytes(parts) if frame.final else None

    def _up(self, party: Party, whole: bytes) -> None:
        head = envelope.decode(whole)
        data = whole[head.start :]
        sealed = read_sealed(data)
        party.sent.add(data)
        party.clear_up += not sealed.descriptor.sealed
        if head.type == envelope.MESSAGE:
            party.messages_up += 1
            return
        party.frames_up += 1
        if sealed.descriptor.kind is Kind.AUDIO:
            party.sound_up += 1
            if sealed.ctr is not None and party.user == self._speaker:
                _keep(self.sounds, sealed.ctr, data)

    def _down(self, party: Party, whole: bytes) -> None:
        head = envelope.decode(whole)
        data = whole[head.start :]
        party.received.setdefault(head.member, Tally()).add(data)
        if head.type == envelope.FRAME:
            party.frames_down += 1
            party.sound_down += read_sealed(data).descriptor.kind is Kind.AUDIO
        else:
            party.messages_down += 1
            _keep(self.lines, head.number, data)

    # --- sums ---

    def named(self, user: str) -> Party | None:
        """Return what was seen of the newest connection of this user."""
        return next((party for party in reversed(self.parties.values()) if party.user == user), None)

    def users(self) -> set[str]:
        """Return everybody who asked to join."""
        return {party.user for party in self.parties.values() if party.user}


def _keep(kept: OrderedDict[int, bytes], number: int, data: bytes) -> None:
    kept[number] = data
    while len(kept) > _KEPT:
        kept.popitem(last=False)


def _control(party: Party, upward: bool, data: bytes) -> None:
    control, _ = controls.decode(data, Side.CLIENT if upward else Side.SERVER)
    if isinstance(control, controls.Join):
        party.user, party.hello = control.user, control.hello
    elif isinstance(control, controls.Joined):
        party.member = control.member
