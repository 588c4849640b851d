"""Messages on their way out: each is sent until it has an answer, over connections.

A message keeps its place in the line and its ref for as long as ``send`` waits. What a connection took
along unanswered is sent again on the next one, before anything new and sealed anew. The server knows it by
the run of the membership and the ref, and answers again without delivering it twice. A new epoch of the
channel shows that it has forgotten: then nobody can know what became of the message.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

from sealcast.protocol import controls
from sealcast.protocol.codes import end
from sealcast.protocol.descriptor import Descriptor
from sealcast.protocol.names import Kind

from .backoff import HINT_MAX
from .errors import ChannelClosed, LimitExceeded, NotConnected, RequestRefused, RequestTimeout, SealError
from .grant import NotPermitted
from .line import Line
from .outgoing import OutgoingClosed
from .request import DeliveryUnknown, Request

if TYPE_CHECKING:
    from .membership import Membership, Route

__all__ = ["RECOVERY", "Courier", "Receipt"]

RECOVERY: Final = "recovery"
"""The feature of a server that knows a message that comes again."""
_LEFT: Final = end("left")


class Receipt(NamedTuple):
    """What the ack of a message says: its place in the channel."""

    offset: int
    epoch: str
    repeated: bool = False
    """Whether it was sent more than once, and had its place already: it was not delivered again."""


class _Message:
    __slots__ = ("attempts", "deadline", "descriptor", "epoch", "lost", "number", "payload", "ref", "refused")

    def __init__(self, number: int, payload: bytes, descriptor: Descriptor, deadline: float) -> None:
        self.number = number
        self.payload = payload
        self.descriptor = descriptor
        self.deadline = deadline
        self.ref: int | None = None
        """The ref under which it goes, once a connection has taken it."""
        self.epoch = ""
        """The channel's epoch when one did."""
        self.lost: DeliveryUnknown | None = None
        """How the last connection that took it ended without an answer."""
        self.refused: RequestRefused | None = None
        """What the server said when it refused it for the moment."""
        self.attempts = 0

    def is_known_to(self, route: Route) -> bool:
        """Say whether the server would know it again; one that does not might deliver it twice."""
        return route.epoch == self.epoch and RECOVERY in route.link.welcome.features


class Courier:
    """Sends the messages of one membership."""

    __slots__ = ("_flying", "_line", "_loop", "_membership", "_not_before", "_uncertain")

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._loop = asyncio.get_running_loop()
        self._line = Line()
        self._flying: dict[int, _Message] = {}
        self._uncertain: set[int] = set()
        self._not_before = 0.0
        """When the server will take the next message, by the loop's clock."""

    @property
    def uncertain(self) -> int:
        """How many messages a connection took that ended without an answer, and that still wait for one."""
        return len(self._uncertain)

    async def send(self, payload: bytes, descriptor: Descriptor, timeout: float) -> Receipt:
        """Send a message until it is acknowledged; see ``Channel.send``."""
        message = _Message(self._line.join(), payload, descriptor, self._loop.time() + timeout)
        try:
            async with asyncio.timeout_at(message.deadline) as limit:
                return await self._deliver(message)
        except TimeoutError:
            if not limit.expired():
                raise
            raise self._too_late(message, timeout) from None
        finally:
            self._line.leave(message.number)
            self._flying.pop(message.number, None)
            self._settle(message)

    def interrupted(self) -> None:
        """The membership has no connection any more: what it took unanswered goes first on the next one."""
        for number in self._flying:
            self._uncertain.add(number)
            self._line.enter(number)
        self._flying.clear()

    def changed(self) -> None:
        """The membership has changed for those who wait, perhaps for good."""
        self._line.wake()

    async def _deliver(self, message: _Message) -> Receipt:
        while True:
            try:
                route, request = await self._hand_over(message)
            except (ChannelClosed, NotPermitted, LimitExceeded, SealError) as error:
                if message.lost is None:
                    raise
                raise self._unknown(message) from error
            try:
                ack = await route.link.answer(request)
            except RequestRefused as refused:
                self._flying.pop(message.number, None)
                if not self._pace(message, refused):
                    if message.lost is None:
                        raise
                    # It says nothing about the first time that the message was sent.
                    raise self._unknown(message) from refused
            except DeliveryUnknown as lost:
                message.lost = lost
                if self._membership.closed is not None or self._membership.leaving:
                    raise
            else:
                assert isinstance(ack, controls.Ack)
                return Receipt(ack.offset, route.epoch, ack.repeated)

    async def _hand_over(self, message: _Message) -> tuple[Route, Request]:
        membership = self._membership
        while True:
            membership.require(Kind.MESSAGE)
            await self._line.wait(message.number)
            route = membership.route
            if not self._line.is_first(message.number):
                continue
            if route is None:
                await membership.changed()
                continue
            if message.lost is not None and not message.is_known_to(route):
                raise self._unknown(message)
            wait = self._not_before - self._loop.time()
            if wait > 0:
                await membership.options.sleep(wait)
                self._not_before = 0.0
                continue
            size = membership.check_size(Kind.MESSAGE, len(message.payload))
            try:
                async with route.link.turn(size):
                    if membership.route is route and self._line.is_first(message.number):
                        membership.require(Kind.MESSAGE)
                        return route, self._put(message, route)
            except OutgoingClosed:
                # This connection takes no more: the next one will, or the membership ends.
                while membership.route is route:
                    await membership.changed()

    def _put(self, message: _Message, route: Route) -> Request:
        membership = self._membership

        def seal() -> bytes:
            return membership.sealing.seal(message.descriptor, message.payload)

        left = max(message.deadline - self._loop.time(), 0.0)
        request = route.link.send_message(route.channel, route.member, seal, left, message.ref)
        stats = membership.reception.stats
        if message.ref is None:
            stats.messages_sent += 1
        else:
            stats.messages_sent_again += 1
        message.ref, message.epoch = request.ref, route.epoch
        self._flying[message.number] = message
        self._line.leave(message.number)
        return request

    def _pace(self, message: _Message, refused: RequestRefused) -> bool:
        """Come back to the line after a refusal for the moment; return False if there is no use in it."""
        options, now = self._membership.options, self._loop.time()
        wait = refused.retry_after
        if wait is None:
            wait = options.backoff.seconds(message.attempts, options.chance())
        until = now + min(max(wait, 0.0), HINT_MAX)
        if not refused.temporary or until >= message.deadline:
            return False
        message.attempts += 1
        message.refused = refused
        self._not_before = max(self._not_before, until)
        self._line.enter(message.number)
        return True

    def _settle(self, message: _Message) -> None:
        """Note that nothing is uncertain about a message any more, or that nobody waits to know."""
        if message.number in self._uncertain:
            self._uncertain.discard(message.number)
            self._membership.comeback.consider()

    def _unknown(self, message: _Message) -> DeliveryUnknown:
        code = self._membership.closed
        if code is None and message.lost is not None:
            return message.lost
        return DeliveryUnknown(code or _LEFT, False)

    def _too_late(self, message: _Message, timeout: float) -> Exception:
        if message.number in self._flying:
            return RequestTimeout()
        if message.lost is not None:
            return message.lost
        if message.refused is not None:
            return message.refused
        if self._membership.route is None:
            return NotConnected(f"no connection within {timeout:g} s; nothing was sent")
        return LimitExceeded("what waits to be sent", self._membership.options.queue_bytes)
