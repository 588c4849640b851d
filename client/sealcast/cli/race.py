"""Several things at once, until the first of them is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

__all__ = ["race"]


async def race(*runners: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends, cancel the others, and raise what the first one raised, if anything.

    Of several that have ended in the same turn, the first in the list counts.
    """
    tasks = [asyncio.ensure_future(runner) for runner in runners]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await next(task for task in tasks if task.done())
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
