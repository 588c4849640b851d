"""Beacons and batches of signatures: one layout, nothing left over; and the roster hash."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee.batch import (
    AWAITED_EACH,
    BatchReader,
    BatchWriter,
    Run,
    Verdict,
    encode_batch,
    frame_digest,
    read_batch,
)
from sealcast.client.e2ee.beacon import Beacon, encode_beacon, read_beacon
from sealcast.client.e2ee.context import BaseKey
from sealcast.client.e2ee.roster_hash import roster_hash, roster_leaf
from sealcast.client.errors import OpenFailed
from sealcast.protocol.sframe import encode_header

U64 = st.integers(0, 2**64 - 1)
BEACONS = st.builds(
    Beacon,
    U64,
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(0, 255), U64), max_size=255).map(tuple),
    st.lists(st.binary(min_size=8, max_size=8), max_size=255).map(tuple),
    st.binary(min_size=32, max_size=32),
)
DIGESTS = st.binary(min_size=12, max_size=12)
RUNS = st.builds(
    lambda kid, first, frames: Run(kid, tuple((first + at, frames[at]) for at in sorted({0, *frames}))),
    st.integers(0, 0xFFFF),
    st.integers(0, 2**32),
    st.dictionaries(st.integers(0, 2039), DIGESTS, max_size=40).map(lambda d: {0: bytes(12), **d}),
)


@given(BEACONS)
def test_a_beacon_reads_as_what_was_written(beacon: Beacon) -> None:
    assert read_beacon(encode_beacon(beacon)) == beacon


@given(BEACONS, st.data())
def test_a_beacon_that_is_cut_short_or_too_long_is_refused(beacon: Beacon, data: st.DataObject) -> None:
    body = encode_beacon(beacon)
    cut = data.draw(st.integers(0, len(body) - 1))
    for bad in (body[:cut], body + b"\0", b"\x02" + body[1:]):
        with pytest.raises(OpenFailed):
            read_beacon(bad)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_beacon_or_a_batch_or_refused(data: bytes) -> None:
    for read in (read_beacon, read_batch):
        for body in (data, bytes(16) + data, b"\x01" + data):
            try:
                read(body)
            except OpenFailed:
                continue


def test_more_than_fits_is_not_written() -> None:
    with pytest.raises(ValueError, match="255"):
        encode_beacon(Beacon(0, 0, (), (bytes(8),) * 256, bytes(32)))


@given(st.lists(RUNS, max_size=8, unique_by=lambda run: run.kid))
def test_a_batch_reads_as_what_was_written(runs: list[Run]) -> None:
    assert read_batch(encode_batch(runs)) == tuple(runs)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "02",
        "01",
        "0101",
        "01010200000000000000000000",  # no bitmap
        "0101020000000000000000000100",  # an empty one
        "0101020000000000000000000140" + "00" * 12,  # begins late
        "0102" + ("020000000000000000000180" + "00" * 12) * 2,  # a key id twice
        "0101020000000000000000000180" + "00" * 13,  # a byte left over
    ],
)
def test_a_malformed_batch_is_refused(body: str) -> None:
    with pytest.raises(OpenFailed):
        read_batch(bytes.fromhex(body))


def test_counters_too_far_apart_do_not_fit_one_run() -> None:
    with pytest.raises(ValueError, match="2040"):
        encode_batch([Run(512, ((0, bytes(12)), (2040, bytes(12))))])
    with pytest.raises(ValueError, match="2040"):
        encode_batch([Run(512, ())])


def frame(kid: int, ctr: int) -> bytes:
    return bytes(4) + encode_header(kid, ctr) + b"ciphertext and tag"


def runs_of(bodies: list[bytes]) -> list[Run]:
    return [run for body in bodies for run in read_batch(body)]


@given(
    st.lists(
        st.tuples(st.sampled_from([512, 768, 529]), st.integers(0, 10_000)),
        unique=True,
        min_size=1,
        max_size=600,
    )
)
def test_every_frame_that_was_noted_is_in_one_batch_whatever_the_order(noted: list[tuple[int, int]]) -> None:
    writer = BatchWriter()
    for kid, ctr in noted:
        writer.add(frame(kid, ctr))
    writer.start(0.0)
    runs = runs_of(writer.take(1.0))
    assert sorted((run.kid, ctr) for run in runs for ctr, _ in run.frames) == sorted(noted)
    assert all(digest == frame_digest(frame(run.kid, ctr)) for run in runs for ctr, digest in run.frames)
    assert writer.take(2.0) == []


def test_a_batch_waits_half_a_second_from_its_first_frame_or_until_it_is_full() -> None:
    writer = BatchWriter()
    assert writer.next_timeout() is None
    writer.add(frame(512, 0))
    assert writer.waits_for_start
    writer.start(10.0)
    writer.start(10.4)
    assert writer.next_timeout() == 10.5
    assert writer.take(10.49) == []
    assert len(runs_of(writer.take(10.5))) == 1
    for ctr in range(256):
        writer.add(frame(512, ctr))
    assert len(runs_of(writer.take(10.5))[0].frames) == 256


ALICE = ("alice", bytes(16))


def test_the_reader_tells_signed_from_forged_and_from_unsigned() -> None:
    reader = BatchReader()
    for ctr in range(5):
        reader.note(ALICE, 512, ctr, frame(512, ctr), 0.0)
    signed = Run(512, ((0, frame_digest(frame(512, 0))), (1, bytes(12)), (3, frame_digest(frame(512, 3)))))
    assert reader.batch(ALICE, [signed]) == [Verdict(ALICE, 2, 2, 2)]
    assert reader.handle_timeout(1.4) == []
    assert reader.next_timeout() == 1.5
    assert reader.handle_timeout(1.5) == [Verdict(ALICE, 2, 0, 1)]
    assert reader.next_timeout() is None


def test_frames_that_did_not_come_are_no_forgery() -> None:
    reader = BatchReader()
    assert reader.batch(ALICE, [Run(512, ((0, bytes(12)),))]) == []


def test_what_waits_is_bounded_and_what_gives_way_counts_as_unsigned() -> None:
    reader = BatchReader()
    for ctr in range(AWAITED_EACH + 7):
        reader.note(ALICE, 512, ctr, frame(512, ctr), 0.0)
    assert reader.handle_timeout(0.0) == [Verdict(ALICE, 2, 0, 7)]
    reader.forget(ALICE)
    assert reader.handle_timeout(0.0) == [Verdict(ALICE, 2, 0, AWAITED_EACH)]


def test_the_roster_hash_does_not_depend_on_order_and_does_on_everything_else() -> None:
    ctx, hello, key = bytes(32), b"hello of alice", bytes(range(32))
    base = BaseKey(3, 1, key)
    leaf = hashlib.sha256(
        hello + b"\0\0\0\3\1" + hashlib.sha256(b"sealcast/1 commit" + key).digest()
    ).digest()
    assert roster_leaf(hello, base) == leaf
    other = roster_leaf(b"hello of bob", None)
    assert other == hashlib.sha256(b"hello of bob" + bytes(5) + bytes(32)).digest()
    expected = hashlib.sha256(b"sealcast/1 roster" + ctx + b"".join(sorted([leaf, other]))).digest()
    assert roster_hash(ctx, [leaf, other]) == roster_hash(ctx, [other, leaf]) == expected
    changed = {
        roster_hash(bytes(31) + b"\1", [leaf, other]),
        roster_hash(ctx, [leaf]),
        roster_hash(ctx, [leaf, roster_leaf(hello, base._replace(epoch=4))]),
        roster_hash(ctx, [leaf, roster_leaf(hello, base._replace(step=2))]),
        roster_hash(ctx, [leaf, roster_leaf(hello, base._replace(key=bytes(32)))]),
    }
    assert len(changed | {expected}) == 6
