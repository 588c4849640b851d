"""Two members of one channel, who send each other canaries of every kind and look for the other's.

They live in the command's own process and use the SDK as any application does.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from sealcast.client import Channel, Client
from sealcast.client.events import Frame, MemberJoined, Message
from sealcast.client.tokens import mint

from .providers import Material, Provider

__all__ = ["KINDS", "USERS", "App", "Canary", "Member", "Pace", "Pair", "new_canary"]

USERS: Final = ("ann", "bob")
KINDS: Final = ("message", "audio", "video", "screen", "data", "custom")

_SIZES: Final = {"message": 120, "audio": 60, "video": 1100, "screen": 700, "data": 90, "custom": 70}
"""Bytes of random filling after the canary and the number."""
_MEETING_TIMEOUT: Final = 15.0
_ARRIVAL_TIMEOUT: Final = 10.0
_TOKEN_SECONDS: Final = 3600


@dataclass(frozen=True, slots=True)
class Canary:
    """A text that stands in everything of one kind that one user sends, and nowhere else in the world."""

    user: str
    kind: str
    text: bytes = field(repr=False)


def new_canary(user: str, kind: str) -> Canary:
    """Return a fresh canary: 40 random letters and digits, without a beginning common to all."""
    return Canary(user, kind, secrets.token_hex(20).encode())


@dataclass(frozen=True, slots=True)
class Pace:
    """How much is sent."""

    seconds: float
    rate: float = 10.0
    """Frames per second of each kind and member."""

    @property
    def rounds(self) -> int:
        """Frames of each kind and member."""
        return max(2, round(self.seconds * self.rate))


@dataclass(frozen=True, slots=True)
class App:
    """An app of the relay, made for one run."""

    app_id: str = field(default_factory=lambda: secrets.token_hex(16))
    certificate: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def token(self, channel: str, user: str) -> str:
        """Mint a token that allows everything in *channel*."""
        return mint(self.app_id, self.certificate, channel, user, ttl=_TOKEN_SECONDS)


class Member:
    """One of the two.

    Args:
        room: the channel it has joined.
        own: the canaries that it sends, by kind.
        others: the canaries that it expects.

    """

    def __init__(self, room: Channel, own: dict[str, Canary], others: dict[str, Canary]) -> None:
        self.sent: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()
        """What arrived with the other's canary in it, by kind."""
        self._room = room
        self._own = own
        self._others = others
        self._news = asyncio.Condition()
        self._met = any(member.user in USERS for member in room.members.values())

    async def meet(self) -> None:
        """Wait for the other."""
        async with self._news:
            await self._news.wait_for(lambda: self._met)

    async def speak(self, pace: Pace) -> None:
        """Send canaries of every kind, message and frames in turn."""
        streams = {kind: self._room.stream(kind) for kind in KINDS if kind != "message"}
        for number in range(pace.rounds):
            for kind, stream in streams.items():
                keyframe = kind in ("video", "screen") and number % 10 == 0
                self.sent[kind] += stream.send(self._payload(kind, number), keyframe=keyframe)
            if number % 3 == 0:
                await self._room.send(self._payload("message", number))
                self.sent["message"] += 1
            await asyncio.sleep(1 / pace.rate)

    async def hear(self, sent: Counter[str]) -> bool:
        """Wait until as much has arrived as the other *sent*; return whether it came in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ARRIVAL_TIMEOUT), self._news:
                await self._news.wait_for(lambda: self.opened >= sent)
        return self.opened >= sent

    async def listen(self) -> None:
        """Take events until the channel is left."""
        async for event in self._room:
            if isinstance(event, Frame):
                self._take(event.kind, event.data)
            elif isinstance(event, Message):
                self._take("message", event.data)
            elif isinstance(event, MemberJoined):
                self._met = True
            async with self._news:
                self._news.notify_all()

    def _take(self, kind: str, data: bytes) -> None:
        self.opened[kind] += data.startswith(self._others[kind].text)

    def _payload(self, kind: str, number: int) -> bytes:
        return b"%s %d " % (self._own[kind].text, number) + secrets.token_bytes(_SIZES[kind])


class Pair:
    """Two members in a channel of one provider's; leaving the ``async with`` block lets them leave.

    Args:
        provider: how they agree on keys.
        app: where the channel is.
        url: what they connect to.

    """

    def __init__(self, provider: Provider, app: App, url: str) -> None:
        self.provider = provider
        self.app = app
        self.channel = "blind " + secrets.token_hex(4)
        self.material: Material = provider.make()
        self.canaries = {user: {kind: new_canary(user, kind) for kind in KINDS} for user in USERS}
        self.members: dict[str, Member] = {}
        self._url = url
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Pair:
        try:
            async with asyncio.timeout(_MEETING_TIMEOUT):
                for user, other in zip(USERS, reversed(USERS), strict=True):
                    await self._join(user, other)
                await asyncio.gather(*(member.meet() for member in self.members.values()))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def talk(self, pace: Pace) -> None:
        """Let both speak at the same time, and wait until everything has arrived."""
        await asyncio.gather(*(member.speak(pace) for member in self.members.values()))
        first, second = self.members.values()
        await asyncio.gather(first.hear(second.sent), second.hear(first.sent))

    async def _join(self, user: str, other: str) -> None:
        client = Client(self._url, app_id=self.app.app_id, proxy=None)
        await self._stack.enter_async_context(client)
        room = await client.join(
            self.channel,
            user=user,
            token=self.app.token(self.channel, user),
            key=self.material.key(user),
        )
        member = Member(room, self.canaries[user], self.canaries[other])
        self.members[user] = member
        listening = asyncio.create_task(member.listen())
        self._stack.push_async_callback(_over, room, listening)


async def _over(room: Channel, listening: asyncio.Task[None]) -> None:
    await room.leave()
    await listening
