"""A channel that was joined, as the application holds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

from sealcast.protocol.descriptor import FIRST_FRAME_STREAM, LAST_FRAME_STREAM
from sealcast.protocol.fields import U64
from sealcast.protocol.names import Kind
from sealcast.protocol.parts import Place

from .courier import Receipt
from .errors import LimitExceeded
from .events import Event
from .history import History
from .membership import Membership
from .payload import Payload, payload_bytes
from .roster import Member
from .shared import Shared
from .sizes import FRAME_KINDS
from .stats import Stats
from .stream import KINDS, Stream

__all__ = ["Channel"]


class Channel(Shared, AsyncIterator[Event]):
    """A channel and this user's place in it; made by ``Client.join``.

    ::

        receipt = await room.send(b"hello")
        mic = room.stream("audio")
        async for event in room:
            match event:
                case Message(user=user, data=data): ...
                case Frame(kind="audio", data=data): ...

    It outlives connections: while the client reconnects, ``send`` waits and frames are dropped. The
    events end with ``Left``.
    """

    __slots__ = ("_membership",)

    def __init__(self, membership: Membership) -> None:
        """Use ``Client.join``."""
        self._membership = membership

    def __repr__(self) -> str:
        standing = self._membership.closed or ("joined" if self.joined else "interrupted")
        return f"<Channel {self.name!r} of {self.user!r}: {standing}, {len(self.members)} others>"

    # --- what it is ---

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._membership.channel

    @property
    def user(self) -> str:
        """This user's name."""
        return self._membership.user

    @property
    def member(self) -> int | None:
        """This user's member number; another one after each reconnect, None while there is none."""
        route = self._membership.route
        return None if route is None else route.member

    @property
    def members(self) -> Mapping[int, Member]:
        """The other members by number, kept up to date; those of before while interrupted."""
        return self._membership.reception.roster.view

    @property
    def states(self) -> Mapping[int, bytes]:
        """What the others say of themselves, by member number; changes come as ``MemberState``."""
        return self._membership.states.view

    @property
    def joined(self) -> bool:
        """Whether the membership stands at this moment."""
        return self._membership.route is not None

    @property
    def closed(self) -> bool:
        """Whether the membership has ended for good."""
        return self._membership.closed is not None

    @property
    def code(self) -> str | None:
        """The channel code: 60 digits, the same for all who see the same sessions; None without a key.

        For people to compare by a way that the relay is not on. It changes when somebody joins or leaves.
        """
        return self._membership.crypto.code

    @property
    def epoch(self) -> str:
        """Names the present run of message offsets."""
        return self._membership.reception.position.epoch

    @property
    def position(self) -> Place | None:
        """The place up to which the application has taken every message; for ``Client.join(since=...)``.

        What waits in the inbox is behind it. To keep it is up to the application, once it has dealt with what
        it has taken. None while nothing has been joined.
        """
        return self._membership.reception.taken

    @property
    def grant(self) -> Mapping[str, float]:
        """Seconds for which ``audio``, ``video`` and ``data`` may still be published; absent: not at all."""
        now = asyncio.get_running_loop().time()
        return MappingProxyType(self._membership.grant.left(now))

    @property
    def expires_in(self) -> float:
        """Seconds until the membership ends, unless its token is renewed."""
        return max(0.0, self._membership.grant.ends - asyncio.get_running_loop().time())

    @property
    def delivery(self) -> str | None:
        """What the server does with frames that this side does not take in time.

        ``realtime``: it drops what is worth least. ``latest``: it keeps the newest of each stream.
        ``reliable``: it drops nothing and disconnects, to be resumed. None when it has not said.
        """
        return self._membership.delivery

    @property
    def frame_max(self) -> int | None:
        """The largest payload of a frame of any kind, in bytes; None when the server named no limit."""
        sizes = [most for kind in FRAME_KINDS if (most := self._membership.payload_max(kind)) is not None]
        return min(sizes, default=None)

    @property
    def message_max(self) -> int | None:
        """The largest payload of a message, in bytes; None when the server named no limit."""
        return self._membership.payload_max(Kind.MESSAGE)

    @property
    def stats(self) -> Stats:
        """What was counted since the join; a live object."""
        return self._membership.reception.stats

    # --- sending ---

    async def send(self, data: Payload, *, keep: bool = False, timeout: float | None = None) -> Receipt:
        """Send a message; return when the server has given it its place in the channel.

        It waits while the connection is interrupted, its queue is full, or the server has asked to wait.
        What an interruption left without an answer is sent again, and placed once. Cancelling it does not
        take a message back that was sent already.

        Args:
            data: the payload, at most ``message_max`` bytes.
            keep: mark it as meant for the channel's history.
            timeout: seconds for the whole of it; the client's ``timeout`` when None.

        Raises:
            ChannelClosed: the membership has ended. Nothing was sent.
            NotPermitted: the grant does not include ``data``. Nothing was sent.
            LimitExceeded: too large, or the queue stayed full. Nothing was sent.
            NotConnected: no connection came back in time. Nothing was sent.
            RequestRefused: the server refused it, and says why. It was not delivered.
            RequestTimeout: no ack in time. Whether it was delivered is not known.
            DeliveryUnknown: a connection had taken it, and then the time was up, the membership ended for
                good or the channel began a new epoch. Whether it was delivered is not known.
            SealError: it could not be sealed. Nothing was sent.

        """
        payload = payload_bytes(data)
        return await self._membership.send(
            payload, keep, self._membership.options.timeout if timeout is None else timeout
        )

    def stream(self, kind: str, *, priority: int | None = None) -> Stream:
        """Return a new stream of frames.

        Args:
            kind: ``audio``, ``video``, ``screen``, ``data`` or ``custom``.
            priority: 0-7, under pressure the lowest goes first; by kind when None, audio highest.

        Raises:
            ValueError: no such kind or priority.
            ChannelClosed: the membership has ended.
            NotPermitted: the grant does not include this kind.
            LimitExceeded: 254 streams are open already; close one.

        """
        if kind not in KINDS:
            raise ValueError(f"a stream's kind is one of {', '.join(KINDS)}")
        if priority is not None and not 0 <= priority <= 7:
            raise ValueError("a stream's priority is a number from 0 to 7")
        membership = self._membership
        membership.require(KINDS[kind])
        return Stream(membership, KINDS[kind], self._free_stream(), priority)

    def set_key(self, epoch: int, secret: bytes) -> None:
        """Seal with another secret from now on; give it to the other members by your own means.

        Raises:
            EpochRefused: the epoch does not come after the present one.
            KeyMissing: the channel was joined with ``Key.none()``.
            ValueError: the secret does not have 32 bytes.
            SealError: keys are managed: the members make them.

        """
        self._membership.sealing.set_key(epoch, secret)

    def rotate(self, secret: bytes) -> int:
        """Seal with another secret in the next epoch from now on; return its number.

        Frames that others seal in an epoch whose secret is not here yet wait for it, up to two seconds.
        Raises like ``set_key``.
        """
        return self._membership.sealing.rotate(secret)

    def reconsider(self) -> list[Member]:
        """Ask again whether members that were not trusted are; return those that are now.

        To be called after ``TrustStore.accept``, or when ``verify_member`` would answer differently.
        """
        roster = self._membership.reception.roster
        admitted = self._membership.sealing.reconsider(roster.hellos())
        for number in admitted:
            roster.verify(number, True)
        return [roster[number] for number in admitted]

    def history(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        after: int | None = None,
        timeout: float | None = None,
    ) -> History:
        """Return messages that the channel has kept, own ones included, the oldest first.

        The newest ones; with ``before`` the newest below that offset, with ``after`` the oldest above it.

        Args:
            limit: how many, at most; those that cannot be opened count.
            before: an offset.
            after: an offset; not together with *before*.
            timeout: seconds for each page; the client's ``timeout`` when None.

        Iterating raises:
            ChannelClosed: the membership has ended.
            NotConnected: no connection came back in time.
            RequestRefused: the server said no: ``history_off`` when the channel keeps none.
            RequestTimeout: it did not answer in time.

        Raises:
            ValueError: the arguments do not go together, or are below zero.

        """
        if before is not None and after is not None:
            raise ValueError("history is asked for before an offset or after one, not both")
        if limit < 0 or not 0 <= (before or 0) <= U64 or not 0 <= (after or 0) <= U64:
            raise ValueError("a limit and offsets are numbers from 0 on")
        membership = self._membership
        seconds = membership.options.timeout if timeout is None else timeout
        return History(membership, limit, before, after, seconds)

    # --- the course of the membership ---

    async def renew(self, token: str) -> None:
        """Present a new token, so that the membership lasts longer or may do more.

        Raises:
            ChannelClosed: the membership has ended.
            NotConnected: it is interrupted; the token is not kept.
            RequestRefused: the server refused the token, and says why; the old one still counts.
            RequestTimeout: the server did not answer.
            Disconnected: the connection ended before the answer.

        """
        await self._membership.renew(token)

    async def set_state(self, data: Payload | None, *, timeout: float | None = None) -> None:
        """Tell the others something of this side that lasts as long as its membership; None takes it away.

        For what is small and changes seldom: a name to show, a raised hand. It is sealed and signed when
        there is a key, and set again by itself after an interruption. Where keys change with the members,
        newcomers cannot open what was set before they came: set it again when somebody joins.

        Raises:
            LimitExceeded: more than about 900 bytes.
            ChannelClosed, NotConnected, RequestRefused, RequestTimeout: it was not set.
            SealError: it could not be sealed.

        """
        payload = None if data is None else payload_bytes(data)
        await self._membership.states.set(
            payload, self._membership.options.timeout if timeout is None else timeout
        )

    async def leave(self) -> None:
        """Leave the channel. The events end with ``Left``; leaving again does nothing."""
        await self._membership.leave()

    def __aiter__(self) -> Channel:
        return self

    async def __anext__(self) -> Event:
        return await self._membership.reception.inbox.get()

    def _free_stream(self) -> int:
        streams = self._membership.streams
        for number in range(FIRST_FRAME_STREAM, LAST_FRAME_STREAM + 1):
            if number not in streams:
                streams.add(number)
                return number
        raise LimitExceeded(
            "the number of open streams", LAST_FRAME_STREAM - FIRST_FRAME_STREAM + 1, "streams"
        )
