"""Keys that nobody looks for: every window is tried, by exactly one worker, and the right one is found."""

from __future__ import annotations

import secrets
import sys

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from sealcast.cli.blind.failures import GuessFailed
from sealcast.cli.blind.guess import guess, target
from sealcast.cli.blind.needles import Text
from sealcast.cli.blind.unlock import Lock
from sealcast.cli.blind.windows import ZEROS, Mode, Share, Target, opens, try_windows, windows

SAID = b"what was said, and then some more"


def lock(size: int, mode: Mode = "gcm", first: int = 1) -> Lock:
    key = bytes(range(first, size + first))
    nonce, aad = secrets.token_bytes(12), secrets.token_bytes(27)
    aead = AESGCM(key) if mode == "gcm" else AESCCM(key)
    return Lock(f"frame {first}", mode, nonce, aad, aead.encrypt(nonce, SAID, aad), SAID, key)


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
@pytest.mark.parametrize("mode", ["gcm", "ccm"])
def test_the_key_is_found_among_noise_wherever_the_stride_meets_it(size: int, mode: Mode) -> None:
    sealed = lock(size, mode)
    for at, stride in ((40, 8), (41, 1), (0, 16), (4096 - 8, 8)):
        texts = [noise(5000), noise(at) + sealed.key + noise(300)]
        tried = try_windows(texts, size, [target(sealed)], Share(stride=stride), ignore)
        assert tried.found == [(1, at, 0)]
        assert tried.complete


@given(order=st.permutations(range(1, 120)))
@settings(max_examples=20)
def test_of_many_frames_each_is_found_by_its_own_key_alone(order: list[int]) -> None:
    locks = [lock(16, "ccm" if first % 3 else "gcm", first) for first in order]
    texts = [each.key for each in locks]
    tried = try_windows(texts, 16, [target(each) for each in locks], Share(), ignore)
    assert sorted(tried.found) == [(index, 0, index) for index in range(len(locks))]


def test_a_key_between_two_strides_is_not_met() -> None:
    sealed = lock(16)
    tried = try_windows([noise(44) + sealed.key], 16, [target(sealed)], Share(stride=8), ignore)
    assert tried.found == []


def test_a_key_that_fits_the_first_block_alone_is_no_find() -> None:
    sealed = lock(16)
    changed = target(sealed)._replace(aad=b"another")
    assert not opens(sealed.key, changed)
    assert try_windows([sealed.key], 16, [changed], Share(), ignore).found == []


def test_a_frame_whose_first_block_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="first block"):
        try_windows([noise(100)], 16, [Target("gcm", b"n" * 12, b"", b"body", b"bod")], Share(), ignore)


def test_the_same_window_is_tried_once() -> None:
    tried = try_windows([noise(16) * 1000], 16, [target(lock(16))], Share(stride=16), ignore)
    assert tried.candidates == 1


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_every_window_belongs_to_exactly_one_worker(workers: int) -> None:
    data, targets = noise(4000), [target(lock(16))]
    alone = try_windows([data], 16, targets, Share(stride=1), ignore)
    shares = [try_windows([data], 16, targets, Share(index, workers, 1), ignore) for index in range(workers)]
    assert sum(share.candidates for share in shares) == alone.candidates == len(data) - 15


def test_it_stops_at_the_most_and_says_that_it_is_not_done() -> None:
    tried = try_windows([noise(4000)], 16, [target(lock(16))], Share(stride=1, most=100), ignore)
    assert tried.candidates == 100
    assert not tried.complete


def test_a_target_has_no_key_and_its_repr_nothing_at_all() -> None:
    sealed = lock(32)
    assert sealed.key not in list(target(sealed))
    assert repr(target(sealed)) == f"Target(gcm, {len(sealed.body)} bytes)"
    assert repr(sealed.key) not in repr(sealed)


@pytest.mark.parametrize("size", [16, 32])
async def test_workers_in_processes_find_the_address_its_mapping_and_which_frame(size: int) -> None:
    locks = [lock(size, "gcm", 1), lock(size, "ccm", 2), lock(size, "gcm", 3)]
    texts = [
        Text("[heap]", noise(50_000), 0x1000),
        Text("[stack]", noise(800) + locks[1].key, 0x7FFF0000),
    ]
    told: list[float] = []
    result = await guess(texts, size, locks, stride=8, most=1_000_000, progress=told.append)
    assert [(hit.what, hit.place, hit.address, hit.form) for hit in result.found] == [
        ("the key of frame 2", "[stack]", 0x7FFF0000 + 800, "raw")
    ]
    assert result.complete
    assert result.candidates > 5000
    assert (result.size, result.frames) == (sum(len(text.data) for text in texts), 3)


async def test_workers_that_reach_the_most_say_so() -> None:
    texts = [Text("[heap]", noise(50_000))]
    result = await guess(texts, 16, [lock(16)], stride=8, most=100, progress=ignore)
    assert not result.complete


async def test_a_worker_that_dies_is_a_failure_and_no_clean_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(GuessFailed):
        await guess([Text("[heap]", noise(100))], 16, [lock(16)], stride=8, most=10, progress=ignore)
