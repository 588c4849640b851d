"""The fast lane reads what the library's parser would, message for message, however the bytes are cut."""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import cast
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN, SERVER, Protocol

from sealcast.server.clock import SystemClock, TimingWheel
from sealcast.server.interfaces import Receiver
from sealcast.server.transport.lane import frame_size, take
from sealcast.server.transport.websocket import Connection, Door

MOST = 70_000


def client_frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode(opcode), payload, fin).serialize(mask=True)


def read_by_the_library(data: bytes) -> tuple[list[bytes], bool]:
    """Return the binary messages in *data*, and whether the library failed the connection."""
    protocol = Protocol(SERVER, state=OPEN, max_size=MOST)
    protocol.receive_data(data)
    messages: list[bytes] = []
    begun: bytes | None = None
    for frame in protocol.events_received():
        if frame.opcode is Opcode.BINARY:
            begun = bytes(frame.data)
        elif frame.opcode is Opcode.CONT and begun is not None:
            begun += bytes(frame.data)
        elif frame.opcode is Opcode.TEXT:
            begun = None
        else:
            continue
        if frame.fin and begun is not None:
            messages.append(begun)
            begun = None
    return messages, protocol.parser_exc is not None


PAYLOADS = st.sampled_from([0, 1, 2, 125, 126, 127, 65_535, 65_536, MOST]).map(os.urandom)


@given(st.lists(PAYLOADS, max_size=5))
def test_whole_messages_are_taken_as_the_library_takes_them(payloads: list[bytes]) -> None:
    data = b"".join(client_frame(2, payload) for payload in payloads)
    messages, at = take(data, 0, MOST)
    read, failed = read_by_the_library(data)
    assert not failed
    # The lane leaves what is longer than two bytes of length can say, and all after it.
    short = next((i for i, p in enumerate(payloads) if len(p) > 65_535 or not fits(p)), len(payloads))
    assert messages == read[: len(messages)]
    assert len(messages) >= min(short, len(payloads) - 1)
    assert at == sum(len(client_frame(2, payload)) for payload in payloads[: len(messages)])


def fits(payload: bytes) -> bool:
    return len(payload) >= 2  # a frame of fewer than 8 bytes at the end of the data is left


@given(st.binary(max_size=200))
def test_nothing_is_taken_that_the_library_would_not_read_so(data: bytes) -> None:
    messages, at = take(data, 0, MOST)
    read, _ = read_by_the_library(data)
    assert read[: len(messages)] == messages
    assert 0 <= at <= len(data)


@pytest.mark.parametrize(
    "first",
    [
        client_frame(1, b"a text, long enough"),
        client_frame(9, b"a ping, long enough"),
        client_frame(0, b"a continuation"),
        client_frame(2, b"a first fragment", fin=False),
        b"\xc2" + client_frame(2, b"a reserved bit set")[1:],
        Frame(Opcode.BINARY, b"not masked at all").serialize(mask=False),
        b"\x82\xff" + (1 << 63).to_bytes(8, "big") + bytes(20),
    ],
    # Masks are random, and a name is the same in every process.
    ids=["text", "ping", "continuation", "fragment", "reserved", "unmasked", "endless"],
)
def test_the_lane_stops_before_everything_that_is_not_plainly_a_message(first: bytes) -> None:
    whole = client_frame(2, b"whole message")
    assert take(whole + first + whole, 0, MOST) == ([b"whole message"], len(whole))


def test_a_message_over_the_limit_is_left_to_the_library() -> None:
    data = client_frame(2, bytes(1001))
    assert take(data, 0, 1000) == ([], 0)
    assert take(data, 0, 1001) == ([bytes(1001)], len(data))


@given(PAYLOADS, st.booleans())
def test_the_size_of_a_frame_is_known_from_its_header(payload: bytes, mask: bool) -> None:
    data = Frame(Opcode.TEXT, payload).serialize(mask=mask)
    header = len(data) - len(payload) - (4 if mask else 0)
    assert frame_size(b"xyz" + data, 3) == len(data)
    assert frame_size(data[:header], 0) == len(data)
    assert frame_size(data[: header - 1], 0) is None


class Host(Door):
    """A door that lets everybody in, the core behind it, and the transport in front."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.wheel = TimingWheel(self.clock.monotonic())
        self.handshake = self.close = 5.0
        self.messages: list[bytes] = []
        self.refused: list[str] = []

    def opened(self, connection: Connection) -> bool:
        return True

    def closed(self, connection: Connection) -> None: ...

    def judge(self, connection: Connection, request: Request) -> int:
        return MOST

    def accept(self, connection: Connection, request: Request) -> Receiver:
        return cast(Receiver, self)

    def receive(self, data: bytes) -> None:
        self.messages.append(data)

    def heard(self) -> None: ...

    def refuse(self, name: str) -> None:
        self.refused.append(name)


def through_a_connection(pieces: list[bytes]) -> Host:
    host = Host()
    connection = Connection(host)
    connection.connection_made(Mock(spec=asyncio.Transport, get_extra_info=lambda name: None))
    connection.data_received(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: sealcast.1\r\n\r\n"
    )
    connection.admitted()
    for piece in pieces:
        connection.data_received(piece)
    return host


FRAMES = st.one_of(
    st.builds(client_frame, st.just(2), PAYLOADS),
    st.builds(client_frame, st.sampled_from([9, 10]), st.binary(max_size=125)),
    st.just(client_frame(2, b"one ", fin=False) + client_frame(0, b"two")),
    st.just(client_frame(2, b"one ", fin=False) + client_frame(9, b"ping") + client_frame(0, b"two")),
    st.binary(min_size=1, max_size=20),
    st.just(client_frame(8, b"\x03\xe8")),
)


@given(st.lists(FRAMES, max_size=6), st.lists(st.integers(0, 100_000), max_size=8))
def test_a_connection_reads_the_same_however_the_bytes_are_cut(frames: list[bytes], cuts: list[int]) -> None:
    # Three pongs complete any header: the library may condemn one that is cut short, the lane waits for it.
    data = b"".join(frames) + b"\x8a\x80\0\0\0\0" * 3
    whole = through_a_connection([data])
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(places) if a < b]
    cut = through_a_connection(pieces)
    assert cut.messages == whole.messages
    assert cut.refused[:1] == whole.refused[:1]
    read, failed = read_by_the_library(data)
    assert whole.messages == read
    assert bool(whole.refused) == failed
