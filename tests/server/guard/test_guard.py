"""Points, blocks and what is forgotten, with time as an argument."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sealcast.protocol.codes import ENDS, REPLIES
from sealcast.server.config import GuardConfig
from sealcast.server.guard import FACTOR, OFFENCES, Block, Guard

HERE = "203.0.113.7"
INNOCENT = ("token_expired", "token_not_yet_valid", "channel_mismatch", "user_mismatch", "not_permitted")
FULL = ("channel_full", "app_full", "too_many_channels", "rate_limited", "draining", "not_stored")


def guard(**options: Any) -> Guard:
    return Guard(GuardConfig(**options))


def blocked(guard: Guard, offence: str = "invalid_token", now: float = 0.0, key: str = HERE) -> Block:
    """Offend until there is a block."""
    for _ in range(10_000):
        block = guard.offend(key, offence, now)
        if block is not None:
            return block
    raise AssertionError("never blocked")


def count(guard: Guard, offence: str, now: float = 0.0, key: str = HERE) -> int:
    """Say how many offences it takes to be blocked."""
    return next(n for n in range(1, 100_000) if guard.offend(key, offence, now) is not None)


def test_ten_forged_tokens_are_enough() -> None:
    assert count(guard(), "invalid_token") == 10


def test_violations_of_the_protocol_weigh_twice_as_much() -> None:
    for offence in ("protocol_error", "text_refused", "too_many_errors"):
        assert count(guard(), offence) == 5


@pytest.mark.parametrize("mistake", [*INNOCENT, *FULL])
def test_mistakes_weigh_nothing(mistake: str) -> None:
    assert mistake in REPLIES
    office = guard()
    assert not any(office.offend(HERE, mistake, 0.0) for _ in range(1_000))
    assert len(office) == 0, "and nothing is kept of them"


def test_every_weighed_code_exists() -> None:
    codes = {name for name in OFFENCES if name in REPLIES or name in ENDS}
    assert codes >= {"invalid_token", "app_mismatch", "token_required", "protocol_error", "text_refused"}
    assert not set(OFFENCES) & {"token_expired", "left", "connection_lost", "replaced", "kicked", "draining"}


def test_a_block_ends_by_itself() -> None:
    one = guard(block=60)
    block = blocked(one)
    assert block.reason == "invalid_token"
    assert one.block_of(HERE, 59.9) == block
    assert one.block_of(HERE, 60.0) is None
    assert list(one.blocks(60.0)) == []


def test_who_is_blocked_is_not_blocked_longer_for_going_on() -> None:
    one = guard(block=60)
    block = blocked(one)
    assert not any(one.offend(HERE, "protocol_error", 30.0) for _ in range(100))
    assert one.block_of(HERE, 59.0) == block
    assert one.block_of(HERE, 60.0) is None


def test_points_fade() -> None:
    one = guard(half_life=300)
    for _ in range(9):
        one.offend(HERE, "invalid_token", 0.0)
    assert one.offend(HERE, "invalid_token", 300.0) is None, "45 and 10"
    one = guard(half_life=300)
    assert not any(one.offend(HERE, "invalid_token", minute * 300.0) for minute in range(1_000))


def test_each_further_block_is_longer_up_to_the_longest() -> None:
    one, now, lasted = guard(block=60, block_max=3600), 0.0, []
    for _ in range(6):
        block = blocked(one, now=now)
        lasted.append(block.until - block.since)
        now = block.until
    assert lasted == pytest.approx([60, 60 * FACTOR, 60 * FACTOR**2, 3600, 3600, 3600])


def test_escalation_is_forgotten_step_by_step() -> None:
    one = guard(block=60, forgive=3600)
    now = blocked(one, now=blocked(one).until).until
    assert blocked(one, now=now + 3599).level == 3
    one = guard(block=60, forgive=3600)
    now = blocked(one, now=blocked(one).until).until
    assert blocked(one, now=now + 3600).level == 2
    one = guard(block=60, forgive=3600)
    now = blocked(one, now=blocked(one).until).until
    assert blocked(one, now=now + 7200).level == 1


def test_the_time_of_a_block_does_not_count_as_good_behaviour() -> None:
    one = guard(block=3600, block_max=86_400, forgive=600)
    block = blocked(one)
    assert blocked(one, now=block.until + 1).level == 2


def test_good_members_raise_what_it_takes_within_bounds() -> None:
    office = guard(credit=4)
    for _ in range(20):
        office.credit(HERE, 0.0)
    assert count(office, "invalid_token") == 20
    crowd = guard(credit=4)
    for _ in range(100_000):
        crowd.credit(HERE, 0.0)
    assert count(crowd, "invalid_token") == 50, "five times as much, whoever joins how often"


def test_credit_fades_too_and_can_be_off() -> None:
    office = guard(credit=4, half_life=300)
    for _ in range(100):
        office.credit(HERE, 0.0)
    assert count(office, "invalid_token", now=86_400.0) <= 11
    none = guard(credit=0)
    none.credit(HERE, 0.0)
    assert count(none, "invalid_token") == 10
    assert len(none) == 1


def test_a_lifted_address_starts_afresh() -> None:
    one = guard()
    blocked(one)
    assert one.lift(HERE)
    assert one.block_of(HERE, 1.0) is None
    assert not one.lift(HERE)
    assert blocked(one, now=1.0).level == 1


def test_when_it_is_off_nobody_is_blocked() -> None:
    assert not any(guard(enabled=False).offend(HERE, "protocol_error", 0.0) for _ in range(100))


def test_switching_it_off_lets_in_who_was_blocked() -> None:
    one = guard()
    blocked(one)
    one.rules = GuardConfig(enabled=False)
    assert one.block_of(HERE, 1.0) is None
    assert list(one.blocks(1.0)) == []


def test_a_flood_of_addresses_frees_nobody_and_takes_no_more_memory() -> None:
    one = guard(addresses=100)
    bad = [blocked(one, key=f"198.51.100.{number}").key for number in range(50)]
    for number in range(10_000):
        one.offend(f"2001:db8:{number:x}::/64", "unknown_app", 1.0)
    assert len(one) == 150
    assert [block.key for block in one.blocks(1.0)] == bad


def test_who_was_not_seen_for_the_longest_time_is_forgotten_first() -> None:
    one = guard(addresses=100)
    for number in range(100):
        one.offend(f"old-{number}", "protocol_error", 0.0)
    one.offend("old-0", "protocol_error", 0.0)
    one.offend("new", "protocol_error", 0.0)
    assert count(one, "protocol_error", key="old-0") == 3
    assert count(one, "protocol_error", key="old-1") == 5


@given(
    st.lists(
        st.tuples(st.sampled_from([*OFFENCES, *INNOCENT]), st.floats(0, 5_000), st.booleans()), max_size=200
    ),
    st.floats(1, 200),
    st.floats(0, 8),
)
def test_no_block_without_a_threshold_of_points_since_the_last_one(
    events: list[tuple[str, float, bool]], threshold: float, credit: float
) -> None:
    one, now, points = guard(threshold=threshold, credit=credit), 0.0, 0.0
    for offence, passed, joins in events:
        now += passed
        if joins:
            one.credit(HERE, now)
        before = one.block_of(HERE, now)
        block = one.offend(HERE, offence, now)
        if before is not None:
            assert block is None
            continue
        points += OFFENCES.get(offence, 0.0)
        if block is not None:
            assert points >= threshold - 1e-6
            assert one.block_of(HERE, now) == block
            assert 0 < block.until - block.since <= one.rules.block_max
            points = 0.0


class Attack(RuleBasedStateMachine):
    """Whatever happens, the bounds hold, and who is blocked stays so until it is over or lifted."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = guard(addresses=100, threshold=20, block=30, block_max=600, forgive=300)
        self.now = 0.0
        self.until: dict[str, float] = {}

    @rule(key=st.sampled_from("abcdef"), offence=st.sampled_from([*OFFENCES, "token_expired"]))
    def offend(self, key: str, offence: str) -> None:
        block = self.guard.offend(key, offence, self.now)
        if block is not None:
            assert self.until.get(key, 0.0) <= self.now
            self.until[key] = block.until

    @rule(key=st.sampled_from("abcdef"))
    def join(self, key: str) -> None:
        self.guard.credit(key, self.now)

    @rule(key=st.sampled_from("abcdef"))
    def lift(self, key: str) -> None:
        over = self.until.pop(key, 0.0) <= self.now
        assert not self.guard.lift(key) or not over

    @rule(seconds=st.floats(0, 1_000))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(number=st.integers(1, 300))
    def flood(self, number: int) -> None:
        for each in range(number):
            self.guard.offend(f"flood-{each}", "unknown_app", self.now)

    @invariant()
    def the_blocked_are_the_blocked(self) -> None:
        for key in "abcdef":
            assert (self.guard.block_of(key, self.now) is not None) is (self.until.get(key, 0.0) > self.now)

    @invariant()
    def memory_is_bounded(self) -> None:
        assert len(self.guard) <= 200


TestAttack = Attack.TestCase
