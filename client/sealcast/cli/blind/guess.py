"""The guessing, spread over workers in processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..signals import KILL, signal_child
from .failures import GuessFailed
from .guesser import order
from .needles import Hit, Text
from .unlock import Lock
from .windows import BLOCK, Share, Target

__all__ = ["Guessing", "guess", "target"]

WORKERS_MAX: Final = 4
_LINE_MAX: Final = 1 << 24


@dataclass(slots=True)
class Guessing:
    """What came of it."""

    key_size: int
    frames: int = 0
    """Captured frames, of each of which every window was tried as the key."""
    size: int = 0
    """Bytes of memory."""
    candidates: int = 0
    """Different windows that were tried."""
    complete: bool = True
    """False when the most that may be tried was reached before the end."""
    seconds: float = 0.0
    found: list[Hit] = field(default_factory=list)


def target(lock: Lock) -> Target:
    """Return what the search is told of a frame: everything but the key."""
    return Target(lock.mode, lock.nonce, lock.aad, lock.body, lock.opened[:BLOCK])


async def guess(
    texts: Sequence[Text],
    key_size: int,
    locks: Sequence[Lock],
    *,
    stride: int,
    most: int,
    progress: Callable[[float], None],
) -> Guessing:
    """Try every window of *texts* as the key of any captured frame.

    Args:
        texts: the memory.
        key_size: bytes of a window: 16 or 32.
        locks: the frames, with keys of that size.
        stride: bytes from one window to the next.
        most: stop after about so many candidates.
        progress: told now and then which share of the memory is done, 0 to 1.

    Raises:
        GuessFailed: a worker ended early.

    """
    workers = min(WORKERS_MAX, os.cpu_count() or 1)
    size = sum(len(text.data) for text in texts)
    done = [0] * workers
    begun = time.monotonic()

    def told(index: int, bytes_done: int) -> None:
        done[index] = bytes_done
        progress(sum(done) / (workers * size))

    shares = [Share(index, workers, stride, -(-most // workers)) for index in range(workers)]
    targets = [target(lock) for lock in locks]
    asked = [_ask(texts, key_size, targets, share, told) for share in shares]
    # Not a task group: that would interrupt one worker's end because of another's failure.
    answers = await asyncio.gather(*asked, return_exceptions=True)
    result = Guessing(key_size, len(locks), size, seconds=time.monotonic() - begun)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        result.candidates += answer["candidates"]
        result.complete &= answer["complete"]
        for index, at, which in answer["found"]:
            text = texts[index]
            result.found.append(Hit(f"the key of {locks[which].name}", "raw", text.place, text.address + at))
    return result


async def _ask(
    texts: Sequence[Text],
    key_size: int,
    targets: Sequence[Target],
    share: Share,
    told: Callable[[int, int], None],
) -> dict[str, Any]:
    """Give one worker its share; return its last line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sealcast.cli.blind.guesser",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_MAX,
    )
    assert process.stdin is not None, "a pipe"
    assert process.stdout is not None, "a pipe"
    try:
        with contextlib.suppress(ConnectionError):  # then there is no answer either
            process.stdin.write(order(key_size, targets, share, [len(text.data) for text in texts]))
            for text in texts:
                process.stdin.write(text.data)
                await process.stdin.drain()
        while line := await process.stdout.readline():
            answer: dict[str, Any] = json.loads(line)
            if "found" in answer:
                return answer
            told(share.index, answer["done"])
        raise GuessFailed("a worker that tries keys ended before it was done")
    finally:
        signal_child(process, KILL)
        await process.communicate()  # closes its pipes, and waits
