"""What is done to a relay and to the connections to it while a crowd talks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final

from .house import Proxy, RelayProcess

__all__ = ["ALL", "Fault"]

Fault = Callable[[RelayProcess, Proxy, random.Random], Awaitable[None]]


async def kill(relay: RelayProcess, proxy: Proxy, chance: random.Random) -> None:
    """End the process at once, and start it again."""
    await relay.kill()
    await asyncio.sleep(chance.uniform(0, 0.5))
    await relay.start()


async def restart(relay: RelayProcess, proxy: Proxy, chance: random.Random) -> None:
    """Let the process drain, and start it again."""
    assert await relay.terminate() == 0, "a relay that is asked to end ends well"
    await relay.start()


async def freeze(relay: RelayProcess, proxy: Proxy, chance: random.Random) -> None:
    """Let the process stand still for a moment, as a machine that swaps does."""
    relay.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(chance.uniform(0.2, 1.5))
    finally:
        relay.signal(signal.SIGCONT)


async def reset(relay: RelayProcess, proxy: Proxy, chance: random.Random) -> None:
    """Cut a third of the connections."""
    for pair in chance.sample(proxy.pairs, len(proxy.pairs) // 3):
        pair.reset()


async def stall(relay: RelayProcess, proxy: Proxy, chance: random.Random) -> None:
    """Let nothing through for a fifth of the connections, for a while."""
    pairs = chance.sample(proxy.pairs, len(proxy.pairs) // 5)
    for pair in pairs:
        pair.stall()
    await asyncio.sleep(chance.uniform(0.5, 3.0))
    for pair in pairs:
        pair.flow()


async def trickle(relay: RelayProcess, proxy: Proxy, chance: random.Random) -> None:
    """Let a fifth of the connections through a few bytes at a time, for a while."""
    pairs = chance.sample(proxy.pairs, len(proxy.pairs) // 5)
    for pair in pairs:
        pair.trickle()
    await asyncio.sleep(chance.uniform(0.5, 2.0))
    for pair in pairs:
        pair.flow()


async def lock(relay: RelayProcess, proxy: Proxy, chance: random.Random) -> None:
    """Hold the database of messages from another process, for longer than the relay waits for it."""
    thief = sqlite3.connect(relay.path, isolation_level=None, timeout=5)
    try:
        with contextlib.suppress(sqlite3.OperationalError):
            thief.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(chance.uniform(1.0, 3.0))
            thief.execute("ROLLBACK")
    finally:
        thief.close()


ALL: Final[dict[str, Fault]] = {
    fault.__name__: fault for fault in (kill, restart, freeze, reset, stall, trickle, lock)
}
"""By name."""
