"""Asking the server something about a channel, over connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sealcast.protocol.controls import Control

from .errors import Disconnected, NotConnected, RequestTimeout

if TYPE_CHECKING:
    from .membership import Membership, Route

__all__ = ["ask"]

C = TypeVar("C", bound=Control)


async def ask(membership: Membership, make: Callable[[Route], Control], timeout: float, kind: type[C]) -> C:
    """Ask something that does no harm twice: when a connection ends, it is asked again on the next one.

    Args:
        membership: the channel.
        make: makes the request for a route.
        timeout: seconds for the whole of it.
        kind: what answers it.

    Raises:
        ChannelClosed: the membership has ended.
        NotConnected: no connection came back in time.
        RequestRefused: the server said no.
        RequestTimeout: it did not answer in time.

    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    try:
        async with asyncio.timeout_at(deadline) as limit:
            while True:
                membership.check_open()
                route = membership.route
                if route is None:
                    await membership.changed()
                    continue
                with contextlib.suppress(Disconnected):
                    answer = await route.link.request(make(route), deadline - loop.time(), route.channel)
                    assert isinstance(answer, kind)
                    return answer
                if membership.route is route:
                    await membership.changed()
    except TimeoutError:
        if not limit.expired():
            raise
        raise (NotConnected() if membership.route is None else RequestTimeout()) from None
