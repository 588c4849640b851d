"""The error budget and the reports of refused frames."""

from __future__ import annotations

from sealcast.protocol.codes import reply
from sealcast.server.refusals import Refusals


def test_the_budget_is_spent_by_errors_and_comes_back_with_time() -> None:
    refusals = Refusals(per_minute=60, now=0.0)
    assert [refusals.spend(0.0) for _ in range(61)] == [True] * 60 + [False]
    assert refusals.spend(1.0)
    assert not refusals.spend(1.0)


def test_nothing_is_reported_when_nothing_was_refused() -> None:
    refusals = Refusals(per_minute=60, now=0.0)
    assert refusals.due() is None
    assert refusals.report(100.0) == []


def test_the_first_refused_frame_is_reported_at_once_and_the_next_ones_together() -> None:
    refusals = Refusals(per_minute=60, now=10.0)
    refusals.note_frame("not_permitted", 7)
    (first,) = refusals.report(10.0)
    assert (first.name, first.channel, first.count) == ("not_permitted", 7, 1)
    for _ in range(50):
        refusals.note_frame("not_permitted", 7)
        assert refusals.report(10.5) == []
    assert refusals.due() == 11.0
    (second,) = refusals.report(11.0)
    assert (second.name, second.channel, second.count) == ("not_permitted", 7, 50)
    assert refusals.due() is None


def test_causes_and_channels_are_counted_apart() -> None:
    refusals = Refusals(per_minute=60, now=0.0)
    for name, channel in (("bad_frame", 1), ("bad_frame", 2), ("too_big", 1), ("bad_frame", 1)):
        refusals.note_frame(name, channel)
    reports = {(error.name, error.channel): error.count for error in refusals.report(0.0)}
    assert reports == {("bad_frame", 1): 2, ("bad_frame", 2): 1, ("too_big", 1): 1}


def test_a_frame_for_no_channel_is_reported_without_one() -> None:
    refusals = Refusals(per_minute=60, now=0.0)
    refusals.note_frame("not_joined", 0)
    (error,) = refusals.report(0.0)
    assert error.channel is None
    assert (error.code, error.message) == (reply("not_joined").number, reply("not_joined").message)


def test_frames_that_came_too_fast_are_reported_with_how_long_to_wait() -> None:
    refusals = Refusals(per_minute=60, now=0.0)
    for wait in (0.5, 0.4, 0.3):
        refusals.note_frame("rate_limited", 7, wait)
    refusals.note_frame("bad_frame", 7)
    reports = {error.name: error for error in refusals.report(0.0)}
    assert (reports["rate_limited"].count, reports["rate_limited"].retry_after) == (3, 0.3), (
        "the newest counts"
    )
    assert reports["bad_frame"].retry_after is None
    refusals.note_frame("rate_limited", 7)
    assert refusals.report(1.0)[0].retry_after is None
