"""The ratchet goes forward, a bounded way, and only when told to."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sealcast.client.e2ee import ratchet as module
from sealcast.client.e2ee.context import BaseKey
from sealcast.client.e2ee.ratchet import STEP_MAX, ReceiveChain, advance, ratchet
from sealcast.client.e2ee.suites import AES_128_GCM, AES_256_GCM, Suite
from sealcast.client.errors import CopyRefused

STEPS = st.integers(0, STEP_MAX)


@pytest.mark.parametrize("suite", [AES_128_GCM, AES_256_GCM])
@given(first=STEPS, middle=STEPS, last=STEPS)
def test_two_ways_to_a_step_give_one_key(suite: Suite, first: int, middle: int, last: int) -> None:
    first, middle, last = sorted((first, middle, last))
    base = BaseKey(1, first, bytes(suite.hash_size))
    through = advance(suite, advance(suite, base, middle), last)
    assert through == advance(suite, base, last)
    assert (through.epoch, through.step, len(through.key)) == (1, last, suite.hash_size)


def test_every_step_has_another_key() -> None:
    base = BaseKey(0, 0, bytes(32))
    assert len({advance(AES_128_GCM, base, step).key for step in range(STEP_MAX + 1)}) == STEP_MAX + 1


@pytest.mark.parametrize("step", [-1, 3, STEP_MAX + 1, 1000])
def test_it_goes_neither_back_nor_beyond_the_last_step(step: int) -> None:
    base = BaseKey(0, 4, bytes(32))
    with pytest.raises(ValueError, match="forward"):
        advance(AES_128_GCM, base, step)
    chain = ReceiveChain(AES_128_GCM, base)
    assert chain.at(step) is None
    with pytest.raises(ValueError, match="forward"):
        chain.commit(step)
    assert chain.base == base


@given(asked=st.lists(STEPS, max_size=20), committed=STEPS)
def test_asking_moves_nothing_and_committing_forgets_what_was_before(
    asked: list[int], committed: int
) -> None:
    base = BaseKey(7, 0, bytes(32))
    chain = ReceiveChain(AES_128_GCM, base)
    for step in asked:
        chain.at(step)
    assert chain.base == base
    assert chain.commit(committed) is (committed > 0)
    assert chain.base == advance(AES_128_GCM, base, committed)
    for step in range(STEP_MAX + 1):
        assert (chain.at(step) is None) is (step < committed)


def test_a_frame_can_ask_for_fifteen_ratchets_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    def counted(suite: Suite, key: bytes) -> bytes:
        nonlocal count
        count += 1
        return ratchet(suite, key)

    monkeypatch.setattr(module, "ratchet", counted)
    chain = ReceiveChain(AES_128_GCM, BaseKey(0, 0, bytes(32)))
    for step in range(256):
        count = 0
        chain.at(step)
        assert count <= STEP_MAX


def test_a_chain_shows_no_key_and_is_not_copied() -> None:
    chain = ReceiveChain(AES_128_GCM, BaseKey(3, 2, b"k" * 32))
    assert repr(chain) == "ReceiveChain(epoch=3, step=2)"
    with pytest.raises(CopyRefused):
        copy.deepcopy(chain)
