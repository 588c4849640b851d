"""Requests of one connection and the answers they wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sealcast.protocol.codes import Code
from sealcast.protocol.controls import Control, Joined

from .errors import Disconnected

__all__ = ["DeliveryUnknown", "Request", "Undoing"]


class DeliveryUnknown(Disconnected):
    """The membership or connection ended before a message was acknowledged.

    Whether the members got it is not known. Sending it again may deliver it twice.
    """

    def __init__(self, code: Code, returns: bool) -> None:
        super().__init__(code, returns)
        self.args = (
            f"the membership or connection ended ({code}) before the message was acknowledged;"
            " whether it was delivered is not known",
        )


class Request:
    """Something asked of the server: a control, or a message that waits for its ack.

    Args:
        ref: what the answer will carry.
        channel: the number of the channel that it is about, 0 for a join.
        name: the channel's name, for a join, and for the leave that takes a late one back.
        message: whether it is a message.
        accept: called with the answer to a join, in the same step in which it is read: what the
            server sends right after it belongs to the membership already.

    """

    __slots__ = ("_future", "accept", "channel", "message", "name", "ref")

    def __init__(
        self,
        ref: int,
        channel: int,
        *,
        name: str = "",
        message: bool = False,
        accept: Callable[[Joined], None] | None = None,
    ) -> None:
        self.ref = ref
        self.channel = channel
        self.name = name
        self.message = message
        self.accept = accept
        self._future: asyncio.Future[Control] = asyncio.get_running_loop().create_future()

    @property
    def waiting(self) -> bool:
        """Whether somebody still waits for the answer."""
        return not self._future.done()

    @property
    def settled(self) -> asyncio.Future[Control]:
        """Done when there is an answer, or none will come."""
        return self._future

    def succeed(self, answer: Control) -> None:
        """Hand the answer over."""
        if self.waiting:
            self._future.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Let the wait end with an error."""
        if self.waiting:
            self._future.set_exception(error)
            self._future.exception()  # not a lost error when nobody waits for it any more

    def give_up(self) -> None:
        """Wait no longer: an answer that comes all the same is late."""
        self._future.cancel()

    def lost(self, code: Code, returns: bool) -> None:
        """Let the wait end because the membership or connection did."""
        self.fail(DeliveryUnknown(code, returns) if self.message else Disconnected(code, returns))

    async def answer(self) -> Control:
        """Wait for the answer; raises what the request failed with."""
        return await self._future


class Undoing:
    """Joins that nobody waits for any more, until it is settled what became of them.

    A server may still answer such a join with ``joined``, which is then taken back by a leave. Asking
    for the same channel before that is done would be refused, as it is joined already.
    """

    __slots__ = ("_settled",)

    def __init__(self) -> None:
        self._settled: dict[str, asyncio.Event] = {}

    def begin(self, name: str) -> None:
        """Note that a join of this channel was given up."""
        if name:
            self._settled.setdefault(name, asyncio.Event())

    def settle(self, name: str) -> None:
        """Note that nothing is left of it."""
        event = self._settled.pop(name, None)
        if event is not None:
            event.set()

    def settle_all(self) -> None:
        """The connection has ended, and everything with it."""
        for name in list(self._settled):
            self.settle(name)

    async def wait(self, name: str, timeout: float) -> None:
        """Wait until nothing is left of an earlier join of this channel, but not for ever."""
        event = self._settled.get(name)
        if event is not None:
            try:
                async with asyncio.timeout(timeout) as limit:
                    await event.wait()
            except TimeoutError:
                if not limit.expired():
                    raise
