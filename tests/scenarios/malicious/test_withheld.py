"""What is held back for a while, and what never comes."""

from __future__ import annotations

from typing import Any

import pytest

from sealcast.protocol.controls import Directed
from sealcast.protocol.descriptor import MESSAGE_STREAM
from sealcast.protocol.names import Kind

from ..middle import Passing
from .meeting import Meeting, Script
from .tamper import WRAP, withheld

every_kind = pytest.mark.parametrize("kind", ["raw", "passphrase", "managed"])
_DATA_STREAM = 3


async def let_go(meeting: Meeting, kept: list[bytes]) -> None:
    """End the delay."""
    meeting.bob.rule = None
    await meeting.bob.put(*kept)


@every_kind
async def test_delayed(trial: Any, kind: str) -> None:
    kept: list[bytes] = []

    async def begin(meeting: Meeting) -> None:
        meeting.bob.rule = withheld(meeting.bob, "alice", kept)

    minutes = await trial.attack(
        "delayed", kind, begin, end=lambda meeting: let_go(meeting, kept), script=Script(seconds=20, lasts=16)
    )
    assert len(kept) > 80
    assert minutes.alarms.total() == 1


@every_kind
async def test_delayed_proof(trial: Any, kind: str) -> None:
    kept: list[bytes] = []

    async def start(meeting: Meeting) -> None:
        beacons = lambda passing: passing.kind is Kind.CONTROL  # noqa: E731
        meeting.middle.rules["bob"] = lambda passing: withheld(meeting.bob, "alice", kept, beacons)(passing)

    minutes = await trial.attack(
        "delayed proof",
        kind,
        end=lambda meeting: let_go(meeting, kept),
        start=start,
        lost=lambda minutes: minutes.failures["not_fresh"],
    )
    assert kept
    assert minutes.failures["not_fresh"] >= 4


async def test_delayed_key(trial: Any) -> None:
    kept: list[bytes] = []

    def is_new_key(passing: Passing) -> bool:
        control = passing.control
        return isinstance(control, Directed) and control.data[0] == WRAP and control.data[2:6] != bytes(4)

    async def start(meeting: Meeting) -> None:
        meeting.middle.rules["bob"] = lambda passing: withheld(meeting.bob, "alice", kept, is_new_key)(
            passing
        )

    minutes = await trial.attack(
        "delayed key",
        "managed",
        end=lambda meeting: let_go(meeting, kept),
        start=start,
        script=Script(lasts=3, carol="leaves"),
        # He cannot say that he has it before he has it.
        beside="direct 2 to alice",
        # The first of what is lost is the beacon of her new epoch.
        lost=lambda minutes: minutes.failures["key_missing"] - 1,
    )
    assert len(kept) == 1
    assert minutes.failures["key_missing"] >= 4


@pytest.mark.parametrize(
    ("stream", "first", "missing"),
    [(_DATA_STREAM, 1, 3), (_DATA_STREAM, 0, 4), (MESSAGE_STREAM, 3, None)],
    ids=["the end of a stream", "a whole stream", "all further messages"],
)
@every_kind
async def test_suppressed(trial: Any, kind: str, stream: int, first: int, missing: int | None) -> None:
    dropped: list[bytes] = []

    def fits(passing: Passing) -> bool:
        return passing.head is not None and (passing.header[0] >> 8, passing.header[1] >= first) == (
            stream,
            True,
        )

    async def begin(meeting: Meeting) -> None:
        meeting.bob.rule = withheld(meeting.bob, "alice", dropped, fits)

    await trial.attack("suppressed", kind, begin, lost=lambda minutes: len(dropped))
    assert missing in (None, len(dropped))
