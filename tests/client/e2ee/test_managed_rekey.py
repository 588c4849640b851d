"""When a sender changes its key: the table, the times, and a model that tries everything."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sealcast.client.e2ee.context import BaseKey
from sealcast.client.e2ee.ratchet import STEP_MAX, advance
from sealcast.client.e2ee.rekey import (
    GATHER,
    MAX_AGE,
    SWITCH,
    TRANSITIONS,
    Action,
    Cause,
    Delivery,
    Name,
    Rekeying,
    Stage,
)
from sealcast.client.e2ee.suites import AES_128_GCM

DOCUMENT = Path(__file__).parents[3] / "docs" / "managed-keys.md"
SUITE = AES_128_GCM


def name(number: int) -> Name:
    return (f"user {number}", bytes([number]) * 16)


ANN, BEN, CYD, DAN = map(name, range(1, 5))


def counted() -> Any:
    """Keys that differ, and are the same in every run."""
    numbers = itertools.count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


def sender(*names: Name, used: bool = True) -> Rekeying:
    made = Rekeying(SUITE, entropy=counted())
    made.start(names, 0.0)
    made.take_deliveries()
    if used:
        use(made)
    return made


def use(rekeying: Rekeying) -> None:
    rekeying.mark_used(rekeying.current.epoch, rekeying.current.step)


def place(base: BaseKey | None) -> tuple[int, int] | None:
    return None if base is None else (base.epoch, base.step)


def given_to(deliveries: list[Delivery]) -> list[tuple[Name, int, int]]:
    return [(delivery.name, delivery.base.epoch, delivery.base.step) for delivery in deliveries]


# The table


def test_the_documented_times_are_the_codes() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert (GATHER, SWITCH, MAX_AGE) == (0.25, 1.0, 600.0)
    for time in ("250 ms", "1 s", "10 min", "1.25 s"):
        assert time in text


def test_every_cause_is_listed_wherever_it_can_come() -> None:
    anywhere = {Cause.LEFT, Cause.SPENT, Cause.REJOINED}
    gathering, pending = {Stage.GATHERING, Stage.OVERLAPPING}, {Stage.SWITCHING, Stage.OVERLAPPING}
    assert set(TRANSITIONS) == {
        *itertools.product(Stage, anywhere),
        *itertools.product(gathering, {Cause.GATHERED}),
        *itertools.product(pending, {Cause.SETTLED}),
        (Stage.STEADY, Cause.AGED),
    }


def test_the_table_makes_and_uses_up_pending_keys_as_its_stages_say() -> None:
    pending = {Stage.SWITCHING, Stage.OVERLAPPING}
    for (stage, _), (target, actions) in TRANSITIONS.items():
        has = stage in pending
        for action in actions:
            if action is Action.RENEW:
                has = True
            if action is Action.SWITCH:
                assert has
                has = False
        assert has is (target in pending)


# Joins


def test_the_first_key_goes_to_all_who_are_there_and_is_not_changed_for_it() -> None:
    rekeying = Rekeying(SUITE, entropy=counted())
    assert rekeying.next_timeout() is None
    rekeying.start([BEN, ANN], 0.0)
    assert given_to(rekeying.take_deliveries()) == [(ANN, 0, 0), (BEN, 0, 0)]
    assert rekeying.take_deliveries() == []
    assert rekeying.receivers == {ANN, BEN}


def test_a_join_ratchets_a_key_that_was_used_and_tells_only_the_newcomer() -> None:
    rekeying = sender(ANN)
    before = rekeying.current
    rekeying.join(BEN, 1.0)
    assert rekeying.current == advance(SUITE, before, 1)
    assert rekeying.take_deliveries() == [Delivery(BEN, rekeying.current)]


def test_a_key_that_was_never_used_goes_out_as_it_is_however_many_join() -> None:
    """The rule of eight ratchets without a frame in between: there is never even a second one."""
    rekeying = sender()
    use(rekeying)
    for number in range(1, 50):
        rekeying.join(name(number), 1.0)
        assert place(rekeying.current) == (0, 1)
    assert {delivery.base for delivery in rekeying.take_deliveries()} == {rekeying.current}


def test_somebody_who_has_the_key_already_gets_it_again_as_it_is() -> None:
    rekeying = sender(ANN)
    rekeying.join(ANN, 1.0)
    assert given_to(rekeying.take_deliveries()) == [(ANN, 0, 0)]
    rekeying.mark_used(0, 0)
    rekeying.join(BEN, 1.0)
    assert place(rekeying.current) == (0, 1)


def test_only_the_use_of_the_present_key_counts() -> None:
    rekeying = sender(ANN, used=False)
    rekeying.mark_used(1, 0)
    rekeying.mark_used(0, 1)
    rekeying.join(BEN, 1.0)
    assert place(rekeying.current) == (0, 0)


def test_after_step_fifteen_a_join_makes_a_new_key_that_is_used_at_once() -> None:
    rekeying = sender(ANN)
    for number in range(10, 10 + STEP_MAX):
        rekeying.join(name(number), 1.0)
        use(rekeying)
    assert place(rekeying.current) == (0, STEP_MAX)
    rekeying.take_deliveries()
    rekeying.join(BEN, 2.0)
    assert (place(rekeying.current), rekeying.pending, rekeying.stage) == ((1, 0), None, Stage.STEADY)
    deliveries = given_to(rekeying.take_deliveries())
    assert len(deliveries) == len(rekeying.receivers)
    assert {(epoch, step) for _, epoch, step in deliveries} == {(1, 0)}
    # Once more, with the new epoch: nobody is told twice.
    rekeying.join(CYD, 2.0)
    assert given_to(rekeying.take_deliveries()) == [(CYD, 1, 0)]


def spent(*names: Name) -> Rekeying:
    """A sender at the last step of its first epoch, with fifteen receivers besides these."""
    rekeying = sender(*names)
    for number in range(100, 100 + STEP_MAX):
        rekeying.join(name(number), 0.0)
        use(rekeying)
    rekeying.take_deliveries()
    assert place(rekeying.current) == (0, STEP_MAX)
    return rekeying


def test_a_spent_key_while_another_is_pending_gives_way_to_it() -> None:
    rekeying = spent(ANN, BEN)
    rekeying.leave(BEN, 1.0)
    rekeying.handle_timeout(1.25)
    rekeying.take_deliveries()
    rekeying.join(CYD, 1.3)
    assert (place(rekeying.current), rekeying.stage) == ((1, 0), Stage.STEADY)
    assert given_to(rekeying.take_deliveries()) == [(CYD, 1, 0)]


def test_a_spent_key_while_leaves_are_gathered_answers_them_too() -> None:
    rekeying = spent(ANN, BEN)
    rekeying.leave(BEN, 1.0)
    rekeying.join(CYD, 1.1)
    assert (place(rekeying.current), rekeying.stage) == ((1, 0), Stage.STEADY)
    deliveries = given_to(rekeying.take_deliveries())
    assert {(epoch, step) for _, epoch, step in deliveries} == {(1, 0)}
    assert sorted(who for who, _, _ in deliveries) == sorted(rekeying.receivers)
    assert BEN not in rekeying.receivers
    assert rekeying.next_timeout() == 1.1 + MAX_AGE


def test_a_spent_key_while_both_are_under_way_leaves_the_gathering_to_its_time() -> None:
    rekeying = spent(ANN, BEN)
    rekeying.leave(BEN, 1.0)
    rekeying.handle_timeout(1.25)
    rekeying.leave(ANN, 1.3)
    rekeying.take_deliveries()
    rekeying.join(CYD, 1.4)
    assert (place(rekeying.current), rekeying.stage) == ((1, 0), Stage.GATHERING)
    assert given_to(rekeying.take_deliveries()) == [(CYD, 1, 0)]
    assert rekeying.next_timeout() == 1.55


# Leaves


def test_leaves_are_gathered_and_answered_by_one_key_for_those_who_remain() -> None:
    rekeying = sender(ANN, BEN, CYD)
    rekeying.leave(ANN, 1.0)
    rekeying.leave(BEN, 1.2)
    assert (rekeying.next_timeout(), rekeying.take_deliveries()) == (1.25, [])
    rekeying.handle_timeout(1.2499)
    assert rekeying.pending is None
    rekeying.handle_timeout(1.25)
    assert given_to(rekeying.take_deliveries()) == [(CYD, 1, 0)]
    assert (place(rekeying.current), place(rekeying.pending)) == ((0, 0), (1, 0))
    assert rekeying.next_timeout() == 2.25


def test_the_new_key_is_used_when_all_have_acknowledged_it() -> None:
    rekeying = sender(ANN, BEN, CYD)
    rekeying.leave(ANN, 0.0)
    rekeying.handle_timeout(0.25)
    pending = rekeying.pending
    rekeying.ack(BEN, 1, 0.3)
    for stranger, epoch in ((ANN, 1), (DAN, 1), (CYD, 0), (CYD, 2)):
        rekeying.ack(stranger, epoch, 0.3)
    assert place(rekeying.current) == (0, 0)
    rekeying.ack(CYD, 1, 0.3)
    assert (rekeying.current, rekeying.pending, rekeying.stage) == (pending, None, Stage.STEADY)


def test_lost_acks_cost_one_second() -> None:
    rekeying = sender(ANN, BEN)
    rekeying.leave(ANN, 0.0)
    rekeying.handle_timeout(0.25)
    rekeying.handle_timeout(1.2499)
    assert place(rekeying.current) == (0, 0)
    rekeying.handle_timeout(1.25)
    assert place(rekeying.current) == (1, 0)


def test_nobody_waits_for_a_member_that_vanished_before_its_ack() -> None:
    rekeying = sender(ANN, BEN, CYD)
    rekeying.leave(ANN, 0.0)
    rekeying.handle_timeout(0.25)
    rekeying.ack(BEN, 1, 0.3)
    rekeying.leave(CYD, 0.4)
    assert (place(rekeying.current), rekeying.stage) == ((1, 0), Stage.GATHERING)
    rekeying.handle_timeout(0.65)
    assert given_to(rekeying.take_deliveries())[-1] == (BEN, 2, 0)


def test_alone_there_is_nobody_to_wait_for() -> None:
    rekeying = sender(ANN)
    rekeying.leave(ANN, 0.0)
    rekeying.handle_timeout(0.25)
    assert (place(rekeying.current), rekeying.stage, rekeying.take_deliveries()) == ((1, 0), Stage.STEADY, [])


def test_who_never_had_the_key_leaves_without_a_trace() -> None:
    rekeying = sender(ANN)
    rekeying.leave(BEN, 1.0)
    assert rekeying.stage is Stage.STEADY


def test_a_join_and_a_leave_within_one_window_ends_with_a_key_that_the_guest_lacks() -> None:
    rekeying = sender(ANN)
    rekeying.join(BEN, 1.0)
    use(rekeying)
    rekeying.leave(BEN, 1.1)
    rekeying.join(CYD, 1.2)
    rekeying.leave(CYD, 1.3)
    assert rekeying.next_timeout() == 1.35
    rekeying.take_deliveries()
    rekeying.handle_timeout(1.35)
    assert given_to(rekeying.take_deliveries()) == [(ANN, 1, 0)]


def test_who_leaves_and_comes_back_within_the_window_reads_nothing_from_between() -> None:
    rekeying = sender(ANN, BEN)
    rekeying.leave(BEN, 1.0)
    rekeying.join(BEN, 1.1)
    assert given_to(rekeying.take_deliveries()) == [(BEN, 0, 1)]
    rekeying.handle_timeout(1.25)
    assert given_to(rekeying.take_deliveries()) == [(ANN, 1, 0), (BEN, 1, 0)]


def test_who_joins_while_a_key_is_pending_gets_the_ratcheted_present_one_and_then_that() -> None:
    rekeying = sender(ANN, BEN)
    rekeying.leave(BEN, 1.0)
    rekeying.handle_timeout(1.25)
    rekeying.take_deliveries()
    rekeying.join(CYD, 1.3)
    assert given_to(rekeying.take_deliveries()) == [(CYD, 0, 1), (CYD, 1, 0)]
    rekeying.ack(ANN, 1, 1.4)
    assert place(rekeying.current) == (0, 1)
    rekeying.ack(CYD, 1, 1.4)
    assert place(rekeying.current) == (1, 0)


def test_a_leave_while_a_key_is_pending_neither_waits_for_it_nor_delays_it() -> None:
    rekeying = sender(ANN, BEN, CYD)
    rekeying.leave(ANN, 0.0)
    rekeying.handle_timeout(0.25)
    rekeying.leave(BEN, 0.9)
    assert (rekeying.stage, rekeying.next_timeout()) == (Stage.OVERLAPPING, 1.15)
    rekeying.take_deliveries()
    rekeying.handle_timeout(1.15)
    assert (place(rekeying.current), place(rekeying.pending)) == ((1, 0), (2, 0))
    assert given_to(rekeying.take_deliveries()) == [(CYD, 2, 0)]
    assert rekeying.next_timeout() == 2.15


def test_endless_leaves_delay_no_key() -> None:
    """One leaves every 100 ms; nobody's key is in use longer than 1.25 s after they left."""
    names = [name(number) for number in range(100)]
    rekeying = sender(*names)
    had: dict[Name, int] = {}
    now, gone_at = 0.0, {}
    for delivery in [Delivery(each, rekeying.current) for each in names]:
        had[delivery.name] = delivery.base.epoch
    for leaver in names:
        rekeying.leave(leaver, now)
        gone_at[leaver] = now
        for _ in range(10):
            now += 0.01
            rekeying.handle_timeout(now)
            for delivery in rekeying.take_deliveries():
                had[delivery.name] = delivery.base.epoch
            use(rekeying)
            for gone, at in gone_at.items():
                if now >= at + GATHER + SWITCH:
                    assert rekeying.current.epoch > had[gone]
    assert rekeying.current.epoch > 10


# Time and coming back


def test_a_key_that_was_used_is_replaced_after_ten_minutes_and_an_unused_one_is_not() -> None:
    rekeying = sender(ANN, used=False)
    assert rekeying.next_timeout() == MAX_AGE
    rekeying.handle_timeout(MAX_AGE)
    assert (rekeying.stage, rekeying.next_timeout()) == (Stage.STEADY, 2 * MAX_AGE)
    use(rekeying)
    rekeying.handle_timeout(2 * MAX_AGE - 0.001)
    assert rekeying.pending is None
    rekeying.handle_timeout(2 * MAX_AGE)
    assert given_to(rekeying.take_deliveries()) == [(ANN, 1, 0)]
    rekeying.ack(ANN, 1, 2 * MAX_AGE + 0.1)
    assert rekeying.next_timeout() == 3 * MAX_AGE + 0.1


def test_after_a_long_sleep_all_that_was_due_is_done_in_one_call() -> None:
    rekeying = sender(ANN, BEN, CYD)
    rekeying.leave(ANN, 0.0)
    rekeying.handle_timeout(0.25)
    rekeying.leave(BEN, 0.3)
    rekeying.handle_timeout(10_000.0)
    assert (place(rekeying.current), rekeying.pending) == ((2, 0), None)
    assert rekeying.next_timeout() == 10_000.0 + MAX_AGE


@pytest.mark.parametrize("stage", Stage)
def test_joining_again_makes_a_new_key_at_once_from_every_stage(stage: Stage) -> None:
    rekeying = sender(ANN, BEN, CYD)
    if stage is not Stage.STEADY:
        rekeying.leave(ANN, 0.0)
    if stage in (Stage.SWITCHING, Stage.OVERLAPPING):
        rekeying.handle_timeout(0.25)
    if stage is Stage.OVERLAPPING:
        rekeying.leave(BEN, 0.3)
    assert rekeying.stage is stage
    newest = (rekeying.pending or rekeying.current).epoch
    rekeying.start([CYD, DAN], 0.4)
    assert (place(rekeying.current), rekeying.pending) == ((newest + 1, 0), None)
    assert given_to(rekeying.take_deliveries()) == [(CYD, newest + 1, 0), (DAN, newest + 1, 0)]
    assert rekeying.stage is Stage.STEADY
    assert rekeying.receivers == {CYD, DAN}
    assert rekeying.next_timeout() == 0.4 + MAX_AGE


def test_what_was_sealed_before_the_first_join_is_not_shown_to_who_is_there() -> None:
    rekeying = Rekeying(SUITE, entropy=counted())
    rekeying.mark_used(0, 0)
    rekeying.start([ANN], 0.0)
    assert given_to(rekeying.take_deliveries()) == [(ANN, 1, 0)]


def test_nothing_shows_a_key() -> None:
    rekeying = sender(ANN)
    rekeying.leave(ANN, 0.0)
    assert repr(rekeying) == "Rekeying(gathering, epoch=0, step=0, receivers=0, awaited=0)"


# Everything at once

NAMES = st.integers(1, 6).map(name)


class Model(RuleBasedStateMachine):
    """A sender on a fake clock. What each receiver was given is remembered for ever and used against it."""

    def __init__(self) -> None:
        super().__init__()
        self.rekeying = Rekeying(SUITE, entropy=counted())
        self.now = 0.0
        self.given: dict[Name, list[BaseKey]] = {}
        self.out_since: dict[Name, float] = {}
        """Since when somebody who once had a key has been away."""
        self.sealed: list[tuple[BaseKey, frozenset[Name]]] = []
        """What was sealed, and to whom it must stay closed: who had not joined by then."""
        self.last = (-1, -1)

    def can_open(self, who: Name, base: BaseKey) -> bool:
        return any(
            had.epoch == base.epoch and had.step <= base.step and advance(SUITE, had, base.step) == base
            for had in self.given.get(who, ())
        )

    def settle(self) -> None:
        for delivery in self.rekeying.take_deliveries():
            self.given.setdefault(delivery.name, []).append(delivery.base)

    @initialize(names=st.sets(NAMES, max_size=4))
    def first_join(self, names: set[Name]) -> None:
        self.rekeying.start(names, self.now)
        self.settle()

    @rule(who=NAMES)
    def somebody_joins(self, who: Name) -> None:
        self.rekeying.join(who, self.now)
        self.out_since.pop(who, None)
        self.settle()

    @rule(who=NAMES)
    def somebody_leaves(self, who: Name) -> None:
        if who in self.rekeying.receivers:
            self.out_since[who] = self.now
        self.rekeying.leave(who, self.now)
        self.settle()

    @rule(names=st.sets(NAMES, max_size=4))
    def this_side_joins_again(self, names: set[Name]) -> None:
        for gone in self.rekeying.receivers - names:
            # It was away: nothing may be sealed any more that they could open.
            self.out_since[gone] = self.now - GATHER - SWITCH
        for there in names:
            self.out_since.pop(there, None)
        self.rekeying.start(names, self.now)
        self.settle()

    @rule(who=NAMES, later=st.integers(-1, 1))
    def somebody_acknowledges(self, who: Name, later: int) -> None:
        newest = self.rekeying.pending or self.rekeying.current
        self.rekeying.ack(who, newest.epoch + later, self.now)
        self.settle()

    @rule()
    def something_is_sealed(self) -> None:
        use(self.rekeying)
        current = self.rekeying.current
        known = self.rekeying.receivers | self.out_since.keys()
        self.sealed.append((current, frozenset(map(name, range(1, 7))) - known))
        for who, since in self.out_since.items():
            if self.now >= since + GATHER + SWITCH:
                assert not self.can_open(who, current)

    @rule(seconds=st.sampled_from([0.01, 0.1, 0.25, 0.5, 1.0, 1.25, 5.0, 300.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.rekeying.next_timeout()) is not None and due <= until:
            assert due >= self.now
            self.now = due
            self.rekeying.handle_timeout(due)
            self.settle()
        self.now = until
        self.rekeying.handle_timeout(until)
        assert self.rekeying.take_deliveries() == []

    @invariant()
    def every_receiver_can_open_what_is_sealed_now_and_next(self) -> None:
        for who in self.rekeying.receivers:
            assert self.can_open(who, self.rekeying.current)
            if self.rekeying.pending is not None:
                assert self.can_open(who, self.rekeying.pending)

    @invariant()
    def nobody_opens_what_was_sealed_before_they_came(self) -> None:
        for base, strangers in self.sealed[-20:]:
            for who in strangers:
                assert not self.can_open(who, base)

    @invariant()
    def keys_only_move_forward(self) -> None:
        here = (self.rekeying.current.epoch, self.rekeying.current.step)
        assert here >= self.last
        self.last = here
        pending = self.rekeying.pending
        assert pending is None or (pending.epoch > here[0] and pending.step == 0)

    @invariant()
    def the_stage_says_whether_a_key_is_pending(self) -> None:
        pending = self.rekeying.pending is not None
        assert pending is (self.rekeying.stage in (Stage.SWITCHING, Stage.OVERLAPPING))


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
