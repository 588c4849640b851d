"""The keys of others: epochs only grow, old ones retire, nothing is taken twice or kept for ever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sealcast.client.e2ee.context import BaseKey
from sealcast.client.e2ee.keyring import RETIRE, Freshness, Keyring, Stale
from sealcast.client.e2ee.ratchet import STEP_MAX, advance
from sealcast.client.e2ee.rekey import Name
from sealcast.client.e2ee.suites import AES_128_GCM
from sealcast.client.errors import WrapConflict

SUITE = AES_128_GCM
ANN: Name = ("ann", b"a" * 16)
BEN: Name = ("ben", b"b" * 16)
NEW, KNOWN, OLD = Freshness.NEW, Freshness.KNOWN, Freshness.OLD


def key(epoch: int, step: int = 0, seed: int = 0) -> BaseKey:
    first = BaseKey(epoch, 0, epoch.to_bytes(16, "big") + seed.to_bytes(16, "big"))
    return advance(SUITE, first, step)


def holding(*bases: BaseKey) -> Keyring:
    keyring = Keyring(SUITE)
    for base in bases:
        assert keyring.install(ANN, base) is NEW
    return keyring


def test_a_key_is_found_by_the_low_bits_of_its_epoch_at_its_step_and_later_ones() -> None:
    keyring = holding(key(17, 3))
    for step in range(16):
        expected = key(17, step) if step >= 3 else None
        assert keyring.receiving(ANN, 1, step) == expected
    assert keyring.receiving(ANN, 2, 3) is None
    assert keyring.receiving(BEN, 1, 3) is None
    assert keyring.held(ANN) == key(17, 3)
    assert keyring.held(BEN) is None


def test_an_older_epoch_is_old_whether_its_key_is_still_held_or_not() -> None:
    keyring = holding(key(3), key(5))
    for epoch in (0, 3, 4):
        assert keyring.install(ANN, key(epoch)) is OLD
        assert keyring.install(ANN, key(epoch, seed=1)) is OLD
    assert keyring.held(ANN) == key(5)
    assert keyring.receiving(ANN, 4, 0) is None
    assert keyring.install(BEN, key(3)) is NEW


def test_within_an_epoch_the_same_key_is_known_at_this_step_and_later_ones() -> None:
    keyring = holding(key(3, 2))
    for step in range(2, 16):
        assert keyring.install(ANN, key(3, step)) is KNOWN
    assert keyring.install(ANN, key(3, 1)) is OLD
    assert keyring.held(ANN) == key(3, 2)


@pytest.mark.parametrize("step", range(2, 16))
def test_another_key_for_a_step_that_is_known_is_a_conflict(step: int) -> None:
    keyring = holding(key(3, 2))
    with pytest.raises(WrapConflict):
        keyring.install(ANN, key(3, step, seed=1))
    assert keyring.held(ANN) == key(3, 2)


def test_only_a_good_frame_moves_the_step_and_the_earlier_ones_are_gone() -> None:
    keyring = holding(key(3))
    keyring.receiving(ANN, 3, 9)
    assert keyring.held(ANN) == key(3)
    keyring.opened(ANN, 3, 4, 0.0)
    assert keyring.held(ANN) == key(3, 4)
    assert keyring.receiving(ANN, 3, 3) is None
    assert keyring.take_stale() == [Stale(ANN, 3, 4)]
    keyring.opened(ANN, 3, 4, 0.0)
    assert keyring.take_stale() == []


@pytest.mark.parametrize(("name", "epoch", "step"), [(BEN, 3, 0), (ANN, 4, 0), (ANN, 3, 1), (ANN, 3, 16)])
def test_a_report_about_a_key_that_is_not_held_changes_nothing(name: Name, epoch: int, step: int) -> None:
    keyring = holding(key(3, 2))
    keyring.opened(name, epoch, step, 0.0)
    assert keyring.held(ANN) == key(3, 2)
    assert keyring.next_timeout() is None


def test_an_epoch_opens_for_ten_seconds_after_the_first_good_frame_of_a_later_one() -> None:
    keyring = holding(key(3), key(4))
    assert keyring.next_timeout() is None
    keyring.opened(ANN, 3, 0, 50.0)
    assert keyring.next_timeout() is None
    keyring.opened(ANN, 4, 0, 100.0)
    keyring.opened(ANN, 4, 0, 105.0)
    assert keyring.next_timeout() == 110.0
    keyring.handle_timeout(109.9)
    assert keyring.receiving(ANN, 3, 0) == key(3)
    keyring.handle_timeout(110.0)
    assert keyring.receiving(ANN, 3, 0) is None
    assert keyring.take_stale() == [Stale(ANN, 3, 16)]
    assert (keyring.next_timeout(), len(keyring)) == (None, 1)
    assert keyring.install(ANN, key(3)) is OLD


def test_a_frame_of_a_later_epoch_retires_all_before_it() -> None:
    keyring = holding(key(1), key(2), key(3))
    keyring.opened(ANN, 2, 0, 1.0)
    keyring.opened(ANN, 3, 0, 4.0)
    keyring.handle_timeout(11.0)
    assert [keyring.receiving(ANN, epoch, 0) is not None for epoch in (1, 2, 3)] == [False, True, True]
    keyring.handle_timeout(14.0)
    assert [keyring.receiving(ANN, epoch, 0) is not None for epoch in (1, 2, 3)] == [False, False, True]


def test_an_epoch_with_the_same_low_bits_takes_the_place_at_once() -> None:
    keyring = holding(key(3), key(4))
    keyring.opened(ANN, 4, 0, 0.0)
    assert keyring.install(ANN, key(19)) is NEW
    assert keyring.take_stale() == [Stale(ANN, 3, 16)]
    assert keyring.receiving(ANN, 3, 0) == key(19)
    # The retirement of epoch 3 went with it and does not touch the new one.
    keyring.handle_timeout(1000.0)
    assert keyring.receiving(ANN, 3, 0) == key(19)
    assert len(keyring) == 2


def test_forty_epochs_in_a_row_all_open_and_sixteen_are_held_at_most() -> None:
    keyring = Keyring(SUITE)
    for epoch in range(40):
        assert keyring.install(ANN, key(epoch)) is NEW
        assert keyring.receiving(ANN, epoch & 15, 0) == key(epoch)
        keyring.opened(ANN, epoch & 15, 0, epoch * 0.1)
        assert len(keyring) <= 16


def test_keys_of_a_sender_that_left_are_kept_for_ten_seconds_and_its_past_for_longer() -> None:
    keyring = holding(key(3))
    keyring.leave(ANN, 0.0)
    keyring.leave(ANN, 5.0)
    keyring.leave(BEN, 0.0)
    assert keyring.next_timeout() == RETIRE
    keyring.handle_timeout(RETIRE)
    assert len(keyring) == 0
    assert keyring.held(ANN) is None
    keyring.back(ANN)
    assert keyring.install(ANN, key(2)) is OLD
    # The same epoch again can only be a key that it had; it did not rejoin, or it would have a new one.
    assert keyring.install(ANN, key(3)) is NEW
    assert keyring.receiving(ANN, 3, 0) == key(3)


def test_a_sender_that_comes_back_in_time_has_lost_nothing_but_what_was_to_go_anyway() -> None:
    keyring = holding(key(3), key(4), key(5))
    keyring.opened(ANN, 4, 0, 0.0)
    keyring.leave(ANN, 1.0)
    keyring.back(ANN)
    keyring.back(BEN)
    assert keyring.next_timeout() == 10.0
    keyring.handle_timeout(100.0)
    assert [keyring.receiving(ANN, epoch, 0) is not None for epoch in (3, 4, 5)] == [False, True, True]


def test_the_past_of_sessions_that_left_is_bounded_and_the_oldest_goes_first() -> None:
    keyring = Keyring(SUITE, departed_max=3)
    names: list[Name] = [(f"user {number}", bytes([number]) * 16) for number in range(5)]
    for each in names:
        keyring.install(each, key(7))
        keyring.leave(each, 0.0)
    assert [keyring.freshness(each, 6, 0) for each in names] == [NEW, NEW, OLD, OLD, OLD]
    assert keyring.take_stale() == [Stale(each, 7, 16) for each in names[:2]]
    assert repr(keyring) == "Keyring(senders=3, chains=3)"
    keyring.handle_timeout(1000.0)
    assert keyring.next_timeout() is None


class Model(RuleBasedStateMachine):
    """A keyring against the plainest account of what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.keyring = Keyring(SUITE)
        self.now = 0.0
        self.newest = -1
        self.held: dict[int, BaseKey] = {}
        self.due: dict[int, float] = {}
        self.seen = -1

    @rule(ahead=st.integers(-3, 18), step=st.integers(0, 3))
    def a_wrap_arrives(self, ahead: int, step: int) -> None:
        epoch = max(0, self.newest + ahead)
        found = self.keyring.install(ANN, key(epoch, step))
        if epoch > self.newest:
            assert found is NEW
            for older in [e for e in self.held if e % 16 == epoch % 16]:
                del self.held[older]
                self.due.pop(older, None)
            self.held[epoch] = key(epoch, step)
            self.newest = epoch
        elif epoch < self.newest or step < self.held[epoch].step:
            assert found is OLD
        else:
            assert found is KNOWN

    @rule(bits=st.integers(0, 15), more=st.integers(0, 2))
    def a_frame_is_good(self, bits: int, more: int) -> None:
        epoch = next((e for e in self.held if e % 16 == bits), None)
        step = min(STEP_MAX, self.held[epoch].step + more) if epoch is not None else more
        self.keyring.opened(ANN, bits, step, self.now)
        if epoch is None:
            return
        self.held[epoch] = key(epoch, step)
        if epoch > self.seen:
            self.seen = epoch
            for older in self.held:
                if older < epoch:
                    self.due.setdefault(older, self.now + RETIRE)

    @rule(seconds=st.sampled_from([0.1, 3.0, 9.9, 10.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.keyring.handle_timeout(self.now)
        for epoch in [e for e, due in self.due.items() if due <= self.now]:
            del self.held[epoch], self.due[epoch]

    @invariant()
    def it_holds_what_it_should(self) -> None:
        assert len(self.keyring) == len(self.held)
        for bits in range(16):
            expected = next((base for e, base in self.held.items() if e % 16 == bits), None)
            step = expected.step if expected is not None else 0
            assert self.keyring.receiving(ANN, bits, step) == expected
        assert self.keyring.next_timeout() == min(self.due.values(), default=None)


TestModel: Any = Model.TestCase
TestModel.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
