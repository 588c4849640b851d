"""One channel as this side sees it, over all its connections: what a ``Channel`` stands on.

The encryption's session, the streams and the inbox live as long as the membership; the route (which
connection, which numbers) is new after every join. What the link calls is done in the step in which a
control is read, and never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from sealcast.protocol import controls
from sealcast.protocol.codes import Code, end, reply
from sealcast.protocol.descriptor import CLEAR, KEEP, MESSAGE_STREAM, Descriptor
from sealcast.protocol.errors import RemoteProtocolError, SealcastError
from sealcast.protocol.fields import U32
from sealcast.protocol.names import Kind
from sealcast.protocol.parts import RUN_BYTES, Place

from .backoff import Tries
from .comeback import Comeback
from .courier import Courier, Receipt
from .credentials import Credentials
from .e2ee import ChannelCrypto
from .errors import ChannelClosed, JoinRefused, LimitExceeded, NotConnected
from .events import Disconnected, Dropped, Left, Refused, Renewed, Resumed, TokenExpiring
from .grant import Grant
from .lock import ChannelLocks
from .metadata import ChannelMetadata
from .options import Options
from .reasons import plain_name, refused_with
from .reception import Reception
from .sealing import Sealing
from .sizes import largest_payload, sealed_size
from .states import States

if TYPE_CHECKING:
    from .link import Link

__all__ = ["Membership", "MembershipOwner", "Route"]

_ENVELOPE: Final = 16
"""Bytes of the envelope of a message; that of a frame is shorter."""
_LEFT: Final = end("left")


def _limit_of(kind: Kind) -> str:
    return "message" if kind is Kind.MESSAGE else "frame"


def _plain(counts: Mapping[str, int]) -> dict[str, int]:
    plain: Counter[str] = Counter()
    for name, number in counts.items():
        plain[plain_name(name)] += number
    return dict(plain)


class Route(NamedTuple):
    """How to send to the channel at present."""

    link: Link
    channel: int
    member: int
    epoch: str


class MembershipOwner(Protocol):
    """What a membership cannot decide alone."""

    def interrupted(self, membership: Membership, code: Code) -> bool:
        """The server ended it for a reason to come back; return whether that is under way."""
        ...

    def expiring(self, membership: Membership) -> bool:
        """The token is about to end; return whether a new one is under way."""
        ...

    def closed(self, membership: Membership) -> None:
        """It has ended for good."""
        ...


class Membership:
    """A user's place in a channel.

    Args:
        channel: the channel's name.
        user: the user's name.
        crypto: seals and opens, for the membership's whole life.
        credentials: where its tokens come from.
        options: sizes and times.
        owner: decides about coming back.
        since: where in the channel's messages an earlier run of the program was.

    """

    def __init__(
        self,
        channel: str,
        user: str,
        crypto: ChannelCrypto,
        credentials: Credentials,
        options: Options,
        owner: MembershipOwner,
        since: Place | None = None,
    ) -> None:
        self.channel = channel
        self.user = user
        self.crypto = crypto
        self.credentials = credentials
        self.options = options
        self.run = secrets.token_bytes(RUN_BYTES)
        """Names this membership's messages over connections."""
        self.reception = Reception(crypto, options, since)
        self.sealing = Sealing(crypto, self.reception, lambda: self.route)
        self.reception.stirred = self.sealing.settle
        self.route: Route | None = None
        """None while there is no membership on the server's side."""
        self.established = False
        """Whether it has been joined once."""
        self.leaving = False
        self.closed: Code | None = None
        """Why it has ended for good, once it has."""
        self.grant = Grant({}, 0.0, 0.0)
        self.delivery: str | None = None
        """What the server does with frames that this side does not take in time, if it has said so."""
        self.tries = Tries(options.backoff)
        self.streams: set[int] = set()
        """The numbers of the open streams."""
        self.not_before = 0.0
        """When the server will hear of a rejoin again, by the loop's clock."""
        self.renewing: Route | None = None
        """The route for which a renewal is under way."""
        self.renewed_at = float("-inf")
        """When the last renewal by a callback began, by the loop's clock."""
        self.courier = Courier(self)
        self.comeback = Comeback(
            self.reception.position,
            self.reception.inbox,
            lambda: self.courier.uncertain,
            lambda: self.options.timeout,
        )
        self.metadata = ChannelMetadata(self)
        self.states = States(self)
        self.locks = ChannelLocks(self)
        self._goes_on = since is not None
        """Whether the next join goes on from somewhere, so that what was missed is to be told."""
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._message = Descriptor(Kind.MESSAGE, stream=MESSAGE_STREAM, version=crypto.version)
        self._kept = Descriptor(Kind.MESSAGE, KEEP, stream=MESSAGE_STREAM, version=crypto.version)

    def __repr__(self) -> str:
        return f"<Membership {self.channel!r} of {self.user!r}>"

    # --- sending ---

    def require(self, kind: Kind) -> None:
        """Raise ChannelClosed or NotPermitted unless *kind* may be sent through this membership."""
        self.check_open()
        self.grant.require(kind, self._loop.time())

    def payload_max(self, kind: Kind) -> int | None:
        """Return the largest payload of a kind that the server takes, as far as it has named a limit."""
        most = self.route.link.limit(_limit_of(kind)) if self.route is not None else None
        return None if most is None else largest_payload(self.crypto, kind, most)

    def check_size(self, kind: Kind, length: int) -> int:
        """Return how large a payload of *length* will be at most on the wire, below WebSocket.

        Raises:
            LimitExceeded: larger than ``welcome`` announced, or than what frames are padded to.

        """
        size = sealed_size(self.crypto, kind, length)
        most = self.route.link.limit(_limit_of(kind)) if self.route is not None else None
        if size is None or (most is not None and size > most):
            what = f"a payload of {length} bytes"
            raise LimitExceeded(what, largest_payload(self.crypto, kind, U32 if most is None else most))
        return size + _ENVELOPE

    def send_frame(self, descriptor: Descriptor, payload: bytes) -> bool:
        """Seal and queue a frame; return False, with nothing sealed, when it cannot be sent now.

        Raises:
            LimitExceeded: the payload is too large.
            SealError: it cannot be sealed.

        """
        route, size = self.route, self.check_size(descriptor.kind, len(payload))
        if route is None or not route.link.fits(size):
            return False
        route.link.send_frame(route.channel, route.member, self.sealing.seal(descriptor, payload))
        return True

    async def send(self, payload: bytes, keep: bool, timeout: float) -> Receipt:
        """Send a message and wait for its ack; see ``Channel.send``."""
        return await self.courier.send(payload, self._kept if keep else self._message, timeout)

    async def changed(self) -> None:
        """Wait until the route has changed; raises ChannelClosed when there will be none."""
        self.check_open()
        self._changed.clear()
        await self._changed.wait()

    def _tell_waiting(self) -> None:
        self._changed.set()
        self.courier.changed()

    def check_open(self) -> None:
        """Raise ChannelClosed when the membership has ended, or is about to."""
        if self.closed is not None or self.leaving:
            raise ChannelClosed(self.closed)

    # --- the course of a membership ---

    def joined(self, link: Link, joined: controls.Joined) -> None:
        """Take the answer to a join.

        Raises:
            ChannelClosed: nobody wants to be a member any more.
            JoinRefused: the channel relays sealed frames only, and there is no key.
            RemoteProtocolError: the answer contradicts itself.

        """
        self.check_open()
        if self.crypto.version == CLEAR and joined.policy.get("encryption") != "optional":
            raise JoinRefused(reply("encryption_required"))
        if any(info.member == joined.member for info in joined.members):
            raise RemoteProtocolError("this side's own number was given to another member")
        now = self._loop.time()
        self.comeback.abort()  # of an answer that broke off, with its connection
        missed = self.reception.position.move_to(joined.epoch, joined.offset, joined.recovered)
        if self.comeback.under_way:
            self.comeback.begin()
        elif self._goes_on:
            self.reception.tell(Resumed(missed == 0, missed))
        change = self.reception.replace_members(joined.members)
        if self.established:
            self.reception.tell_change(change)
        self.reception.recall(joined.authors)
        self.grant = Grant(joined.grant, joined.expires_in, now)
        delivery = joined.policy.get("delivery")
        self.delivery = None if delivery is None else plain_name(delivery)
        self.route = Route(link, joined.channel, joined.member, joined.epoch)
        link.routes[joined.channel] = self
        self.sealing.settle()
        self.states.joined(joined.members)
        self.established = self._goes_on = True
        self.tries.succeeded(now)
        if self.comeback.under_way:
            self._ask_whether_all_has_come(self.route)
        self._tell_waiting()

    def _ask_whether_all_has_come(self, route: Route) -> None:
        try:
            ping = route.link.submit(controls.Ping(), self.options.timeout, 0)
        except LimitExceeded:
            self.comeback.passed()
            return

        def passed(answer: asyncio.Future[controls.Control]) -> None:
            if self.route is route and not answer.cancelled() and answer.exception() is None:
                self.comeback.passed()

        ping.settled.add_done_callback(passed)

    def message(self, number: int, offset: int, data: bytes) -> None:
        """A message came in."""
        until = self.reception.position.until
        self.reception.message(number, offset, data)
        if until is not None:
            (self.comeback.passed if offset > until else self.comeback.consider)()

    def acknowledged(self, offset: int) -> None:
        """An own message has its place."""
        self.reception.position.acknowledged(offset)
        self.comeback.consider()

    def left(self, code: Code) -> None:
        """The server ended the membership, or has answered our leave."""
        self.route = None
        self.courier.interrupted()
        self.sealing.stop()
        self.tries.ended(self._loop.time())
        if self.leaving or not self._owner.interrupted(self, code):
            self.close(code)
        else:
            self._interrupt(code, True)

    def lost(self, code: Code, will_retry: bool) -> None:
        """The connection ended."""
        if not self.established or self.closed is not None:
            return
        was_there, self.route = self.route is not None, None
        self.courier.interrupted()
        self.sealing.stop()
        if self.leaving:
            self.close(_LEFT)
            return
        if was_there:
            self.tries.ended(self._loop.time())
            self._interrupt(code, will_retry)
        if not will_retry:
            self.close(code)

    def close(self, code: Code, message: str | None = None) -> None:
        """End for good: the last event follows, and nothing can be sent any more."""
        if self.closed is not None:
            return
        self.closed = code
        if self.route is not None and not self.leaving:
            self.sealing.part()
        route, self.route = self.route, None
        self.sealing.stop()
        if route is not None and not self.leaving:
            route.link.leave_quietly(route.channel)
        self.comeback.abort()
        self.locks.ended()
        self.reception.end(Left(code.number, code.name, code.message if message is None else message))
        self._tell_waiting()
        self._owner.closed(self)

    async def leave(self) -> None:
        """Leave the channel; return when the server has confirmed it, or cannot."""
        route = self.route
        first, self.leaving = not self.leaving, True
        self._tell_waiting()
        if not first:
            while self.closed is None:
                self._changed.clear()
                await self._changed.wait()
        if self.closed is not None:
            return
        try:
            if route is not None:
                self.sealing.part()
                leave = controls.Leave(channel=route.channel)
                with contextlib.suppress(SealcastError):
                    await route.link.request(leave, self.options.timeout, route.channel)
        finally:
            if route is not None and route.link.routes.get(route.channel) is self:
                del route.link.routes[route.channel]
            self.close(_LEFT)

    async def renew(self, token: str) -> None:
        """Present a new token; see ``Channel.renew``."""
        self.check_open()
        route = self.route
        if route is None:
            raise NotConnected
        renew = controls.Renew(channel=route.channel, token=token)
        await route.link.request(renew, self.options.timeout, route.channel)
        self.credentials.replace(token)

    def told(self, control: controls.Control) -> None:
        """Take a control about this channel that has no part of its own above."""
        if isinstance(control, controls.MemberJoined):
            if self.route is not None and control.member == self.route.member:
                raise RemoteProtocolError("this side's own number was given to another member")
            self.reception.member_joined(control.member, control.user, control.hello)
            self.sealing.settle()
        elif isinstance(control, controls.MemberLeft):
            self._member_left(control.member, control.reason)
            self.sealing.settle()
        elif isinstance(control, controls.PresenceChanged):
            self._presence_changed(control)
        elif isinstance(control, controls.MemberState):
            self.states.told(control.member, control.data)
        elif isinstance(control, controls.Directed):
            self.sealing.directed(control)
        elif isinstance(control, controls.MetadataChanged):
            self.metadata.told(control)
        elif isinstance(control, controls.LockChanged):
            self.locks.told(control)
        elif isinstance(control, controls.Renewed):
            now = self._loop.time()
            self.grant = Grant(control.grant, control.expires_in, now)
            self.reception.tell(Renewed(control.expires_in, self.grant.left(now)))
        elif isinstance(control, controls.TokenExpiring):
            if not self._owner.expiring(self):
                self.reception.tell(TokenExpiring(control.seconds))
        elif isinstance(control, controls.Dropped):
            counts, reasons = _plain(control.counts), _plain(control.reasons or {})
            self.reception.stats.dropped_by_server.update(counts)
            self.reception.stats.dropped_reasons.update(reasons)
            self.reception.tell(Dropped(counts, "server", reasons))

    def _member_left(self, number: int, reason: str) -> None:
        self.states.left(number)
        self.reception.member_left(number, reason)

    def _presence_changed(self, changed: controls.PresenceChanged) -> None:
        """Take who came and went in a large channel; this side and known members may be among them."""
        for departure in changed.left:
            self._member_left(departure.member, departure.reason)
        own = None if self.route is None else self.route.member
        for info in changed.joined:
            if info.member != own and info.member not in self.reception.roster:
                self.reception.member_joined(info.member, info.user, info.hello)
                self.states.told(info.member, info.state)
        self.sealing.settle()

    def refused(self, error: controls.Error) -> None:
        """The server refused frames of ours."""
        code, count = refused_with(error), error.count or 1
        self.reception.stats.frames_refused += count
        self.reception.tell(Refused(code.number, code.name, code.message, count, error.retry_after))

    def _interrupt(self, code: Code, will_retry: bool) -> None:
        self.reception.stats.disconnects += 1
        if self.comeback.abort() and will_retry:
            return  # it has been told, and that it was resumed has not
        self.reception.tell(Disconnected(code.number, code.name, will_retry, code.message))
