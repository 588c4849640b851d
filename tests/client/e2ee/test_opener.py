"""Opening: what does not open, what moves the window, and what a hostile relay can make us remember."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee import opener
from sealcast.client.e2ee.context import BaseKey, Sender, base_key, bind16, context_id, epoch_key
from sealcast.client.e2ee.keys import SharedSecrets
from sealcast.client.e2ee.opener import MEMBERS_MAX, Opener
from sealcast.client.e2ee.sealer import Sealer
from sealcast.client.e2ee.suites import AES_128_GCM, AES_256_GCM
from sealcast.client.errors import (
    ClearTextRefused,
    HelloRefused,
    KeyMissing,
    OpenFailed,
    Replayed,
    SealError,
)
from sealcast.protocol import descriptor as d
from sealcast.protocol.descriptor import Descriptor, streams_of
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header

APP = "0123456789abcdef0123456789abcdef"
SECRET = bytes(range(32))
CTX = context_id(APP, "standup")
ALICE = Sender(CTX, AES_128_GCM, "alice", b"session of alice")
AUDIO = Descriptor(Kind.AUDIO, stream=2)
HELLO_ID = bytes(32)


def sealer(sender: Sender = ALICE, epoch: int = 0, first: int = 0, secret: bytes = SECRET) -> Sealer:
    key = base_key(epoch_key(sender.suite, sender.ctx, secret), sender, epoch)
    return Sealer(sender, BaseKey(epoch, 0, key), first_counter=first)


def receiver(epoch: int = 0, **limits: int) -> Opener:
    made = Opener(SharedSecrets(CTX, AES_128_GCM, epoch, SECRET).receiving, **limits)
    made.admit(1, ALICE, HELLO_ID)
    return made


def warmed(sealing: Sealer, opening: Opener, frames: int = 10) -> None:
    """Bring both sides to where frames take the short path: a known descriptor and counters over 7."""
    for _ in range(frames):
        opening.open(1, sealing.seal(AUDIO, b"warm"))


@st.composite
def sendable(draw: st.DrawFn) -> Descriptor:
    kind = draw(st.sampled_from(Kind))
    streams = streams_of(kind)
    flags = draw(st.integers(0, 7)) | draw(st.sampled_from([0, d.KEEP]))
    return Descriptor(
        kind,
        flags,
        draw(st.integers(0, 7)),
        draw(st.integers(0, 3)),
        draw(st.integers(0, 7)),
        draw(st.integers(streams[0], streams[-1])),
    )


@given(st.lists(st.tuples(sendable(), st.binary(max_size=300)), max_size=30), st.sampled_from([0, 1, 9, 40]))
def test_what_was_sealed_opens_in_order_on_any_mix_of_streams(
    sent: list[tuple[Descriptor, bytes]], epoch: int
) -> None:
    sealing, opening = sealer(epoch=epoch), receiver(epoch)
    for descriptor, payload in sent:
        opened = opening.open(1, sealing.seal(descriptor, payload))
        assert (opened.descriptor, opened.payload) == (descriptor, payload)


@pytest.mark.parametrize("first", [0, 6, 254, 65534, 2**24 - 2, 2**32 - 3])
@pytest.mark.parametrize("descriptor", [AUDIO, Descriptor(Kind.CONTROL), Descriptor(Kind.MESSAGE, stream=1)])
def test_counters_of_every_size_open_and_come_out(first: int, descriptor: Descriptor) -> None:
    sealing, opening = sealer(first=first), receiver()
    counters = [opening.open(1, sealing.seal(descriptor, b"x")).ctr for _ in range(3)]
    assert counters == [first, first + 1, first + 2]


def writable(data: bytes) -> memoryview:
    return memoryview(bytearray(data))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, writable])
def test_a_frame_may_come_in_any_buffer_and_the_payload_is_bytes(
    kind: Callable[[bytes], bytes | bytearray | memoryview],
) -> None:
    sealing, opening = sealer(), receiver()
    for _ in range(12):
        opened = opening.open(1, kind(sealing.seal(AUDIO, b"payload")))
        assert (type(opened.payload), opened.payload) == (bytes, b"payload")


ELSEWHERE = {
    "another app": ALICE._replace(ctx=context_id(APP[::-1], "standup")),
    "another channel": ALICE._replace(ctx=context_id(APP, "standup ")),
    "another user": ALICE._replace(user="bob"),
    "another session": ALICE._replace(session=bytes(16)),
    "another suite": ALICE._replace(suite=AES_256_GCM),
}


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_frame_does_not_open_when_it_comes_from(where: str, warm: bool) -> None:
    sealing, opening = sealer(), receiver()
    if warm:
        warmed(sealing, opening)
    with pytest.raises(OpenFailed):
        opening.open(1, sealer(ELSEWHERE[where], first=100).seal(AUDIO, b"payload"))
    assert opening.open(1, sealing.seal(AUDIO, b"payload")).payload == b"payload"


@pytest.mark.parametrize("warm", [False, True])
def test_a_frame_does_not_open_when_it_was_sealed_with_another_secret(warm: bool) -> None:
    sealing, opening = sealer(), receiver()
    if warm:
        warmed(sealing, opening)
    with pytest.raises(OpenFailed):
        opening.open(1, sealer(first=100, secret=bytes(32)).seal(AUDIO, b"payload"))


@pytest.mark.parametrize("warm", [False, True])
def test_a_frame_does_not_open_when_it_comes_from_another_epoch_with_the_same_low_bits(warm: bool) -> None:
    sealing, opening = sealer(), receiver()
    if warm:
        warmed(sealing, opening)
    with pytest.raises(OpenFailed):
        opening.open(1, sealer(epoch=16, first=100).seal(AUDIO, b"payload"))


def test_a_frame_of_an_epoch_whose_key_is_not_here_is_missing_its_key() -> None:
    with pytest.raises(KeyMissing):
        receiver().open(1, sealer(epoch=1).seal(AUDIO, b"payload"))


def test_a_frame_with_a_ratchet_step_is_missing_its_key() -> None:
    stepped = Sealer(ALICE, BaseKey(0, 1, bytes(32)))
    with pytest.raises(KeyMissing):
        receiver().open(1, stepped.seal(AUDIO, b"payload"))


@pytest.mark.parametrize("warm", [False, True])
def test_a_frame_does_not_open_when_it_is_moved_to_another_stream(warm: bool) -> None:
    sealing, opening = sealer(), receiver()
    if warm:
        warmed(sealing, opening)
        warmed_other = sealer(first=0)
        for _ in range(10):
            opening.open(1, warmed_other.seal(Descriptor(Kind.AUDIO, stream=3), b"warm"))
    frame = sealer(first=100).seal(AUDIO, b"payload")
    descriptor_only = frame[:3] + b"\3" + frame[4:]
    both = frame[:3] + b"\3" + frame[4:5] + b"\3" + frame[6:]
    for moved in (descriptor_only, both):
        with pytest.raises(OpenFailed):
            opening.open(1, moved)
    assert opening.open(1, frame).payload == b"payload"


@pytest.mark.parametrize("warm", [False, True])
def test_any_changed_bit_of_the_descriptor_closes_the_frame_and_moves_no_window(warm: bool) -> None:
    sealing, opening = sealer(), receiver()
    if warm:
        warmed(sealing, opening)
    frame = sealing.seal(AUDIO, b"payload")
    for bit in range(32):
        head = int.from_bytes(frame[:4], "big") ^ 1 << bit
        with pytest.raises(SealError):
            opening.open(1, head.to_bytes(4, "big") + frame[4:])
    assert opening.open(1, frame).payload == b"payload"


@given(st.integers(1, 2**32 - 1), sendable(), st.booleans())
def test_any_change_to_a_descriptor_closes_the_frame_and_moves_no_window(
    mask: int, descriptor: Descriptor, warm: bool
) -> None:
    sealing, opening = sealer(), receiver()
    if warm:
        for _ in range(10):
            opening.open(1, sealing.seal(descriptor, b"warm"))
    frame = sealing.seal(descriptor, b"payload")
    head = int.from_bytes(frame[:4], "big") ^ mask
    with pytest.raises(SealError):
        opening.open(1, head.to_bytes(4, "big") + frame[4:])
    assert opening.open(1, frame).payload == b"payload"


@given(st.integers(0, 10**6), st.sampled_from([0, 5, 20, 300, 70_000]))
def test_any_flipped_bit_of_header_ciphertext_or_tag_closes_the_frame(where: int, first: int) -> None:
    sealing, opening = sealer(first=first), receiver()
    warmed(sealing, opening)
    frame = sealing.seal(AUDIO, b"the payload of a frame")
    bit = 32 + where % (len(frame) * 8 - 32)
    data = bytearray(frame)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SealError):
        opening.open(1, data)
    assert opening.open(1, frame).payload == b"the payload of a frame"


@pytest.mark.parametrize("first", [0, 300, 70_000, 1 << 24])
def test_every_shorter_and_every_longer_frame_fails(first: int) -> None:
    sealing, opening = sealer(first=first), receiver()
    warmed(sealing, opening)
    frame = sealing.seal(AUDIO, b"payload")
    for size in range(len(frame)):
        with pytest.raises(SealError):
            opening.open(1, frame[:size])
    with pytest.raises(OpenFailed):
        opening.open(1, frame + b"\0")
    assert opening.open(1, frame).payload == b"payload"


@pytest.mark.parametrize("first", [0, 3, 20, 300, 70_000])
def test_a_frame_opens_once(first: int) -> None:
    sealing, opening = sealer(first=first), receiver()
    for _ in range(3):
        frame = sealing.seal(AUDIO, b"payload")
        opening.open(1, frame)
        for _ in range(2):
            with pytest.raises(Replayed):
                opening.open(1, frame)


def test_a_frame_with_a_lower_counter_than_the_last_does_not_open() -> None:
    sealing, opening = sealer(), receiver()
    frames = [sealing.seal(AUDIO, b"payload") for _ in range(600)]
    for ctr in (4, 11, 300, 599):
        assert opening.open(1, frames[ctr]).ctr == ctr
        for earlier in (0, 3, ctr - 1, ctr):
            with pytest.raises(Replayed):
                opening.open(1, frames[earlier])


def test_an_old_frame_does_not_open_under_a_changed_descriptor_of_its_stream() -> None:
    sealing, opening = sealer(), receiver()
    other = Descriptor(Kind.AUDIO, priority=3, stream=2)
    old = sealing.seal(other, b"old")
    warmed(sealing, opening)
    with pytest.raises(Replayed):
        opening.open(1, old)


def test_a_failed_open_does_not_move_the_window() -> None:
    sealing, opening = sealer(), receiver()
    warmed(sealing, opening)
    frames = [sealing.seal(AUDIO, b"payload") for _ in range(5)]
    broken = frames[4][:-1] + bytes([frames[4][-1] ^ 1])
    far = frames[4][:7] + b"\xff" + frames[4][8:]
    for bad in (broken, far):
        with pytest.raises(OpenFailed):
            opening.open(1, bad)
    assert [opening.open(1, frame).payload for frame in frames] == [b"payload"] * 5


def test_each_stream_has_its_own_window() -> None:
    sealing, opening = sealer(), receiver()
    first_video = sealing.seal(Descriptor(Kind.VIDEO, stream=3), b"video")
    warmed(sealing, opening)
    assert opening.open(1, first_video).payload == b"video"


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_counter_in_more_bytes_than_it_needs_does_not_open(size: int) -> None:
    sealing, opening = sealer(first=40), receiver()
    frame = sealing.seal(AUDIO, b"payload")
    longer = frame[:4] + bytes([0x98 | size - 1]) + frame[5:7] + (40).to_bytes(size, "big") + frame[8:]
    with pytest.raises(OpenFailed):
        opening.open(1, longer)
    opening.open(1, sealer(first=1 << 8 * size - 1).seal(AUDIO, b"so that this size takes the short path"))
    with pytest.raises(SealError):
        opening.open(1, longer)


def by_an_insider(wire: bytes, kid: int, ctr: int) -> bytes:
    """A frame that authenticates, with a header that an honest sender would not make."""
    extracted = epoch_key(ALICE.suite, CTX, SECRET)
    key, salt = ALICE.suite.schedule(base_key(extracted, ALICE, 0), kid)
    header = encode_header(kid, ctr)
    nonce = (int.from_bytes(salt, "big") ^ ctr).to_bytes(12, "big")
    return wire + header + AESGCM(key).encrypt(nonce, b"payload", header + bind16(ALICE, 0) + wire)


def test_a_frame_that_authenticates_opens_up_to_the_last_counter_and_no_further() -> None:
    wire = AUDIO.encode()
    for ctr in (2**32, 2**64 - 1):
        with pytest.raises(OpenFailed):
            receiver().open(1, by_an_insider(wire, 2 << 8, ctr))
    assert receiver().open(1, by_an_insider(wire, 2 << 8, 2**32 - 1)).payload == b"payload"


@pytest.mark.parametrize("kid", [3 << 8, 1 << 16 | 2 << 8, 2, 0xFF << 56 | 2 << 8])
def test_a_frame_that_authenticates_does_not_open_under_a_key_id_of_another_stream(kid: int) -> None:
    with pytest.raises(OpenFailed):
        receiver().open(1, by_an_insider(AUDIO.encode(), kid, 9))


@pytest.mark.parametrize("flag", [d.PADDED, d.SIGNED, d.CUSTOM])
def test_an_opener_without_layers_refuses_frames_that_have_some(flag: int) -> None:
    frame = sealer().seal(AUDIO, b"payload")
    with pytest.raises(OpenFailed, match="nothing here takes that off"):
        receiver().open(1, frame[:1] + bytes([flag]) + frame[2:])


def test_clear_text_is_refused_from_members_and_strangers_alike() -> None:
    clear = Descriptor(Kind.AUDIO, stream=2, version=d.CLEAR).encode() + b"payload"
    for member in (1, 99):
        with pytest.raises(ClearTextRefused):
            receiver().open(member, clear)


def test_a_stranger_is_missing_its_key() -> None:
    with pytest.raises(KeyMissing):
        receiver().open(2, sealer().seal(AUDIO, b"payload"))


@given(st.binary(max_size=80), st.binary(max_size=4))
def test_arbitrary_bytes_raise_nothing_but_seal_errors(data: bytes, tail: bytes) -> None:
    sealing, opening = sealer(), receiver()
    warmed(sealing, opening)
    frame = sealing.seal(AUDIO, b"payload")
    for cut in (0, 4, 5, 7, 8, 9):
        for member in (1, 2):
            with pytest.raises(SealError):
                opening.open(member, frame[:cut] + data + tail)
    assert opening.open(1, frame).payload == b"payload"


def test_the_repr_of_an_opened_frame_shows_its_size_and_not_its_payload() -> None:
    opened = receiver().open(1, sealer().seal(AUDIO, b"very private"))
    assert "12 bytes" in repr(opened)
    assert "private" not in repr(opened)


# --- sessions that leave and come back --------------------------------------------------------------


def test_a_session_that_rejoins_goes_on_with_its_window() -> None:
    sealing, opening = sealer(), receiver()
    frames = [sealing.seal(AUDIO, b"payload") for _ in range(20)]
    for frame in frames[:15]:
        opening.open(1, frame)
    opening.dismiss(1)
    opening.admit(7, ALICE, HELLO_ID)
    for frame in frames[:15]:
        with pytest.raises(Replayed):
            opening.open(7, frame)
    assert opening.open(7, frames[15]).payload == b"payload"


def test_two_member_numbers_of_one_session_share_its_window() -> None:
    sealing, opening = sealer(), receiver()
    opening.admit(2, ALICE, HELLO_ID)
    frames = [sealing.seal(AUDIO, b"payload") for _ in range(2)]
    opening.open(1, frames[0])
    with pytest.raises(Replayed):
        opening.open(2, frames[0])
    opening.dismiss(1)
    assert opening.open(2, frames[1]).payload == b"payload"
    opening.dismiss(2)
    opening.admit(3, ALICE, HELLO_ID)
    for frame in frames:
        with pytest.raises(Replayed):
            opening.open(3, frame)


def test_another_hello_for_a_session_that_was_heard_is_refused_also_after_it_left() -> None:
    sealing, opening = sealer(), receiver()
    opening.open(1, sealing.seal(AUDIO, b"payload"))
    for _ in range(2):
        with pytest.raises(HelloRefused, match="another hello"):
            opening.admit(2, ALICE, b"\1" * 32)
        opening.dismiss(1)
    opening.admit(3, ALICE, HELLO_ID)
    assert opening.open(3, sealing.seal(AUDIO, b"payload")).payload == b"payload"


def test_dismissing_a_stranger_is_no_error() -> None:
    opening = receiver()
    opening.dismiss(99)
    opening.dismiss(1)
    opening.dismiss(1)
    with pytest.raises(KeyMissing):
        opening.open(1, sealer().seal(AUDIO, b"payload"))


def test_a_member_number_given_to_another_session_no_longer_opens_the_first() -> None:
    opening = receiver()
    carol = ALICE._replace(user="carol")
    opening.admit(1, carol, HELLO_ID)
    with pytest.raises(OpenFailed):
        opening.open(1, sealer().seal(AUDIO, b"payload"))
    assert opening.open(1, sealer(carol).seal(AUDIO, b"payload")).payload == b"payload"


# --- what a hostile relay can make us remember ------------------------------------------------------


def strange(number: int) -> Sender:
    return Sender(CTX, AES_128_GCM, "ghost", number.to_bytes(16, "big"))


def grown(work: Callable[[], None]) -> int:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_a_relay_that_announces_a_hundred_thousand_sessions_is_refused_most_of_them() -> None:
    sealing, opening = sealer(), receiver()
    refused = 0

    def announce() -> None:
        nonlocal refused
        for number in range(100_000):
            try:
                opening.admit(number + 2, strange(number), HELLO_ID)
            except HelloRefused:
                refused += 1

    assert grown(announce) < 1024 * MEMBERS_MAX
    assert refused == 100_000 - (MEMBERS_MAX - 1)
    assert opening.open(1, sealing.seal(AUDIO, b"still here")).payload == b"still here"


def test_a_relay_that_lets_a_hundred_thousand_sessions_come_and_go_leaves_nothing_behind() -> None:
    sealing, opening = sealer(), receiver()
    old = sealing.seal(AUDIO, b"old")
    opening.open(1, old)
    opening.dismiss(1)
    forged = sealer(secret=bytes(32)).seal(AUDIO, b"not under the channel's key")

    def announce() -> None:
        for number in range(100_000):
            opening.admit(2, strange(number), HELLO_ID)
            if number % 100 == 0:
                with pytest.raises(OpenFailed):
                    opening.open(2, forged)
            opening.dismiss(2)

    assert grown(announce) < 200_000
    opening.admit(3, ALICE, HELLO_ID)
    with pytest.raises(Replayed):
        opening.open(3, old)


def test_forged_frames_on_every_key_id_leave_nothing_behind() -> None:
    opening = receiver()
    forged = [
        sealer(secret=bytes(32)).seal(Descriptor(Kind.DATA, priority=p, stream=stream), b"x")
        for stream in range(2, 256)
        for p in range(4)
    ]

    def flood() -> None:
        for frame in forged:
            with pytest.raises(OpenFailed):
                opening.open(1, frame)

    flood()
    assert grown(flood) < 50_000


def test_the_windows_of_sessions_that_left_are_bounded_and_the_oldest_go_first() -> None:
    opening = receiver(retired_max=4)
    opening.dismiss(1)
    frames = {}
    for number in range(6):
        frames[number] = sealer(strange(number)).seal(AUDIO, b"payload")
        opening.admit(2, strange(number), HELLO_ID)
        opening.open(2, frames[number])
        opening.dismiss(2)
    for number in range(2, 6):
        opening.admit(2, strange(number), HELLO_ID)
        with pytest.raises(Replayed):
            opening.open(2, frames[number])
    opening.admit(2, strange(0), HELLO_ID)
    assert opening.open(2, frames[0]).payload == b"payload"


def test_members_are_bounded_by_number_and_a_place_that_is_freed_can_be_taken() -> None:
    opening = receiver(members_max=3)
    opening.admit(2, strange(2), HELLO_ID)
    opening.admit(3, strange(3), HELLO_ID)
    with pytest.raises(HelloRefused, match="more members"):
        opening.admit(4, strange(4), HELLO_ID)
    opening.admit(3, strange(5), HELLO_ID)
    opening.dismiss(2)
    opening.admit(4, strange(4), HELLO_ID)


def test_receive_keys_are_bounded_and_dropping_them_loses_no_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opener, "CONTEXTS_MAX", 4)
    secrets, derived = SharedSecrets(CTX, AES_128_GCM, 0, SECRET), 0

    def receiving(sender: Sender, epoch: int, step: int) -> BaseKey | None:
        nonlocal derived
        derived += 1
        return secrets.receiving(sender, epoch, step)

    sealing, opening = sealer(first=8), Opener(receiving)
    opening.admit(1, ALICE, HELLO_ID)
    streams = [Descriptor(Kind.AUDIO, stream=stream) for stream in range(2, 13)]
    frames = [sealing.seal(descriptor, b"payload") for _ in range(12) for descriptor in streams]
    for frame in frames:
        assert opening.open(1, frame).payload == b"payload"
    assert derived == len(frames), "eleven streams in turn never find their key among four"
    for _ in range(50):
        for descriptor in streams[:3]:
            frames.append(sealing.seal(descriptor, b"payload"))
            opening.open(1, frames[-1])
    assert derived <= 11 * 12 + 3, "three streams fit"
    for frame in frames:
        with pytest.raises(Replayed):
            opening.open(1, frame)


def test_keys_of_members_that_left_and_of_epochs_that_ended_take_no_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opener, "CONTEXTS_MAX", 4)
    secrets = SharedSecrets(CTX, AES_128_GCM, 0, SECRET)
    asked: list[str] = []

    def receiving(sender: Sender, epoch: int, step: int) -> BaseKey | None:
        asked.append(sender.user)
        return secrets.receiving(sender, epoch, step)

    bob = ALICE._replace(user="bob")
    opening, from_alice, from_bob = Opener(receiving), sealer(), sealer(bob)
    opening.admit(1, ALICE, HELLO_ID)
    opening.admit(2, bob, HELLO_ID)
    for number in range(20):
        opening.open(1, from_alice.seal(AUDIO, b"payload"))
        opening.admit(3, strange(number), HELLO_ID)
        opening.open(3, sealer(strange(number)).seal(AUDIO, b"payload"))
        opening.dismiss(3)
    assert asked.count("alice") == 1

    for _ in range(2):
        opening.open(2, from_bob.seal(AUDIO, b"payload"))
        opening.forget_epoch(0)
    asked.clear()
    for _ in range(3):
        opening.open(1, from_alice.seal(AUDIO, b"payload"))
        opening.open(2, from_bob.seal(AUDIO, b"payload"))
    assert asked == ["alice", "bob"]


def test_a_receive_key_is_derived_once_while_there_is_room() -> None:
    secrets = SharedSecrets(CTX, AES_128_GCM, 0, SECRET)
    asked: list[tuple[Sender, int, int]] = []

    def receiving(sender: Sender, epoch: int, step: int) -> BaseKey | None:
        asked.append((sender, epoch, step))
        return secrets.receiving(sender, epoch, step)

    sealing, opening = sealer(), Opener(receiving)
    opening.admit(1, ALICE, HELLO_ID)
    for _ in range(300):
        opening.open(1, sealing.seal(AUDIO, b"payload"))
    assert asked == [(ALICE, 0, 0)]


def test_a_member_that_uses_very_many_descriptors_is_opened_and_fills_nothing() -> None:
    sealing, opening = sealer(first=10), receiver()
    layers = [(t, s, p) for t in range(8) for s in range(4) for p in range(8)]
    many = [Descriptor(Kind.VIDEO, flags, *layer, stream=2) for flags in range(8) for layer in layers]
    frames = [sealing.seal(d.decode(descriptor.encode()), b"x") for descriptor in many]

    def open_all() -> None:
        for descriptor, frame in zip(many, frames, strict=True):
            assert opening.open(1, frame).descriptor == descriptor

    assert grown(open_all) < 200_000
