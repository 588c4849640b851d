"""Ten users come and go 200 times in a managed channel, over real sockets; every frame is accounted for.

What holds, as docs/managed-keys.md states it:

- **Inside**: who was in a sender's view when it sealed, and had not gone when the frame had passed the
  relay, opens it. What was still held for a proof or behind another message, which takes two seconds at
  most, is lost to who goes meanwhile.
- **Outside**: nobody else ever can, with all keys that it was ever given. The key switch window: who left
  may open what is sealed less than 1.25 s after its sender heard of it, if a relay were to send it to it.
- A newcomer gets no key for what a sender sealed before it heard of it.

The seed decides who does what and in which order. A run that fails prints it; with another one:
``CHURN_SEED=7 make test ARGS=tests/scenarios/test_managed_churn.py``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from sealcast.client.e2ee.hold import HOLD_SECONDS
from sealcast.client.e2ee.managed import ManagedKeys
from sealcast.client.e2ee.rekey import Rekeying, Stage
from sealcast.client.reception import Reception
from sealcast.protocol.names import Kind

from ..leaks import keys_that_leaked
from .meeting import Meeting, Sealed, Visit

SEED = int(os.environ.get("CHURN_SEED", "3"))
LATE = 1.0
"""Seconds that a frame may take to arrive where it is held."""

Hold = Callable[[int], Awaitable[Meeting]]


@pytest_asyncio.fixture
async def hold(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hold]:
    """Hold a meeting with so many operations, and return its record."""
    async with contextlib.AsyncExitStack() as stack:

        async def held(operations: int) -> Meeting:
            print(f"seed {SEED}; to see it again: CHURN_SEED={SEED} make test ARGS={__file__}")
            meeting = Meeting(SEED, stack)
            meeting.watch(monkeypatch)
            await meeting.start()
            await meeting.churn(operations)
            await meeting.finish()
            return meeting

        yield held


def missing(meeting: Meeting) -> list[str]:
    """Everything that somebody was entitled to and did not get."""
    return [
        f"{hearer.user} #{hearer.number} lacks {frame.payload!r} of {frame.at:.3f}, {frame.base}"
        for speaker in meeting.visits
        for frame in speaker.sealed
        if frame.passed is not None
        for hearer in meeting.visits
        if frame.kind != "control"
        if hearer.number in frame.receivers and frame.payload not in hearer.heard
        if hearer.ended is None or (frame.passed < hearer.ended and not waited(speaker, frame, hearer))
    ]


def waited(speaker: Visit, frame: Sealed, hearer: Visit) -> bool:
    """Whether the frame may have been held when its hearer went."""
    if hearer.ended_at - frame.at > HOLD_SECONDS + LATE:
        return False
    if frame.kind == "message":
        # Messages leave in the order of the channel, so nothing behind it was heard.
        return frame.offset > hearer.furthest
    # The first beacon that answers to its hearer opens the epoch, so nothing of it was heard.
    return not any(
        other.payload in hearer.heard for other in speaker.sealed if other.base.epoch == frame.base.epoch
    )


def overheard(meeting: Meeting) -> list[str]:
    """Everything that somebody got who was not entitled to it."""
    frames = {frame.payload: frame for visit in meeting.visits for frame in visit.sealed}
    return [
        f"{hearer.user} #{hearer.number} got {payload!r}"
        for hearer in meeting.visits
        for payload in hearer.heard
        if hearer.sender.session not in frames[payload].allowed
    ]


def unexplained(meeting: Meeting) -> list[str]:
    """Everything else that went wrong: events without a cause here, more failures than newcomers have."""
    told = [
        f"{visit.user} #{visit.number} was told {event}"
        for visit in meeting.visits
        for event in visit.surprises
    ]
    for visit in meeting.visits:
        stats = visit.room.stats
        early = sum(
            visit.number not in frame.receivers
            and (frame.passed is None or frame.passed > visit.begun)
            and (visit.ended is None or frame.made < visit.ended)
            for other in meeting.visits
            if other is not visit
            for frame in other.sealed
        )
        failures = dict(stats.seal_failures)
        if failures.pop("key_missing", 0) > early or failures or stats.unknown_senders:
            told.append(f"{visit.user} #{visit.number}: {stats}, {early} frames before it was known")
    return told


def leaks(meeting: Meeting) -> list[str]:
    return keys_that_leaked((frame for visit in meeting.visits for frame in visit.sealed), meeting.visits)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_hundred_joins_leaves_and_kicks_with_everybody_talking(hold: Hold) -> None:
    meeting = await hold(200)
    assert missing(meeting) == []
    assert overheard(meeting) == []
    assert leaks(meeting) == []
    assert unexplained(meeting) == []
    assert sum(meeting.counts.values()) == 200
    assert all(count > 20 for count in meeting.counts.values())
    assert meeting.stages == set(Stage)
    heard = sum(len(visit.heard) for visit in meeting.visits)
    assert heard > 10_000


async def test_the_meeting_would_notice_a_leaver_that_keeps_its_key(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the answer to a leave keys leak; so what passes above is not an idle check."""
    monkeypatch.setattr(Rekeying, "leave", lambda self, name, now: None)
    assert leaks(await hold(20))


async def test_the_meeting_would_notice_a_join_without_a_ratchet(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ManagedKeys, "mark_used", lambda self, base: None)
    assert leaks(await hold(20))


async def test_the_meeting_would_notice_a_frame_that_is_lost(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, count = Reception.frame, iter(range(10**9))

    def lossy(self: Reception, number: int, data: bytes) -> None:
        if data[0] & 15 == Kind.CONTROL or next(count) % 100:
            take(self, number, data)

    monkeypatch.setattr(Reception, "frame", lossy)
    assert missing(await hold(20))
