"""The four clear bytes before a sealed frame."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol import descriptor as d
from sealcast.protocol.codes import reply
from sealcast.protocol.descriptor import Descriptor, DescriptorError, decode, streams_of
from sealcast.protocol.errors import LocalProtocolError
from sealcast.protocol.names import Kind

PROFILE = json.loads((Path(__file__).parents[1] / "vectors" / "profile.json").read_text())


@st.composite
def descriptors(draw: st.DrawFn) -> Descriptor:
    kind = draw(st.sampled_from(Kind))
    streams = streams_of(kind)
    return Descriptor(
        kind,
        flags=draw(st.integers(0, 0x7F)),
        temporal=draw(st.integers(0, 7)),
        spatial=draw(st.integers(0, 3)),
        priority=draw(st.integers(0, 7)),
        stream=draw(st.integers(streams[0], streams[-1])),
        version=draw(st.sampled_from([d.SEALED, d.CLEAR])),
    )


@pytest.mark.parametrize("vector", PROFILE["descriptors"], ids=lambda v: v["encoded"])
def test_the_golden_descriptors_encode_and_decode(vector: dict[str, Any]) -> None:
    fields = {name: value for name, value in vector.items() if name != "encoded"}
    wire = bytes.fromhex(vector["encoded"])
    assert Descriptor(**fields).encode() == wire
    assert decode(wire) == Descriptor(**fields)


@pytest.mark.parametrize("vector", PROFILE["refused_descriptors"], ids=lambda v: v["why"])
def test_bytes_that_are_no_descriptor_are_refused(vector: dict[str, str]) -> None:
    with pytest.raises(DescriptorError) as caught:
        decode(bytes.fromhex(vector["encoded"]))
    assert caught.value.code is reply("bad_frame")
    assert not caught.value.fatal


@given(descriptors(), st.binary(max_size=6), st.binary(max_size=6))
def test_a_descriptor_decodes_as_what_was_encoded_at_any_offset(
    made: Descriptor, before: bytes, after: bytes
) -> None:
    data = before + made.encode() + after
    assert decode(data, len(before)) == made
    assert decode(memoryview(data), len(before)) == made


@given(st.binary(min_size=4, max_size=4))
def test_any_four_bytes_are_refused_or_mean_exactly_themselves(wire: bytes) -> None:
    try:
        read = decode(wire)
    except DescriptorError:
        return
    assert read.encode() == wire
    assert not read.flags & d.RESERVED
    assert read.stream in streams_of(read.kind)


def test_all_first_bytes_but_fourteen_are_refused() -> None:
    accepted = []
    for head in range(256):
        stream = {0: 0, 4: 1}.get(head & 15, 2)
        try:
            accepted.append(decode(bytes([head, 0, 0, stream])))
        except DescriptorError:
            continue
    assert {(a.version, a.kind) for a in accepted} == {(v, k) for v in (1, 2) for k in Kind}


@given(st.integers(0, 0xFF))
def test_exactly_one_flag_is_reserved(flags: int) -> None:
    wire = bytes([0x12, flags, 0, 2])
    if flags & 0x80:
        with pytest.raises(DescriptorError, match="reserved"):
            decode(wire)
    else:
        assert decode(wire).flags == flags


def test_a_kind_has_the_streams_that_the_numbering_rule_gives_it() -> None:
    assert list(streams_of(Kind.CONTROL)) == [0]
    assert list(streams_of(Kind.MESSAGE)) == [1]
    for kind in set(Kind) - {Kind.CONTROL, Kind.MESSAGE}:
        assert streams_of(kind) == range(2, 256)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": 6, "stream": 2},
        {"kind": Kind.AUDIO, "stream": 1},
        {"kind": Kind.AUDIO, "stream": 256},
        {"kind": Kind.AUDIO, "stream": -1},
        {"kind": Kind.MESSAGE, "stream": 2},
        {"kind": Kind.CONTROL, "stream": 1},
        {"kind": Kind.AUDIO, "stream": 2, "flags": 0x80},
        {"kind": Kind.AUDIO, "stream": 2, "flags": -1},
        {"kind": Kind.AUDIO, "stream": 2, "temporal": 8},
        {"kind": Kind.AUDIO, "stream": 2, "spatial": 4},
        {"kind": Kind.AUDIO, "stream": 2, "priority": 8},
        {"kind": Kind.AUDIO, "stream": 2, "version": 0},
        {"kind": Kind.AUDIO, "stream": 2, "version": 3},
    ],
)
def test_a_descriptor_that_cannot_be_sent_cannot_be_made(fields: dict[str, Any]) -> None:
    with pytest.raises(LocalProtocolError):
        Descriptor(**fields)


def test_a_descriptor_is_frozen_and_its_bytes_follow_a_replace() -> None:
    audio = Descriptor(Kind.AUDIO, stream=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        audio.flags = d.KEYFRAME  # type: ignore[misc]
    changed = dataclasses.replace(audio, flags=d.KEYFRAME)
    assert (audio.encode().hex(), changed.encode().hex()) == ("11000002", "11010002")


def test_a_kind_given_as_a_number_becomes_a_kind() -> None:
    assert Descriptor(2, stream=2).kind is Kind.VIDEO  # type: ignore[arg-type]


def test_the_flags_answer_by_name() -> None:
    marked = Descriptor(Kind.VIDEO, flags=d.KEYFRAME | d.KEEP, stream=2)
    plain = Descriptor(Kind.VIDEO, flags=d.DISCARDABLE, stream=2, version=d.CLEAR)
    assert (marked.keyframe, marked.discardable, marked.keep, marked.sealed) == (True, False, True, True)
    assert (plain.keyframe, plain.discardable, plain.keep, plain.sealed) == (False, True, False, False)


def test_equal_bytes_decode_to_the_same_object() -> None:
    assert decode(b"\x12\x01\x00\x07") is decode(memoryview(b"xx\x12\x01\x00\x07"), 2)
