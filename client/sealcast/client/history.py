"""Reading back what a channel has kept, page by page."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from sealcast.protocol import controls
from sealcast.protocol.controls import HISTORY_MAX, Past
from sealcast.protocol.errors import RemoteProtocolError
from sealcast.protocol.fields import U64

from .asking import ask
from .e2ee.history import Kept
from .events import Message
from .membership import Membership, Route

__all__ = ["History"]

_AT_A_TIME: Final = 16
"""Messages that are opened before others get their turn on the loop."""


class History(AsyncIterator[Message]):
    """Messages that the channel has kept, the oldest first; made by ``Channel.history``.

    ::

        history = room.history(limit=50)
        async for message in history:
            print(message.user, message.data)
        if history.more:
            older = room.history(limit=50, before=history.first)

    With ``after`` pages are fetched as they are needed. Without it the newest messages are wanted, and all
    of them are fetched before the first one is yielded. It ends early, with ``more``, when what is fetched
    has as many bytes as may wait for the application, and when the channel begins a new epoch meanwhile.
    """

    __slots__ = (
        "_after",
        "_before",
        "_bytes",
        "_epoch",
        "_left",
        "_membership",
        "_over",
        "_ready",
        "_timeout",
        "first",
        "last",
        "more",
        "unopened",
    )

    def __init__(
        self, membership: Membership, limit: int, before: int | None, after: int | None, timeout: float
    ) -> None:
        """Use ``Channel.history``."""
        self.unopened = 0
        """How many messages were passed over, because they could not be opened. ``SealFailure`` says why."""
        self.more = False
        """Whether there is more in the direction that was asked for."""
        self.first: int | None = None
        """The offset of the oldest message that was fetched, opened or not; None before the first one."""
        self.last: int | None = None
        """The offset of the newest one."""
        self._membership = membership
        self._left = limit
        self._before = before
        self._after = after
        self._timeout = timeout
        self._ready: deque[Message] = deque()
        self._bytes = 0
        self._epoch: str | None = None
        self._over = limit == 0

    def __repr__(self) -> str:
        return f"<History of {self._membership.channel!r}: {len(self._ready)} ready, {self._left} to come>"

    def __aiter__(self) -> History:
        return self

    async def __anext__(self) -> Message:
        while not self._ready or (self._after is None and not self._over):
            if self._over:
                raise StopAsyncIteration
            await self._fetch()
        message = self._ready.popleft()
        self._bytes -= len(message.data)
        return message

    async def _fetch(self) -> None:
        limit = min(self._left, HISTORY_MAX)
        after, before = self._after, self._before

        def question(route: Route) -> controls.History:
            if after is not None:
                return controls.History(channel=route.channel, limit=limit, after=after)
            return controls.History(
                channel=route.channel, limit=limit, before=U64 if before is None else before
            )

        past = await ask(self._membership, question, self._timeout, Past)
        self._check(past, limit)
        if self._epoch not in (None, past.epoch):
            self.more = self._over = True
            return
        self._epoch, self.more = past.epoch, past.more
        page = await self._open(past)
        if past.messages:
            first, last = past.messages[0].offset, past.messages[-1].offset
            self.first = first if self.first is None else min(self.first, first)
            self.last = last if self.last is None else max(self.last, last)
            self._left -= len(past.messages)
            if after is None:
                self._before = first
                self._ready.extendleft(reversed(page))
            else:
                self._after = last
                self._ready.extend(page)
        self._bytes += sum(len(message.data) for message in page)
        full = after is None and self._bytes >= self._membership.options.inbox_bytes
        self._over = not past.more or not past.messages or not self._left or full

    def _check(self, past: Past, limit: int) -> None:
        """Raise RemoteProtocolError unless a page is one, so that each is followed by another one."""
        offsets = [kept.offset for kept in past.messages]
        low = 0 if self._after is None else self._after
        high = U64 + 1 if self._after is not None or self._before is None else self._before
        rising = all(one < other for one, other in itertools.pairwise(offsets))
        if len(offsets) > limit or not rising or not all(low < offset < high for offset in offsets):
            raise RemoteProtocolError("a page of history with other messages than were asked for")

    async def _open(self, past: Past) -> list[Message]:
        reception = self._membership.reception
        authors = [(author.member, author.user, author.hello) for author in past.authors]
        at = {kept.offset: kept.at for kept in past.messages}
        kept = [Kept(one.offset, one.member, one.data) for one in past.messages]
        page: list[Message] = []
        reopened = self._membership.crypto.reopen(past.epoch, kept, authors)
        for count, (offset, member, user, opened, error) in enumerate(reopened, 1):
            if opened is not None:
                page.append(Message(member, user, opened.payload, offset, past.epoch, True, at[offset]))
            elif error is not None:
                self.unopened += 1
                reception.refused_kept(member, user, error)
            if not count % _AT_A_TIME:
                await asyncio.sleep(0)
        return page
