"""Real processes, badly treated: nothing that was acknowledged is lost, or comes twice, and gaps are told.

The long form is ``make chaos``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conversation import converse
from .faults import freeze, kill, lock, reset, restart, stall, trickle

SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.mark.slow
@pytest.mark.timeout(280)
async def test_two_hundred_clients_lose_nothing_when_the_relay_is_killed_five_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crowd, relay = await converse(tmp_path, SEED, [kill] * 5, channels=20, members=10, pause=2.5)
    acknowledged = crowd.judge(complete=True)
    assert relay.lives == 6
    assert acknowledged > 1_000
    with capsys.disabled():
        print(f"\nchaos: {acknowledged} messages acknowledged over 6 lives of the relay, seed {SEED}")


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_relay_that_is_asked_to_end_loses_nothing_and_ends_well(tmp_path: Path) -> None:
    crowd, relay = await converse(tmp_path, SEED, [restart] * 2, channels=4, members=5, pause=1.5)
    assert crowd.judge(complete=True) > 50
    assert relay.lives == 3


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_connections_that_break_stall_and_trickle_lose_nothing(tmp_path: Path) -> None:
    faults = [reset, stall, trickle, freeze, reset]
    crowd, _ = await converse(tmp_path, SEED, faults, channels=4, members=5, pause=1.5, engine="memory")
    assert crowd.judge(complete=True) > 50


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_a_database_that_is_locked_delays_messages_and_loses_none(tmp_path: Path) -> None:
    crowd, _ = await converse(tmp_path, SEED, [lock, lock], channels=2, members=4, pause=1.0)
    assert crowd.judge(complete=True) > 20
