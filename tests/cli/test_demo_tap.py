"""The tap: what passes is forwarded as it is, recorded without masks, and told to the witness."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.frames import Frame, Opcode

from sealcast.cli.demo.seen import Tally, Witness, read_sealed
from sealcast.cli.demo.tap import Recording, Tap
from sealcast.cli.demo.wire import WireFrame
from sealcast.protocol import envelope
from sealcast.protocol.controls import Join, Joined, encode
from sealcast.protocol.descriptor import CLEAR, Descriptor
from sealcast.protocol.errors import RemoteProtocolError
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header

APP = "0123456789abcdef0123456789abcdef"
REQUEST = f"GET /v1/{APP} HTTP/1.1\r\nHost: here\r\n\r\n".encode()
RESPONSE = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
SECRET = b"the harbour, an hour before sunset"


def masked(payload: bytes, opcode: Opcode = Opcode.BINARY) -> bytes:
    return Frame(opcode, payload).serialize(mask=True)


def unmasked(payload: bytes) -> bytes:
    return Frame(Opcode.BINARY, payload).serialize(mask=False)


class Far:
    """The far end of the tap: keeps what it gets, answers what the test says."""

    def __init__(self, answer: bytes) -> None:
        self.got = bytearray()
        self._answer = answer

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._answer)
        while data := await reader.read(4096):
            self.got += data
        writer.close()


@asynccontextmanager
async def between(
    answer: bytes, watch: Callable[[Recording, bool, WireFrame], None] = lambda *_: None, most: int = 1 << 20
) -> AsyncIterator[tuple[Tap, Far]]:
    far = Far(answer)
    server = await asyncio.start_server(far.connected, "127.0.0.1", 0)
    async with server, Tap(server.sockets[0].getsockname()[:2], watch, most) as tap:
        yield tap, far


async def send_through(tap: Tap, *portions: bytes) -> bytes:
    """Connect, send, finish; return what came back until the other side finished too."""
    reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
    for portion in portions:
        writer.write(portion)
        await writer.drain()
    writer.write_eof()
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    assert await tap.settle(5)
    return answer


async def test_bytes_are_forwarded_as_they_are_and_recorded_without_their_masks() -> None:
    sent = REQUEST + masked(SECRET) + masked(b"more")
    assert SECRET not in sent
    async with between(RESPONSE + unmasked(b"answer")) as (tap, far):
        answer = await send_through(tap, sent[:50], sent[50:91], sent[91:])
        assert bytes(far.got) == sent
        assert answer == RESPONSE + unmasked(b"answer")
        (recording,) = tap.of(APP)
        assert recording.up == [REQUEST, SECRET, b"more"]
        assert recording.down == answer
        assert recording.texts() == (REQUEST + SECRET + b"more", answer)
        assert (recording.fault, recording.cut, recording.frames) == ("", False, 3)


async def test_the_witness_is_shown_every_frame_of_both_directions() -> None:
    seen: list[tuple[bool, bytes]] = []
    async with between(
        RESPONSE + unmasked(b"answer"), lambda _, up, frame: seen.append((up, frame.payload))
    ) as (
        tap,
        _,
    ):
        await send_through(tap, REQUEST + masked(b"question") + masked(b"", Opcode.PING))
    assert sorted(seen) == [(False, b"answer"), (True, b""), (True, b"question")]


async def test_two_apps_are_told_apart() -> None:
    other = APP[::-1]
    async with between(RESPONSE) as (tap, _):
        await send_through(tap, REQUEST)
        await send_through(tap, REQUEST.replace(APP.encode(), other.encode()))
        assert [recording.number for recording in tap.of(APP)] == [0]
        assert [recording.number for recording in tap.of(other)] == [1]


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (REQUEST + b"\xf0\x00 not websocket", "reserved bit"),
        (REQUEST + masked(b"cut short")[:-1], "within a WebSocket frame"),
        (REQUEST + unmasked(b"bare"), "without a mask"),
        (b"GET / HTTP/1.1\r\n", "within a WebSocket frame"),
    ],
    ids=["reserved", "cut", "unmasked", "head"],
)
async def test_what_cannot_be_followed_is_forwarded_recorded_bare_and_called_a_fault(
    sent: bytes, fault: str
) -> None:
    async with between(RESPONSE) as (tap, far):
        await send_through(tap, sent)
        assert bytes(far.got) == sent
        (recording,) = tap.recordings
        assert fault in recording.fault


async def test_bytes_after_a_fault_are_still_recorded() -> None:
    async with between(RESPONSE + b"\xf0\x00" + SECRET) as (tap, _):
        await send_through(tap, REQUEST + b"\xf0\x00", SECRET)
        (recording,) = tap.of(APP)
        up, down = recording.texts()
        assert SECRET in up
        assert SECRET in down


async def test_a_full_tap_forwards_on_and_keeps_no_fragments_of_what_came_later() -> None:
    payloads = [b"a" * 100, b"b" * 400, b"c"]
    async with between(RESPONSE, most=len(REQUEST) + 300) as (tap, far):
        sent = REQUEST + b"".join(map(masked, payloads))
        await send_through(tap, sent)
        assert bytes(far.got) == sent
        (recording,) = tap.of(APP)
        assert recording.up == [REQUEST, payloads[0]]
        assert recording.cut


async def test_a_relay_that_is_not_there_is_a_fault_and_ends_the_connection() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()[:2]
    server.close()
    await server.wait_closed()
    async with Tap(address, lambda *_: None) as tap:
        assert await send_through(tap, REQUEST) == b""
        assert "could not be reached" in tap.recordings[0].fault


async def test_leaving_the_tap_ends_what_is_still_connected() -> None:
    async with between(RESPONSE) as (tap, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", tap.port)
        await reader.readexactly(len(RESPONSE))
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


# --- the witness ---


def sealed(kind: Kind, stream: int, ctr: int, body: bytes = b"\xaa" * 20) -> bytes:
    return Descriptor(kind, stream=stream).encode() + encode_header(stream << 8, ctr) + body


def whole(payload: bytes) -> WireFrame:
    return WireFrame(2, True, True, payload)


def joined(witness: Witness, connection: int, user: str, member: int) -> None:
    hello = b"hello of " + user.encode()
    witness.frame(connection, True, whole(encode(Join(channel="standup", user=user, hello=hello), 1)))
    answer = Joined(
        channel=7, member=member, epoch="e", offset=0, members=(), grant={}, expires_in=60, policy={}
    )
    witness.frame(connection, False, whole(encode(answer, 1)))


def test_a_witness_learns_who_is_who_and_what_passes() -> None:
    witness = Witness("alice")
    joined(witness, 0, "alice", 1)
    joined(witness, 1, "bob", 2)
    sound, line = sealed(Kind.AUDIO, 2, 0), sealed(Kind.MESSAGE, 1, 0)
    witness.frame(0, True, whole(envelope.frame(7, 1, sound)))
    witness.frame(1, False, whole(envelope.frame(7, 1, sound)))
    witness.frame(0, True, whole(envelope.message(7, 1, 9, line)))
    witness.frame(1, False, whole(envelope.delivered(7, 1, 3, line)))
    alice, bob = witness.named("alice"), witness.named("bob")
    assert alice is not None
    assert bob is not None
    assert (alice.member, alice.hello, alice.frames_up, alice.sound_up, alice.messages_up) == (
        *(1, b"hello of alice"),
        *(1, 1, 1),
    )
    assert (bob.frames_down, bob.messages_down, bob.frames_up) == (1, 1, 0)
    assert bob.received[1] == alice.sent
    assert witness.sounds == {0: sound}
    assert witness.lines == {3: line}
    assert not alice.unreadable
    assert witness.named("carol") is None


def test_a_single_changed_bit_on_the_way_makes_the_tallies_differ() -> None:
    sound = sealed(Kind.AUDIO, 2, 0)
    changed = sound[:-1] + bytes([sound[-1] ^ 1])
    sent, arrived = Tally(), Tally()
    sent.add(sound)
    assert arrived != sent
    arrived.add(changed)
    assert arrived != sent
    same = Tally()
    same.add(sound)
    assert same == sent
    same.add(sound)
    assert same != sent


def test_clear_text_is_counted_and_has_no_header() -> None:
    witness = Witness("alice")
    clear = Descriptor(Kind.AUDIO, stream=2, version=CLEAR).encode() + b"samples"
    witness.frame(0, True, whole(envelope.frame(7, 1, clear)))
    assert witness.parties[0].clear_up == 1
    read = read_sealed(clear)
    assert (read.kid, read.ctr, read.body, read.size) == (None, None, b"samples", 11)


def test_a_sealed_frame_is_read_as_the_relay_reads_it() -> None:
    read = read_sealed(sealed(Kind.AUDIO, 2, 300))
    assert (read.kid, read.ctr, read.size) == (512, 300, 4 + 5 + 20)
    with pytest.raises(RemoteProtocolError):
        read_sealed(b"\x11\x00\x00\x02")


def test_sounds_of_others_than_the_speaker_are_not_taken_for_the_speakers() -> None:
    witness = Witness("alice")
    joined(witness, 0, "guest", 5)
    witness.frame(0, True, whole(envelope.frame(7, 5, sealed(Kind.AUDIO, 2, 0))))
    assert not witness.sounds
    assert witness.parties[0].sound_up == 1


def test_fragments_are_put_together() -> None:
    witness = Witness("alice")
    data = envelope.frame(7, 1, sealed(Kind.AUDIO, 2, 0))
    witness.frame(0, True, WireFrame(2, False, True, data[:9]))
    witness.frame(0, True, WireFrame(9, True, True, b"ping"))
    assert witness.parties[0].frames_up == 0
    witness.frame(0, True, WireFrame(0, True, True, data[9:]))
    assert witness.parties[0].frames_up == 1


@pytest.mark.parametrize("data", [b"", b"\x09", b"\x00\xc1", b"\x01\0\0\0", b"\x01\0\0\0" + b"\0" * 12])
def test_what_the_protocol_does_not_explain_is_counted(data: bytes) -> None:
    witness = Witness("alice")
    witness.frame(0, True, whole(data))
    witness.frame(0, False, WireFrame(1, True, False, b"text"))
    assert witness.parties[0].unreadable == 2
