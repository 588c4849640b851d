"""MessagePack within bounds: what the walk over the heads lets through, and what it costs."""

from __future__ import annotations

import math
import struct
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sealcast.protocol.packing import MAP_MAX, unpack

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.floats(width=32, allow_nan=False)
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=20).map(tuple) | st.dictionaries(st.text(max_size=8), inner, max_size=20)
    ),
    max_leaves=60,
)


def read(data: bytes, values: int = 1000, array: int = 100) -> Any:
    return unpack(memoryview(data), values=values, array=array)


def values_in(tree: Any) -> int:
    if isinstance(tree, tuple):
        return 1 + sum(map(values_in, tree))
    if isinstance(tree, dict):
        return 1 + sum(1 + values_in(value) for value in tree.values())
    return 1


@given(trees)
def test_what_fits_is_read_as_the_plain_decoder_reads_it(tree: Any) -> None:
    assert read(msgpack.packb(tree)) == tree


@given(trees)
def test_the_bound_on_values_is_exact(tree: Any) -> None:
    data, count = msgpack.packb(tree), values_in(tree)
    assert read(data, values=count) == tree
    if count > 1:
        with pytest.raises(ValueError, match="too many values"):
            read(data, values=count - 1)


@given(trees)
def test_a_value_cut_short_anywhere_or_followed_by_anything_is_refused(tree: Any) -> None:
    data = msgpack.packb(tree)
    for size in range(len(data)):
        with pytest.raises(ValueError, match="cut short"):
            read(data[:size])
    with pytest.raises(ValueError, match="after the end"):
        read(data + b"\xc0")


@given(st.binary(max_size=80))
@example(b"\xd9")
@example(b"\xdd\0\0")
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    caught: list[Exception] = []
    try:
        value = read(data)
    except Exception as error:
        caught.append(error)
    else:
        again = msgpack.unpackb(msgpack.packb(value), use_list=False)
        assert again == value or "nan" in repr(value)
    assert [type(error) for error in caught] in ([], [ValueError]), "the decoder's own errors stay inside"


# How many bytes the length takes, for the heads that are followed by one.
WIDTHS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}


@pytest.mark.parametrize("head", range(256))
def test_every_head_byte_is_walked_over_as_the_decoder_does(head: int) -> None:
    def by_decoder(data: bytes) -> int:
        decoder = msgpack.Unpacker(raw=True, use_list=False, max_buffer_size=1 << 20)
        decoder.feed(data)
        decoder.skip()
        return int(decoder.tell())

    # A length of one, whatever its width; every value that follows is a nil.
    extension = head == 0xC1 or 0xC7 <= head <= 0xC9 or 0xD4 <= head <= 0xD8
    width = WIDTHS.get(head, 0)
    data = bytes([head]) + ((1).to_bytes(width) if width else b"") + b"\xc0" * 64
    if extension:
        with pytest.raises(ValueError, match="extension type"):
            read(data)
        return
    size = by_decoder(data)
    short, over = data[: size - 1], data[: size + 1]
    for wrong in (short, over):
        with pytest.raises(ValueError, match="cut short"):
            read(wrong)
    # Of the right size: a nil is no key, and 0xC0 is no UTF-8, so the decoder has the last word.
    told = ""
    try:
        read(data[:size])
    except ValueError as error:
        told = str(error)
    assert not told or "a length, a key or a text" in told


@pytest.mark.parametrize(
    "data",
    [
        msgpack.packb(msgpack.ExtType(5, b"")),
        msgpack.packb(msgpack.ExtType(5, b"x" * 300)),
        msgpack.packb(msgpack.Timestamp(1, 2)),
        msgpack.packb([1, {"a": msgpack.Timestamp(1)}]),
        b"\xc1",
    ],
)
def test_extension_types_are_refused_wherever_they_stand(data: bytes) -> None:
    with pytest.raises(ValueError, match="extension type"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x81\xa1m\x82\xa1a\x01\xa1a\x01",
        b"\x81\x01\x02",
        b"\x81\xc0\x02",
        b"\x81\xc4\x01a\x02",
        b"\x81\x90\x02",
        b"\x81\x80\x02",
        b"\x81\xcb\x7f\xf8\0\0\0\0\0\0\x02",
    ],
)
def test_a_key_that_stands_twice_or_is_not_text_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a key"):
        read(data)


@pytest.mark.parametrize("data", [b"\xa1\xff", b"\xa3\xed\xa0\x80", b"\xa2\xc0\x80", b"\x81\xa1\xff\x01"])
def test_text_that_is_not_strict_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a text"):
        read(data)


def test_arrays_and_maps_have_their_own_bounds() -> None:
    assert len(read(msgpack.packb([None] * 100))) == 100
    with pytest.raises(ValueError, match="a length"):
        read(msgpack.packb([None] * 101))
    full = {f"k{n}": n for n in range(MAP_MAX)}
    assert read(msgpack.packb(full)) == full
    with pytest.raises(ValueError, match="a length"):
        read(msgpack.packb(full | {"one": "more"}))


def test_nan_and_infinity_are_floats_here_and_the_fields_business_later() -> None:
    assert math.isnan(read(msgpack.packb(math.nan)))
    assert read(msgpack.packb(-math.inf)) == -math.inf


BOMBS: dict[str, Callable[[], bytes]] = {
    "nested arrays": lambda: b"\x91" * 500_000,
    "nested arrays, each of 65,535": lambda: b"\xdc\xff\xff" * 100_000,
    "nested arrays, each of four billion": lambda: b"\xdd\xff\xff\xff\xff" * 100_000,
    "nested maps": lambda: b"\x81\xa1a" * 200_000,
    "nested maps, each of four billion": lambda: b"\xdf\xff\xff\xff\xff\xa1a" * 100_000,
    "text of four gigabytes": lambda: b"\xdb\xff\xff\xff\xff" + bytes(100_000),
    "bytes of four gigabytes": lambda: b"\xc6\xff\xff\xff\xff" + bytes(100_000),
    "an extension of four gigabytes": lambda: b"\xc9\xff\xff\xff\xff\x05" + bytes(100_000),
    "a million empty maps": lambda: b"\xdd" + struct.pack(">I", 1_000_000) + b"\x80" * 1_000_000,
    "maps in arrays in arrays": lambda: b"\xdc\x00\x64" + (b"\xdc\x00\x64" + b"\x80" * 100) * 100,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_anything_of_its_size_is_built(name: str) -> None:
    data = BOMBS[name]()
    tracemalloc.start()
    try:
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            read(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert type(caught.value) is ValueError
    assert peak < 500_000, f"{peak} bytes for {len(data)}"


def test_nesting_that_the_decoder_can_hold_is_read() -> None:
    value = read(b"\x91" * 100 + b"\xc0")
    for _ in range(100):
        (value,) = value
    assert value is None
