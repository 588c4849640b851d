"""The locks of a channel as a model: one owner at a time, and fences that only grow."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sealcast.server.budget import Used
from sealcast.server.locks import LockBounds, LockChange, LockRefused, Locks, Owner

ANN, BOB = Owner("ann"), Owner("bob")


BOUNDS = LockBounds(32, 100)


def locks() -> Locks:
    return Locks(Used(), 1000)


def refusal(channel: Locks, name: str, owner: Owner, now: float, bounds: LockBounds = BOUNDS) -> LockRefused:
    with pytest.raises(LockRefused) as caught:
        channel.lock(name, owner, 10, now, bounds)
    return caught.value


def test_a_lock_has_one_owner() -> None:
    channel = locks()
    assert channel.lock("a", ANN, 10, 0, BOUNDS) == 1001
    refused = refusal(channel, "a", BOB, 4)
    assert (refused.name, refused.retry_after) == ("lock_held", 6)
    assert channel.lock("b", BOB, 10, 4, BOUNDS) == 1002
    assert channel.take_changes() == [
        LockChange("a", 1001, "acquired", "ann"),
        LockChange("b", 1002, "acquired", "bob"),
    ]


def test_its_owner_keeps_it_for_longer_under_the_same_fence() -> None:
    channel = locks()
    fence = channel.lock("a", ANN, 10, 0, BOUNDS)
    channel.take_changes()
    assert channel.lock("a", ANN, 10, 9, BOUNDS) == fence
    assert refusal(channel, "a", BOB, 18).retry_after == 1
    assert channel.take_changes() == []


def test_its_owner_may_make_it_end_sooner() -> None:
    channel = locks()
    channel.lock("a", ANN, 100, 0, BOUNDS)
    channel.lock("a", ANN, 1, 10, BOUNDS)
    assert channel.next_timeout() == 11


def test_a_lock_that_is_given_back_is_free() -> None:
    channel = locks()
    fence = channel.lock("a", ANN, 10, 0, BOUNDS)
    channel.unlock("a", "ann", 1)
    assert channel.lock("a", BOB, 10, 1, BOUNDS) == fence + 1
    assert [change.reason for change in channel.take_changes()] == ["acquired", "released", "acquired"]


@pytest.mark.parametrize("user", ["bob", "ann"])
def test_nobody_gives_back_what_he_does_not_have(user: str) -> None:
    channel = locks()
    channel.lock("a", ANN, 10, 0, BOUNDS)
    with pytest.raises(LockRefused, match="not_lock_owner"):
        channel.unlock("a", user, 0 if user == "bob" else 10)


def test_a_lock_ends_when_its_time_is_over_and_not_before() -> None:
    channel = locks()
    channel.lock("a", ANN, 10, 0, BOUNDS)
    channel.lock("b", ANN, 5, 0, BOUNDS)
    assert channel.next_timeout() == 5
    channel.expire(4.999)
    assert len(channel) == 2
    channel.expire(10)
    assert channel.take_changes()[2:] == [
        LockChange("b", 1002, "expired", None),
        LockChange("a", 1001, "expired", None),
    ]
    assert channel.next_timeout() is None


def test_a_lock_that_ran_out_is_free_also_before_anybody_noticed() -> None:
    channel = locks()
    channel.lock("a", ANN, 10, 0, BOUNDS)
    assert channel.held(10) == ()
    assert channel.lock("a", BOB, 10, 10, BOUNDS) == 1002
    assert [change[2:] for change in channel.take_changes()] == [
        ("acquired", "ann"),
        ("expired", None),
        ("acquired", "bob"),
    ]


def test_an_owner_that_was_too_late_gets_another_fence() -> None:
    channel = locks()
    fence = channel.lock("a", ANN, 10, 0, BOUNDS)
    assert channel.lock("a", ANN, 10, 10, BOUNDS) > fence


def test_a_lock_can_be_taken_and_the_fence_tells_the_owners_apart() -> None:
    channel = locks()
    fence = channel.lock("a", ANN, 10, 0, BOUNDS)
    assert channel.lock("a", BOB, 20, 1, BOUNDS, take=True) == fence + 1
    assert refusal(channel, "a", ANN, 2).name == "lock_held"
    assert channel.take_changes()[1:] == [LockChange("a", fence + 1, "taken", "bob")]
    assert [held.owner for held in channel.held(2)] == [BOB]


def test_to_take_what_is_free_or_ones_own_is_to_lock_it() -> None:
    channel = locks()
    fence = channel.lock("a", ANN, 10, 0, BOUNDS, take=True)
    assert channel.lock("a", ANN, 10, 1, BOUNDS, take=True) == fence
    assert [change.reason for change in channel.take_changes()] == ["acquired"]


def test_another_run_of_the_owners_program_gets_the_lock_with_another_fence() -> None:
    channel = locks()
    fence = channel.lock("a", Owner("ann", b"first"), 10, 0, BOUNDS)
    assert channel.lock("a", Owner("ann", b"first"), 10, 1, BOUNDS) == fence
    assert channel.lock("a", Owner("ann", b"second"), 10, 2, BOUNDS) == fence + 1
    assert channel.take_changes()[1:] == [LockChange("a", fence + 1, "taken", "ann")]
    channel.unlock("a", "ann", 3)


def test_a_channel_holds_so_many_locks_and_no_more() -> None:
    channel = locks()
    channel.lock("a", ANN, 10, 0, BOUNDS)
    channel.lock("b", ANN, 10, 0, BOUNDS)
    assert refusal(channel, "c", ANN, 1, LockBounds(2, 100)).name == "too_many_items"
    channel.lock("b", BOB, 10, 1, BOUNDS, take=True)
    channel.lock("c", BOB, 10, 10, BOUNDS)


def test_channels_share_how_many_locks_they_hold() -> None:
    used = Used()
    one, two = Locks(used, 0), Locks(used, 0)
    one.lock("a", ANN, 10, 0, BOUNDS)
    assert refusal(two, "a", ANN, 0, LockBounds(32, 1)).name == "too_many_items"
    one.expire(10)
    two.lock("a", ANN, 10, 10, BOUNDS)
    two.unlock("a", "ann", 11)
    assert used.amount == 0


class Model(RuleBasedStateMachine):
    """Against a table of who holds what until when."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.used = Used()
        self.locks = Locks(self.used, 50)
        self.held: dict[str, tuple[Owner, int, float]] = {}
        self.given = 50
        self.told: dict[str, str] = {}

    names = st.sampled_from(["a", "b", "c", "d"])
    owners = st.builds(Owner, st.sampled_from(["ann", "bob"]), st.sampled_from([b"", b"r"]))

    @rule(seconds=st.integers(0, 8))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds
        self.held = {name: lock for name, lock in self.held.items() if lock[2] > self.now}

    @rule()
    def the_wheel_turns(self) -> None:
        self.locks.expire(self.now)
        self.listen()
        due = self.locks.next_timeout()
        assert due == min((lock[2] for lock in self.held.values()), default=None)

    @rule(name=names, owner=owners, ttl=st.integers(1, 9), take=st.booleans())
    def somebody_locks(self, name: str, owner: Owner, ttl: int, take: bool) -> None:
        present = self.held.get(name)
        try:
            fence = self.locks.lock(name, owner, ttl, self.now, LockBounds(3, 3), take=take)
        except LockRefused as refused:
            reason, wait = refused.name, refused.retry_after
        else:
            reason, wait = "", None
        if present is None:
            assert reason == ("too_many_items" if len(self.held) == 3 else "")
        elif present[0].user != owner.user and not take:
            assert (reason, wait) == ("lock_held", present[2] - self.now)
        else:
            assert reason == ""
        if not reason:
            if present is not None and present[0] == owner:
                assert fence == present[1]
            else:
                assert fence > self.given
                self.given = fence
            self.held[name] = (owner, fence, self.now + ttl)
        self.listen()

    @rule(name=names, user=st.sampled_from(["ann", "bob"]))
    def somebody_unlocks(self, name: str, user: str) -> None:
        present = self.held.get(name)
        try:
            self.locks.unlock(name, user, self.now)
        except LockRefused as refused:
            reason = refused.name
        else:
            reason = ""
            del self.held[name]
        assert reason == ("" if present is not None and present[0].user == user else "not_lock_owner")
        self.listen()

    def listen(self) -> None:
        """Who follows what is told knows who holds what."""
        for name, _, reason, user in self.locks.take_changes():
            assert (user is None) == (reason in {"released", "expired"})
            assert (name in self.told) == (reason != "acquired")
            if user is None:
                del self.told[name]
            else:
                self.told[name] = user

    @invariant()
    def both_have_the_same(self) -> None:
        assert {lock.name: lock[1:] for lock in self.locks.held(self.now)} == self.held
        assert self.used.amount == len(self.locks) <= 3


TestModel = Model.TestCase
