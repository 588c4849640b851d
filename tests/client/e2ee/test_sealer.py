"""Sealing: counters, their limit, and what is refused before anything is encrypted."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from sealcast.client.e2ee.context import BaseKey, Sender, context_id
from sealcast.client.e2ee.sealer import Sealer
from sealcast.client.e2ee.suites import AES_128_GCM
from sealcast.client.errors import ClearTextRefused, CounterExhausted, EpochRefused
from sealcast.protocol import descriptor as d
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.errors import LocalProtocolError
from sealcast.protocol.names import Kind
from sealcast.protocol.sframe import encode_header, read_header

SENDER = Sender(context_id("0123456789abcdef0123456789abcdef", "standup"), AES_128_GCM, "alice", bytes(16))
AUDIO = Descriptor(Kind.AUDIO, stream=2)
CONTROL = Descriptor(Kind.CONTROL)


def sealer(epoch: int = 0, first: int = 0) -> Sealer:
    return Sealer(SENDER, BaseKey(epoch, 0, bytes(32)), first_counter=first)


def header(frame: bytes) -> tuple[int, int]:
    return read_header(frame, 4)[:2]


@pytest.mark.parametrize("first", [0, 7, 8, 255, 256, 65534, 65535, 2**24 - 1, 2**24, 2**32 - 3])
@pytest.mark.parametrize("descriptor", [AUDIO, CONTROL])
@pytest.mark.parametrize("epoch", [0, 1, 15])
def test_the_header_is_the_shortest_for_every_size_of_counter(
    first: int, descriptor: Descriptor, epoch: int
) -> None:
    sealing = sealer(epoch, first)
    kid = descriptor.stream << 8 | epoch << 4
    for ctr in range(first, first + 3):
        frame = sealing.seal(descriptor, b"payload")
        start = descriptor.encode() + encode_header(kid, ctr)
        assert frame[: len(start)] == start
        assert len(frame) == len(start) + len(b"payload") + 16


def test_the_overhead_is_what_the_documentation_says() -> None:
    sizes = set()
    for first in (0, 8, 256, 65536, 2**24):
        for descriptor in (AUDIO, CONTROL, Descriptor(Kind.VIDEO, stream=255)):
            sizes.add(len(sealer(1, first).seal(descriptor, b"")))
    assert sizes <= set(range(22, 28))
    assert len(sealer(0, 256).seal(AUDIO, bytes(120))) == 120 + 25


def test_each_stream_counts_for_itself() -> None:
    sealing = sealer()
    other = Descriptor(Kind.AUDIO, stream=3)
    kinds = Descriptor(Kind.VIDEO, flags=d.KEYFRAME, stream=2)
    frames = [sealing.seal(which, b"") for which in (AUDIO, other, AUDIO, kinds, other)]
    assert [header(frame) for frame in frames] == [(512, 0), (768, 0), (512, 1), (512, 2), (768, 1)]


def test_the_last_counter_seals_and_the_next_is_refused_for_good() -> None:
    sealing = sealer(first=2**32 - 1)
    assert header(sealing.seal(AUDIO, b""))[1] == 2**32 - 1
    for _ in range(3):
        with pytest.raises(CounterExhausted):
            sealing.seal(AUDIO, b"")


def test_a_new_epoch_brings_an_exhausted_stream_back() -> None:
    sealing = sealer(first=2**32)
    with pytest.raises(CounterExhausted):
        sealing.seal(AUDIO, b"")
    sealing = sealer(first=2**32 - 1)
    sealing.seal(AUDIO, b"")
    sealing.rekey(BaseKey(1, 0, bytes(32)))
    assert header(sealing.seal(AUDIO, b"")) == (512 | 1 << 4, 2**32 - 1)


def test_a_key_id_goes_on_counting_when_the_sixteenth_epoch_brings_it_back() -> None:
    sealing = sealer(epoch=3)
    for _ in range(5):
        sealing.seal(AUDIO, b"")
    sealing.rekey(BaseKey(4, 0, b"\1" * 32))
    assert header(sealing.seal(AUDIO, b"")) == (512 | 4 << 4, 0)
    sealing.rekey(BaseKey(19, 0, b"\2" * 32))
    assert header(sealing.seal(AUDIO, b"")) == (512 | 3 << 4, 5)


@pytest.mark.parametrize(("epoch", "step"), [(5, 2), (5, 1), (4, 9), (0, 0)])
def test_a_base_key_that_does_not_come_later_is_refused_and_changes_nothing(epoch: int, step: int) -> None:
    sealing = Sealer(SENDER, BaseKey(5, 2, bytes(32)))
    first = sealing.seal(AUDIO, b"")
    with pytest.raises(EpochRefused):
        sealing.rekey(BaseKey(epoch, step, b"\1" * 32))
    assert header(sealing.seal(AUDIO, b"")) == (header(first)[0], 1)
    assert sealing.epoch == 5


def test_a_ratchet_step_of_the_same_epoch_is_a_later_key() -> None:
    sealing = sealer()
    sealing.rekey(BaseKey(0, 1, b"\1" * 32))
    assert header(sealing.seal(AUDIO, b""))[0] == 512 | 1


def test_a_clear_descriptor_is_refused_and_uses_no_counter_up() -> None:
    sealing = sealer()
    with pytest.raises(ClearTextRefused):
        sealing.seal(Descriptor(Kind.AUDIO, stream=2, version=d.CLEAR), b"payload")
    assert header(sealing.seal(AUDIO, b""))[1] == 0


@pytest.mark.parametrize("flag", [d.PADDED, d.SIGNED, d.CUSTOM])
def test_a_flag_that_only_the_encryption_sets_is_refused(flag: int) -> None:
    with pytest.raises(LocalProtocolError, match="by itself"):
        sealer().seal(Descriptor(Kind.AUDIO, flags=flag, stream=2), b"payload")


def test_the_cache_of_descriptors_is_bounded_and_counting_survives_its_emptying() -> None:
    sealing = sealer()
    layers = [(t, s, p) for t in range(8) for s in range(4) for p in range(8)]
    many = [Descriptor(Kind.VIDEO, flags, *layer, stream=2) for flags in range(8) for layer in layers]
    others = [replace(descriptor, flags=descriptor.flags | d.KEEP) for descriptor in many]
    counters = [header(sealing.seal(descriptor, b""))[1] for descriptor in many]
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    counters += [header(sealing.seal(descriptor, b""))[1] for descriptor in others]
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert counters == list(range(4096))
    assert after - before < 350_000


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_payload_may_be_any_buffer(kind: type) -> None:
    assert sealer().seal(AUDIO, kind(b"payload")) == sealer().seal(AUDIO, b"payload")
