"""A crowd that talks through a proxy to a relay while one thing after the other goes wrong.

``python -m tests.chaos.conversation --seed 7 --minutes 5`` is the long form; ``make chaos`` runs it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .crowd import Crowd
from .faults import ALL, Fault
from .house import Proxy, RelayProcess

__all__ = ["converse"]


async def converse(
    place: Path,
    seed: int,
    faults: Sequence[Fault],
    *,
    channels: int,
    members: int,
    pause: float,
    every: float = 1.5,
    engine: str = "sqlite",
) -> tuple[Crowd, RelayProcess]:
    """Let a crowd talk while these faults happen, one after the other, with pauses between them.

    Everybody is there from before the first message until after the last; return them, to be judged.
    """
    chance = random.Random(seed)
    relay = RelayProcess(place, engine)
    await relay.start()
    proxy = Proxy(relay.port)
    await proxy.start()
    crowd = Crowd.of(f"ws://127.0.0.1:{proxy.port}", channels, members, chance)
    try:
        await crowd.join()
        over = asyncio.Event()
        talking = [asyncio.create_task(member.talk(over, every)) for member in crowd.members]
        for fault in faults:
            await asyncio.sleep(chance.uniform(0.6, 1.4) * pause)
            await fault(relay, proxy, chance)
        await asyncio.sleep(pause)
        for pair in proxy.pairs:
            pair.flow()
        over.set()
        await asyncio.gather(*talking)
        await crowd.finish()
    finally:
        await crowd.close()
        await proxy.close()
        await relay.kill()
    return crowd, relay


def _main() -> int:
    parser = argparse.ArgumentParser(description="Treat a relay badly, and judge what came of it.")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="replays a run; drawn by default")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long each round lasts")
    parser.add_argument("--rounds", type=int, default=1, help="each with the next seed")
    parser.add_argument("--clients", type=int, default=100, help="ten in each channel")
    parser.add_argument("--faults", default=",".join(ALL), help="which, separated by commas")
    options = parser.parse_args()
    chosen = [ALL[name] for name in options.faults.split(",")]
    pause = 3.0
    for seed in range(options.seed, options.seed + options.rounds):
        chance = random.Random(seed)
        faults = [chance.choice(chosen) for _ in range(max(1, int(options.minutes * 60 / (pause + 1.5))))]
        print(f"seed {seed}: {', '.join(fault.__name__ for fault in faults)}", flush=True)
        with tempfile.TemporaryDirectory() as place:
            crowd, relay = asyncio.run(
                converse(
                    Path(place), seed, faults, channels=max(1, options.clients // 10), members=10, pause=pause
                )
            )
        print(
            f"seed {seed}: {crowd.judge(complete=True)} messages acknowledged over {relay.lives} lives of the"
            " relay, each delivered once, in order, to everybody",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(_main())
