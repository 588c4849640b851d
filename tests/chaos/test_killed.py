"""The relay is killed in mid-conversation and comes back: nothing acknowledged is lost, or comes twice."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from .crowd import Crowd
from .house import RelayProcess

SEED = int(os.environ.get("CHAOS_SEED", "1"))


async def conversation(
    relay: RelayProcess, chance: random.Random, *, channels: int, members: int, kills: int, life: float
) -> Crowd:
    """Let a crowd talk while the relay is killed so many times."""
    crowd = Crowd.of(relay.url, channels, members, chance)
    try:
        await crowd.join()
        over = asyncio.Event()
        talking = [asyncio.create_task(member.talk(over, every=1.5)) for member in crowd.members]
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.6, 1.4) * life)
            await relay.kill()
            await asyncio.sleep(chance.uniform(0, 0.5))
            await relay.start()
        await asyncio.sleep(life)
        over.set()
        await asyncio.gather(*talking)
        await crowd.finish()
    finally:
        await crowd.close()
    return crowd


@pytest.mark.slow
@pytest.mark.timeout(280)
async def test_two_hundred_clients_lose_nothing_when_the_relay_is_killed_five_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    relay = RelayProcess(tmp_path)
    await relay.start()
    try:
        crowd = await conversation(relay, random.Random(SEED), channels=20, members=10, kills=5, life=2.5)
    finally:
        await relay.kill()
    acknowledged = crowd.judge(complete=True)
    assert relay.lives == 6
    assert acknowledged > 1_000
    with capsys.disabled():
        print(f"\nchaos: {acknowledged} messages acknowledged over 6 lives of the relay, seed {SEED}")
