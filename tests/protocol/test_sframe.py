"""The SFrame header: the working group's vectors, and bytes that are no header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.protocol.codes import reply
from sealcast.protocol.errors import LocalProtocolError, RemoteProtocolError
from sealcast.protocol.sframe import HEADER_MAX, HeaderError, encode_header, read_header

VECTORS = Path(__file__).parents[1] / "vectors"
OFFICIAL: list[dict[str, Any]] = json.loads((VECTORS / "sframe.json").read_text())["header"]
REFUSED: list[dict[str, str]] = json.loads((VECTORS / "profile.json").read_text())["refused_headers"]

U64 = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 300), st.integers(0, 63).map(lambda n: 1 << n))


def test_there_are_official_vectors() -> None:
    assert len(OFFICIAL) == 145


@pytest.mark.parametrize("vector", OFFICIAL, ids=lambda v: f"{v['kid']:x}-{v['ctr']:x}")
def test_the_official_headers_encode_and_read(vector: dict[str, Any]) -> None:
    encoded = bytes.fromhex(vector["encoded"])
    assert encode_header(vector["kid"], vector["ctr"]) == encoded
    assert read_header(encoded) == (vector["kid"], vector["ctr"], len(encoded))


@pytest.mark.parametrize("vector", REFUSED, ids=lambda v: v["why"])
def test_a_header_that_is_cut_short_or_not_minimal_is_refused(vector: dict[str, str]) -> None:
    with pytest.raises(HeaderError):
        read_header(bytes.fromhex(vector["encoded"]))


@given(U64, U64)
def test_a_header_reads_as_what_was_encoded(kid: int, ctr: int) -> None:
    encoded = encode_header(kid, ctr)
    assert len(encoded) <= HEADER_MAX
    assert read_header(encoded) == (kid, ctr, len(encoded))


@given(U64, U64, st.binary(max_size=8), st.binary(max_size=8))
def test_a_header_reads_at_an_offset_in_bytes_bytearray_and_memoryview(
    kid: int, ctr: int, before: bytes, after: bytes
) -> None:
    encoded = encode_header(kid, ctr)
    data = before + encoded + after
    expected = (kid, ctr, len(before) + len(encoded))
    assert read_header(data, len(before)) == expected
    assert read_header(memoryview(data), len(before)) == expected
    assert read_header(memoryview(bytearray(data)), len(before)) == expected


@given(U64, U64)
def test_every_shorter_part_of_a_header_is_refused(kid: int, ctr: int) -> None:
    encoded = encode_header(kid, ctr)
    for size in range(len(encoded)):
        with pytest.raises(HeaderError):
            read_header(encoded[:size])


@given(st.binary(max_size=24))
def test_any_bytes_are_either_refused_or_the_one_encoding_of_what_was_read(data: bytes) -> None:
    try:
        kid, ctr, end = read_header(data)
    except HeaderError:
        return
    assert encode_header(kid, ctr) == data[:end]


@pytest.mark.parametrize("size", range(2, 9))
@pytest.mark.parametrize("field", ["kid", "ctr"])
def test_an_integer_with_a_leading_zero_byte_is_refused_at_every_size(field: str, size: int) -> None:
    config = 0x80 | (size - 1) << 4 if field == "kid" else 0x08 | (size - 1)
    least = (1 << 8 * (size - 1)).to_bytes(size, "big")
    assert read_header(bytes([config]) + least)[2] == size + 1
    with pytest.raises(HeaderError, match="shortest form"):
        read_header(bytes([config, 0]) + b"\xff" * (size - 1))


@pytest.mark.parametrize(("kid", "ctr"), [(-1, 0), (0, -1), (2**64, 0), (0, 2**64)])
def test_a_number_that_no_header_holds_is_the_callers_mistake(kid: int, ctr: int) -> None:
    with pytest.raises(LocalProtocolError):
        encode_header(kid, ctr)


def test_the_error_says_what_to_answer_and_shows_no_bytes() -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        read_header(b"\x99\xde")
    assert caught.value.code is reply("encryption_required")
    assert not caught.value.fatal
    assert "de" not in str(caught.value).split()
