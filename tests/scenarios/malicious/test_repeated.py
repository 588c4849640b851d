"""Frames that come again, late, or from another day."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from sealcast.protocol.names import Kind

from ..middle import Passing
from .meeting import INVENTED, Meeting, Script
from .tamper import WRAP, direct, instead, wraps

every_kind = pytest.mark.parametrize("kind", ["raw", "passphrase", "managed"])


@every_kind
async def test_duplicate(trial: Any, kind: str) -> None:
    twice = 0

    async def begin(meeting: Meeting) -> None:
        def double(passing: Passing) -> Iterable[bytes]:
            nonlocal twice
            twice += 1
            return [passing.data, passing.data]

        meeting.bob.rule = instead(meeting.bob, "alice", double)

    minutes = await trial.attack("duplicate", kind, begin)
    assert minutes.failures == {"replayed": twice}


@every_kind
async def test_replay(trial: Any, kind: str) -> None:
    played = 0

    async def end(meeting: Meeting) -> None:
        nonlocal played
        bob = meeting.bob
        for passing in bob.of("alice"):
            if passing.head is not None:
                played += 1
                await bob.put(passing.under(bob.number("alice"), offset=1000 + played))

    minutes = await trial.attack("replay", kind, end=end)
    assert minutes.failures == {"replayed": played}


@every_kind
async def test_reorder(trial: Any, kind: str) -> None:
    late = 0

    async def begin(meeting: Meeting) -> None:
        kept: dict[int, bytes] = {}

        def exchange(passing: Passing) -> Iterable[bytes]:
            nonlocal late
            stream = passing.header[0] >> 8
            if stream not in kept:
                kept[stream] = passing.data
                return []
            late += 1
            return [passing.data, kept.pop(stream)]

        meeting.bob.rule = instead(meeting.bob, "alice", exchange, Kind.AUDIO, Kind.DATA, Kind.MESSAGE)

    minutes = await trial.attack("reorder", kind, begin, lost=lambda minutes: late)
    assert minutes.failures == {"replayed": late}


@pytest.mark.parametrize("kind", ["raw", "passphrase", "audience", "managed"])
async def test_old_session(trial: Any, kind: str) -> None:
    tape: list[Passing] = []
    hello: list[bytes] = []

    async def before(meeting: Meeting) -> None:
        for user in ("alice", "bob"):
            await meeting.join(user)
        await meeting.talk(6)
        tape.extend(meeting.bob.of("alice"))
        hello.append(meeting.bob.hello("alice"))

    async def begin(meeting: Meeting) -> None:
        await meeting.announce("alice", hello[0])
        bob = meeting.bob
        await bob.put(*(passing.under(INVENTED, channel=bob.channel) for passing in tape))

    minutes = await trial.attack("old session", kind, begin, before=before, unlike="a newcomer")
    frames = [passing for passing in tape if passing.kind not in (None, Kind.CONTROL)]
    assert len(frames) > 25
    assert minutes.failures["key_missing" if kind == "managed" else "not_fresh"] >= len(frames)


@pytest.mark.parametrize("kind", ["raw", "passphrase", "managed"])
async def test_old_wrap(trial: Any, kind: str) -> None:
    async def begin(meeting: Meeting) -> None:
        bob = meeting.bob
        keys = wraps(bob.of("alice"))
        if kind != "managed":
            assert not keys
            await bob.put(direct(bob, "alice", bytes([WRAP]) + bytes(150)))
            return
        old, new = keys
        assert (old[2:6], new[2:6]) == (bytes(4), bytes([0, 0, 0, 1])), "carol's leave made a new epoch"
        await bob.put(direct(bob, "alice", old))
        await bob.put(direct(bob, "alice", new[:2] + bytes([0, 0, 0, 2]) + new[6:]))

    await trial.attack("old wrap", kind, begin, script=Script(carol="leaves"))


async def test_a_key_that_comes_twice_is_the_same_key_and_is_acknowledged_twice(trial: Any) -> None:
    # The one answer that a relay can call forth. It says what the relay can work out by itself: all that the
    # signature of a wrap covers has passed through its hands, and epoch and step are in the clear.
    ack = "direct 2 to alice"

    async def begin(meeting: Meeting) -> None:
        [key] = wraps(meeting.bob.of("alice"))
        await meeting.bob.put(direct(meeting.bob, "alice", key))

    minutes = await trial.attack(None, "managed", begin, beside=ack, accused=frozenset())
    assert [sent.at for sent in minutes.sent if sent.what == ack] == [0.0, 2.0]
