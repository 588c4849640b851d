"""Padding: the rules' sizes, and that what was padded comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee import Key
from sealcast.client.e2ee.padding import BUCKETS, NONE, Padding, constant, pad, padding_rule, unpad
from sealcast.client.errors import OpenFailed, PaddingExceeded
from sealcast.protocol.descriptor import PADDED, Descriptor
from sealcast.protocol.names import Kind

APP = "0123456789abcdef0123456789abcdef"
AUDIO = Descriptor(Kind.AUDIO, stream=2)
MESSAGE = Descriptor(Kind.MESSAGE, stream=1)
KINDS = st.sampled_from([kind for kind in Kind if kind is not Kind.CONTROL])


@pytest.mark.parametrize(
    ("kind", "length", "size"),
    [
        (Kind.AUDIO, 0, 32),
        (Kind.AUDIO, 31, 32),
        (Kind.AUDIO, 32, 64),
        (Kind.AUDIO, 119, 128),
        (Kind.MESSAGE, 0, 64),
        (Kind.MESSAGE, 63, 64),
        (Kind.MESSAGE, 64, 128),
        (Kind.DATA, 255, 256),
        (Kind.DATA, 511, 512),
        (Kind.DATA, 512, 1024),
        (Kind.VIDEO, 1023, 1024),
        (Kind.VIDEO, 1024, 2048),
        (Kind.CUSTOM, 5000, 5120),
    ],
)
def test_the_sizes_of_buckets(kind: Kind, length: int, size: int) -> None:
    assert BUCKETS.size(kind, length) == size


@given(KINDS, st.integers(0, 100_000))
def test_there_is_always_room_and_a_longer_payload_never_becomes_shorter(kind: Kind, length: int) -> None:
    assert BUCKETS.size(kind, length) > length
    assert BUCKETS.size(kind, length + 1) >= BUCKETS.size(kind, length)


@given(st.binary(max_size=300), st.integers(1, 100))
def test_what_was_padded_comes_back(data: bytes, more: int) -> None:
    padded = pad(data, len(data) + more)
    assert (len(padded), unpad(padded)) == (len(data) + more, data)


@pytest.mark.parametrize("data", [b"", b"\0\0\0", b"payload", b"\x80x\0"])
def test_what_is_not_padded_is_refused(data: bytes) -> None:
    with pytest.raises(OpenFailed):
        unpad(data)


@pytest.mark.parametrize("suite", ["AES_128_GCM", "AES_256_GCM"])
@given(lengths=st.lists(st.integers(0, 3000), min_size=2, max_size=6))
def test_payloads_of_one_bucket_look_alike_on_the_wire_and_open(suite: str, lengths: list[int]) -> None:
    key = Key.raw(bytes(32), suite=suite, padding="buckets")
    alice, bob = key.bind(APP, "room", "alice"), key.bind(APP, "room", "bob")
    bob.add_member(1, "alice", alice.hello)
    for descriptor in (AUDIO, MESSAGE):
        signature = 64 if descriptor is MESSAGE else 0
        for ctr, length in enumerate(lengths):
            frame = alice.seal(descriptor, bytes(length))
            assert frame[1] & PADDED
            header = 3 if ctr < 8 else 4
            assert len(frame) == 4 + header + BUCKETS.size(descriptor.kind, signature + length) + 16
            assert len(frame) <= alice.sealed_size(descriptor.kind, length)
            assert bob.open(1, frame).payload == bytes(length)


def test_with_a_constant_size_all_frames_are_alike_and_larger_ones_are_refused() -> None:
    alice = Key.raw(bytes(32), padding=constant(200)).bind(APP, "room", "alice")
    bob = Key.raw(bytes(32)).bind(APP, "room", "bob")
    bob.add_member(1, "alice", alice.hello)
    frames = [alice.seal(AUDIO, bytes(n)) for n in (0, 50, 199)]
    assert len({len(frame) for frame in frames}) == 1
    assert [len(bob.open(1, frame).payload) for frame in frames] == [0, 50, 199]
    with pytest.raises(PaddingExceeded):
        alice.seal(AUDIO, bytes(200))
    with pytest.raises(PaddingExceeded):
        alice.sealed_size(Kind.AUDIO, 200)
    assert bob.open(1, alice.seal(MESSAGE, bytes(135))).payload == bytes(135)
    with pytest.raises(PaddingExceeded):
        alice.seal(MESSAGE, bytes(136))


def test_an_unpadded_frame_says_so() -> None:
    alice = Key.raw(bytes(32)).bind(APP, "room", "alice")
    assert not alice.seal(AUDIO, b"x")[1] & PADDED


def test_rules_have_names_and_others_are_refused() -> None:
    assert padding_rule("none") is NONE
    assert padding_rule("buckets") is BUCKETS
    assert str(padding_rule(constant(7))) == "constant(7)"
    assert isinstance(constant(7), Padding)
    with pytest.raises(ValueError, match="constant"):
        Key.raw(bytes(32), padding="some")
    for size in (0, -1, 2**24 + 1):
        with pytest.raises(ValueError, match="padded size"):
            constant(size)
