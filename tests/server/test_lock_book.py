"""The locks of a process: found by channel, ended by the wheel, forgotten when there are none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from sealcast.server.clock import TimingWheel
from sealcast.server.interfaces import ChannelKey
from sealcast.server.lock_book import LockBook
from sealcast.server.locks import LockBounds, LockChange, LockRefused, Owner

ONE, OTHER_APP = ChannelKey("0" * 32, "stage"), ChannelKey("1" * 32, "stage")
ANN, BOB = Owner("ann"), Owner("bob")


class Case:
    """A book with a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.skew = 1_800_000_000.0
        self.wheel = TimingWheel(self.now, tick=0.05, slots=64)
        self.told: list[tuple[ChannelKey, str, str]] = []
        self.book = LockBook(self, self.wheel, self.changed)
        self.bounds = LockBounds(32, 100)

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self.skew

    def changed(self, key: ChannelKey, changes: Sequence[LockChange]) -> None:
        self.told += ((key, change.name, change.reason) for change in changes)

    def lock(self, key: ChannelKey, name: str, owner: Owner = ANN, ttl: float = 10) -> int:
        try:
            return self.book.of(key).lock(name, owner, ttl, self.now, self.bounds)
        finally:
            self.changed(key, self.book.settle(key))

    def unlock(self, key: ChannelKey, name: str) -> None:
        self.book.of(key).unlock(name, "ann", self.now)
        self.changed(key, self.book.settle(key))

    def later(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 1, end)
            self.wheel.advance(self.now)


def test_the_same_name_in_two_apps_is_two_locks() -> None:
    case = Case()
    case.lock(ONE, "a")
    case.lock(OTHER_APP, "a", BOB)
    assert case.told == [(ONE, "a", "acquired"), (OTHER_APP, "a", "acquired")]


def test_a_lock_that_nobody_holds_on_to_ends_by_itself() -> None:
    case = Case()
    case.lock(ONE, "a", ttl=2)
    case.lock(ONE, "b", ttl=200)
    case.later(2.1)
    assert case.told[2:] == [(ONE, "a", "expired")]
    case.later(100)
    case.lock(ONE, "b", ttl=200)
    case.later(199)
    assert case.told[3:] == []
    case.later(1.1)
    assert case.told[3:] == [(ONE, "b", "expired")]


def test_a_channel_without_locks_is_forgotten_whatever_became_of_them() -> None:
    case = Case()
    case.lock(ONE, "a")
    case.unlock(ONE, "a")
    assert case.book.find(ONE) is None
    case.lock(OTHER_APP, "a", ttl=1)
    case.later(1.1)
    assert repr(case.book) == "LockBook(0 channels)"


def test_the_locks_of_an_app_are_bounded_and_do_not_count_for_another() -> None:
    case = Case()
    case.bounds = LockBounds(32, 2)
    case.lock(ONE, "a")
    case.lock(ChannelKey(ONE.app_id, "backstage"), "a", ttl=1)
    with pytest.raises(LockRefused, match="too_many_items"):
        case.lock(ONE, "b")
    case.lock(OTHER_APP, "b")
    case.later(1.1)
    case.lock(ONE, "b")


def test_a_request_that_is_refused_leaves_nothing_behind() -> None:
    case = Case()
    case.bounds = LockBounds(32, 0)
    with pytest.raises(LockRefused):
        case.lock(ONE, "a")
    assert case.book.find(ONE) is None
    assert case.told == []


def test_fences_start_at_the_milliseconds_of_the_wall_clock() -> None:
    case = Case()
    assert case.lock(ONE, "a") == 1_800_000_100_001


@pytest.mark.parametrize("back", [0.0, 3600.0])
def test_fences_grow_also_when_the_channel_was_forgotten_and_the_clock_stepped_back(back: float) -> None:
    case = Case()
    fences = [case.lock(ONE, "a")]
    for _ in range(3):
        case.unlock(ONE, "a")
        case.skew -= back
        fences.append(case.lock(ONE, "a"))
    assert fences == sorted(set(fences))
