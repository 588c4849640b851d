"""Keys that nobody looks for: every window is tried, by exactly one worker, and the right one is found."""

from __future__ import annotations

import secrets
import sys

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from sealcast.cli.blind.capture import Lock
from sealcast.cli.blind.failures import GuessFailed
from sealcast.cli.blind.guess import guess, puzzle
from sealcast.cli.blind.needles import Text
from sealcast.cli.blind.windows import ZEROS, Share, opens, try_windows, windows


def lock(size: int, opened: bytes = b"what was said, and then some more") -> Lock:
    key = bytes(range(1, size + 1))
    nonce, aad = secrets.token_bytes(12), secrets.token_bytes(27)
    return Lock("a frame", nonce, aad, AESGCM(key).encrypt(nonce, opened, aad), opened, size, key)


def noise(size: int) -> bytes:
    return secrets.token_bytes(size)


def ignore(_: float) -> None:
    pass


@pytest.mark.parametrize("size", [16, 32])
@given(
    parts=st.lists(st.one_of(st.binary(max_size=50), st.integers(0, 9000).map(bytes)), max_size=6),
    stride=st.sampled_from([1, 2, 4, 8, 16]),
)
def test_windows_are_all_runs_at_multiples_of_the_stride_with_few_zeros(
    size: int, parts: list[bytes], stride: int
) -> None:
    data = b"".join(parts)
    plain = [(at, data[at : at + size]) for at in range(0, len(data) - size + 1, stride)]
    assert list(windows(data, size, stride)) == [one for one in plain if one[1].count(0) < ZEROS]


def test_a_window_with_four_zero_bytes_is_none_and_with_three_is_one() -> None:
    assert list(windows(bytes(4) + b"k" * 12, 16, 8)) == []
    assert list(windows(bytes(3) + b"k" * 13, 16, 8)) == [(0, bytes(3) + b"k" * 13)]


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("opened", [b"what was said, and then some more", b"short", b""])
def test_the_key_is_found_among_noise_wherever_the_stride_meets_it(size: int, opened: bytes) -> None:
    sealed = lock(size, opened)
    for at, stride in ((40, 8), (41, 1), (0, 16), (4096 - 8, 8)):
        texts = [noise(5000), noise(at) + sealed.key + noise(300)]
        tried = try_windows(texts, puzzle(sealed), Share(stride=stride), ignore)
        assert tried.found == [(1, at)]
        assert tried.complete


def test_a_key_between_two_strides_is_not_met() -> None:
    sealed = lock(16)
    assert try_windows([noise(44) + sealed.key], puzzle(sealed), Share(stride=8), ignore).found == []


def test_a_key_that_fits_the_first_block_alone_is_no_find() -> None:
    sealed = lock(16)
    changed = puzzle(sealed)._replace(aad=b"another")
    assert not opens(sealed.key, changed)
    assert try_windows([sealed.key], changed, Share(), ignore).found == []


def test_the_same_window_is_tried_once() -> None:
    tried = try_windows([noise(16) * 1000], puzzle(lock(16)), Share(stride=16), ignore)
    assert tried.candidates == 1


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_every_window_belongs_to_exactly_one_worker(workers: int) -> None:
    data, sealed = noise(4000), lock(16)
    alone = try_windows([data], puzzle(sealed), Share(stride=1), ignore)
    shares = [
        try_windows([data], puzzle(sealed), Share(index, workers, 1), ignore) for index in range(workers)
    ]
    assert sum(share.candidates for share in shares) == alone.candidates == len(data) - 15


def test_it_stops_at_the_most_and_says_that_it_is_not_done() -> None:
    tried = try_windows([noise(4000)], puzzle(lock(16)), Share(stride=1, most=100), ignore)
    assert tried.candidates == 100
    assert not tried.complete


def test_a_puzzle_has_no_key_and_its_repr_nothing_at_all() -> None:
    sealed = lock(32)
    assert sealed.key not in list(puzzle(sealed))
    assert repr(puzzle(sealed)) == f"Puzzle(32-byte key, {len(sealed.body)} bytes)"
    assert repr(sealed.key) not in repr(sealed)


@pytest.mark.parametrize("size", [16, 32])
async def test_workers_in_processes_find_the_address_and_its_mapping(size: int) -> None:
    sealed = lock(size)
    texts = [Text("[heap]", noise(50_000), 0x1000), Text("[stack]", noise(800) + sealed.key, 0x7FFF0000)]
    told: list[float] = []
    result = await guess(texts, sealed, stride=8, most=1_000_000, progress=told.append)
    assert [(hit.place, hit.address, hit.form) for hit in result.found] == [
        ("[stack]", 0x7FFF0000 + 800, "raw")
    ]
    assert result.complete
    assert result.candidates > 5000
    assert result.size == sum(len(text.data) for text in texts)


async def test_workers_that_reach_the_most_say_so() -> None:
    texts = [Text("[heap]", noise(50_000))]
    result = await guess(texts, lock(16), stride=8, most=100, progress=ignore)
    assert not result.complete


async def test_a_worker_that_dies_is_a_failure_and_no_clean_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(GuessFailed):
        await guess([Text("[heap]", noise(100))], lock(16), stride=8, most=10, progress=ignore)
