"""The envelope: every layout to the byte, and no byte string that does anything but parse or refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol import envelope
from sealcast.protocol.envelope import DELIVERED, FRAME, MESSAGE, Envelope, decode
from sealcast.protocol.errors import RemoteProtocolError

u32 = st.integers(0, 2**32 - 1)
u64 = st.integers(0, 2**64 - 1)
sealed = st.binary(min_size=4, max_size=64)

D = bytes.fromhex("14000001")

LAYOUTS = [
    ("01000000 00000011 00000002 14000001 ab", Envelope(FRAME, 17, 2, 0, 12)),
    ("02000000 00000011 00000002 00000007 14000001 ab", Envelope(MESSAGE, 17, 2, 7, 16)),
    ("03000000 00000011 00000002 0000000000000009 14000001 ab", Envelope(DELIVERED, 17, 2, 9, 20)),
]


@pytest.mark.parametrize(("text", "expected"), LAYOUTS)
def test_each_layout_is_read_as_documented(text: str, expected: Envelope) -> None:
    data = bytes.fromhex(text)
    assert decode(data) == expected
    assert data[expected.start :] == D + b"\xab"


def test_each_layout_is_written_as_documented() -> None:
    payload = D + b"\xab"
    written = [
        envelope.frame(17, 2, payload),
        envelope.message(17, 2, 7, payload),
        envelope.delivered(17, 2, 9, memoryview(payload)),
    ]
    assert written == [bytes.fromhex(text) for text, _ in LAYOUTS]


@given(u32, u32, sealed)
def test_a_frame_survives_the_round_trip(channel: int, member: int, body: bytes) -> None:
    data = envelope.frame(channel, member, body)
    assert decode(data) == (FRAME, channel, member, 0, envelope.FRAME_START)
    assert data[envelope.FRAME_START :] == body


@given(u32, u32, u32, sealed)
def test_a_message_survives_the_round_trip(channel: int, member: int, ref: int, body: bytes) -> None:
    data = envelope.message(channel, member, ref, body)
    assert decode(data) == (MESSAGE, channel, member, ref, envelope.MESSAGE_START)
    assert data[envelope.MESSAGE_START :] == body


@given(u32, u32, u64, sealed)
def test_a_delivered_message_survives_the_round_trip(
    channel: int, member: int, offset: int, body: bytes
) -> None:
    data = envelope.delivered(channel, member, offset, body)
    assert decode(data) == (DELIVERED, channel, member, offset, envelope.DELIVERED_START)
    assert data[envelope.DELIVERED_START :] == body


@given(u32, u32, sealed, u32, u64)
def test_the_route_key_is_the_same_eight_bytes_in_every_envelope(
    channel: int, member: int, body: bytes, ref: int, offset: int
) -> None:
    key = envelope.route_key(channel, member)
    assert len(key) == 8
    for data in (
        envelope.frame(channel, member, body),
        envelope.message(channel, member, ref, body),
        envelope.delivered(channel, member, offset, body),
    ):
        assert data[4:12] == key


@given(u32, u32, u32, u32)
def test_two_members_never_share_a_route_key(c1: int, m1: int, c2: int, m2: int) -> None:
    assert (envelope.route_key(c1, m1) == envelope.route_key(c2, m2)) is ((c1, m1) == (c2, m2))


@pytest.mark.parametrize("text", [text for text, _ in LAYOUTS])
def test_an_envelope_cut_short_anywhere_is_a_bad_frame(text: str) -> None:
    data = bytes.fromhex(text)[:-1]
    assert decode(data).start == len(data) - 4, "an empty payload after D is the sealing's business"
    for size in range(1, len(data)):
        assert _refusal(decode, data[:size]) == "bad_frame"


@pytest.mark.parametrize("text", [text for text, _ in LAYOUTS])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_reserved_bytes_have_to_be_zero(text: str, at: int) -> None:
    for bit in range(8):
        data = bytearray.fromhex(text)
        data[at] = 1 << bit
        assert _refusal(decode, bytes(data)) == "bad_frame"


@pytest.mark.parametrize("first", [0, *range(4, 256)])
def test_an_unknown_type_ends_the_connection(first: int) -> None:
    assert _refusal(decode, bytes([first]) + bytes(40)) == "protocol_error"


def test_an_empty_message_ends_the_connection() -> None:
    assert _refusal(decode, b"") == "protocol_error"
    assert _refusal(decode, memoryview(b"")) == "protocol_error"


def _refusal(read: Callable[[bytes | memoryview], object], data: bytes | memoryview) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        read(data)
    assert caught.value.fatal is (caught.value.code.name == "protocol_error")
    return caught.value.code.name


@given(
    st.binary(max_size=64)
    | st.builds(bytes.__add__, st.sampled_from([b"\1\0\0\0", b"\2\0\0\0", b"\3\0\0\0"]), st.binary())
)
def test_any_bytes_are_an_envelope_or_a_remote_error_and_memory_views_read_alike(data: bytes) -> None:
    def outcome(view: bytes | memoryview) -> Envelope | str:
        try:
            return decode(view)
        except RemoteProtocolError as error:
            return error.code.name

    read = outcome(data)
    assert outcome(memoryview(data)) == read
    if isinstance(read, Envelope):
        rebuilt = {
            FRAME: lambda: envelope.frame(read.channel, read.member, data[read.start :]),
            MESSAGE: lambda: envelope.message(read.channel, read.member, read.number, data[read.start :]),
            DELIVERED: lambda: envelope.delivered(read.channel, read.member, read.number, data[read.start :]),
        }[read.type]()
        assert rebuilt == data, "what was read is all that stands there"
