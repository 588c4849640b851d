"""WebSocket from outside: frames come out whole and unmasked, however the bytes were cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from sealcast.cli.demo.wire import HEAD_MAX, PAYLOAD_MAX, Reader, WireError, path_of

HEAD = b"GET /v1/0123456789abcdef0123456789abcdef HTTP/1.1\r\nHost: here\r\n\r\n"


def wire(payload: bytes, *, opcode: Opcode = Opcode.BINARY, final: bool = True, mask: bool = True) -> bytes:
    return Frame(opcode, payload, fin=final).serialize(mask=mask)


@given(
    payloads=st.lists(st.binary(max_size=300), max_size=6),
    mask=st.booleans(),
    cuts=st.lists(st.integers(0, 2_200), max_size=8),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    payloads: list[bytes], mask: bool, cuts: list[int]
) -> None:
    whole = HEAD + b"".join(wire(payload, mask=mask) for payload in payloads)
    bounds = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    reader = Reader()
    frames = [frame for first, end in pairwise(bounds) for frame in reader.feed(whole[first:end])]
    assert reader.head == HEAD
    assert [frame.payload for frame in frames] == payloads
    assert all(frame.masked is mask and frame.final and frame.opcode == 2 for frame in frames)
    assert reader.pending == 0


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 70_001])
def test_every_size_of_length_field_is_read(size: int) -> None:
    payload = bytes(i % 251 for i in range(size))
    reader = Reader()
    (frame,) = reader.feed(HEAD + wire(payload))
    assert frame.payload == payload


def test_masked_bytes_do_not_show_what_they_say() -> None:
    text = b"this stands in no masked frame as it is"
    bare = wire(text)
    assert text not in bare
    reader = Reader()
    assert reader.feed(HEAD + bare)[0].payload == text


def test_fragments_and_control_frames_are_told_apart() -> None:
    reader = Reader()
    frames = reader.feed(
        HEAD
        + wire(b"be", final=False)
        + wire(b"", opcode=Opcode.PING)
        + wire(b"gin", opcode=Opcode.CONT)
        + wire(b"\x03\xe8", opcode=Opcode.CLOSE)
    )
    assert [(frame.opcode, frame.final) for frame in frames] == [(2, False), (9, True), (0, True), (8, True)]


def test_what_is_incomplete_is_pending() -> None:
    reader = Reader()
    assert reader.feed(HEAD + wire(b"hello")[:-1]) == []
    assert reader.pending == 10


@pytest.mark.parametrize(
    "data",
    [
        b"x" * (HEAD_MAX + 1),
        b"x" * HEAD_MAX + b"\r\n\r\n",
        HEAD + b"\xc2\x00",
        HEAD + b"\x82\xff" + (PAYLOAD_MAX + 1).to_bytes(8, "big"),
    ],
    ids=["endless head", "long head", "reserved bit", "giant frame"],
)
def test_what_is_not_websocket_is_refused_before_it_is_kept(data: bytes) -> None:
    with pytest.raises(WireError):
        Reader().feed(data)


@given(st.binary(max_size=400))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    reader = Reader()
    try:
        frames = reader.feed(HEAD + data)
    except WireError:
        return
    assert sum(len(frame.payload) for frame in frames) <= len(data)


def test_repr_shows_no_payload() -> None:
    (frame,) = Reader().feed(HEAD + wire(b"a secret"))
    assert "secret" not in repr(frame)


@pytest.mark.parametrize(
    ("head", "path"),
    [
        (HEAD, "/v1/0123456789abcdef0123456789abcdef"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", ""),
        (b"GET\r\n\r\n", ""),
        (b"\r\n\r\n", ""),
        (b"GET /\xff HTTP/1.1\r\n\r\n", "/�"),
    ],
)
def test_the_path_is_read_from_a_requests_first_line(head: bytes, path: str) -> None:
    assert path_of(head) == path
