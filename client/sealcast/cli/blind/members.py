"""Members of one channel, who send each other canaries of every kind and look for the others'.

Two stay all the time; a guest comes and goes in between, so that members who make their keys themselves
change them, and the others are given another secret. They live in the command's own process and use
the SDK as any application does.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from sealcast.client import Channel, Client
from sealcast.client.events import Frame, KeySwitched, MemberJoined, Message
from sealcast.client.tokens import mint

from .material import Material
from .providers import Provider

__all__ = ["GUEST", "KINDS", "USERS", "App", "Canary", "Group", "Member", "Pace", "new_canary"]

USERS: Final = ("ann", "bob")
"""Those who stay."""
GUEST: Final = "cyd"
"""Who comes later, and leaves earlier."""
KINDS: Final = ("message", "audio", "video", "screen", "data", "custom")

_SIZES: Final = {"message": 120, "audio": 60, "video": 1100, "screen": 700, "data": 90, "custom": 70}
"""Bytes of random filling after the canary and the number."""
_MEETING_TIMEOUT: Final = 15.0
_ARRIVAL_TIMEOUT: Final = 10.0
_TOKEN_SECONDS: Final = 3600
_PARTS: Final = 3
"""Before the guest, with it, and after it."""


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
        """Frames of each kind and member in each of the three parts."""
        return max(2, round(self.seconds * self.rate / _PARTS))


@dataclass(frozen=True, slots=True)
class App:
    """An app of the relay, made for one run."""

    app_id: str = field(default_factory=lambda: secrets.token_hex(16))
    certificate: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def token(self, channel: str, user: str) -> str:
        """Mint a token that allows everything in *channel*."""
        return mint(self.app_id, self.certificate, channel, user, ttl=_TOKEN_SECONDS)


class Member:
    """One of them.

    Args:
        room: the channel it has joined.
        canaries: of everybody, by user and kind.

    """

    def __init__(self, room: Channel, canaries: dict[str, dict[str, Canary]]) -> None:
        self.sent: Counter[str] = Counter()
        """By kind."""
        self.opened: Counter[tuple[str, str]] = Counter()
        """What arrived with its sender's canary in it, by user and kind."""
        self.epoch = 0
        """Of the key that it seals with, as the SDK tells it when members make their keys."""
        self._room = room
        self._canaries = canaries
        self._news = asyncio.Condition()
        self._streams = {kind: room.stream(kind) for kind in KINDS if kind != "message"}

    async def meet(self, *users: str) -> None:
        """Wait until these are there."""
        async with self._news:
            await self._news.wait_for(
                lambda: {member.user for member in self._room.members.values()}.issuperset(users)
            )

    async def speak(self, pace: Pace) -> None:
        """Send canaries of every kind, message and frames in turn."""
        for number in range(pace.rounds):
            for kind, stream in self._streams.items():
                keyframe = kind in ("video", "screen") and number % 10 == 0
                self.sent[kind] += stream.send(self._payload(kind), keyframe=keyframe)
            if number % 3 == 0:
                # To be kept: what a relay stores is searched with the rest.
                await self._room.send(self._payload("message"), keep=True)
                self.sent["message"] += 1
            await asyncio.sleep(1 / pace.rate)

    async def hear(self, user: str, sent: Counter[str]) -> None:
        """Wait until as much of *user* has arrived as was *sent*; after a while, go on without."""
        expected = {(user, kind): count for kind, count in sent.items()}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ARRIVAL_TIMEOUT), self._news:
                await self._news.wait_for(lambda: self.opened >= Counter(expected))

    async def change(self, rotation: bytes | None) -> None:
        """Seal under the next epoch's secret; without one, wait until the SDK has a new key of its own."""
        if rotation is not None:
            self._room.rotate(rotation)
            return
        async with self._news:
            await self._news.wait_for(lambda: self.epoch > 0)

    async def listen(self) -> None:
        """Take events until the channel is left."""
        async for event in self._room:
            match event:
                case Frame(user=user, kind=kind, data=data):
                    self._take(user, kind, data)
                case Message(user=user, data=data):
                    self._take(user, "message", data)
                case KeySwitched(epoch=epoch):
                    self.epoch = epoch
                case MemberJoined():
                    pass
                case _:
                    continue
            async with self._news:
                self._news.notify_all()

    def _take(self, user: str, kind: str, data: bytes) -> None:
        self.opened[user, kind] += data.startswith(self._canaries[user][kind].text)

    def _payload(self, kind: str) -> bytes:
        own = self._canaries[self._room.user][kind].text
        return own + b" %d " % self.sent[kind] + secrets.token_bytes(_SIZES[kind])


class Group:
    """Members in a channel of one provider's; leaving the ``async with`` block lets them leave.

    Args:
        provider: how they agree on keys.
        app: where the channel is.
        url: what they connect to.

    """

    def __init__(self, provider: Provider, app: App, url: str) -> None:
        self.provider = provider
        self.app = app
        self.channel = "blind " + secrets.token_hex(4)
        self.material: Material = provider.make(app.app_id, self.channel)
        self.canaries = {user: {kind: new_canary(user, kind) for kind in KINDS} for user in (*USERS, GUEST)}
        self.members: dict[str, Member] = {}
        """By user, the guest among them once it has come."""
        self._url = url
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Group:
        try:
            async with asyncio.timeout(_MEETING_TIMEOUT):
                for user in USERS:
                    await self._stack.enter_async_context(self._joined(user))
                await self._meet(*USERS)
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def talk(self, pace: Pace) -> None:
        """Let all speak at the same time, first two, then three, then two under other keys.

        Returns when everything has arrived that can. Raises TimeoutError when the guest is not met, or
        the keys do not change.
        """
        await self._speak(pace, *USERS)
        async with contextlib.AsyncExitStack() as stay:
            async with asyncio.timeout(_MEETING_TIMEOUT):
                await stay.enter_async_context(self._joined(GUEST))
                await self._meet(*USERS, GUEST)
            before = {user: self.members[user].sent.copy() for user in USERS}
            await self._speak(pace, *USERS, GUEST)
            guest = self.members[GUEST]
            for user in USERS:
                await guest.hear(user, self.members[user].sent - before[user])
        if self.material.changes:
            async with asyncio.timeout(_MEETING_TIMEOUT):
                for user in USERS:
                    await self.members[user].change(self.material.rotation)
        await self._speak(pace, *USERS)
        for user in USERS:
            for other in {*USERS, GUEST} - {user}:
                await self.members[user].hear(other, self.members[other].sent)

    async def _meet(self, *users: str) -> None:
        await asyncio.gather(*(self.members[user].meet(*{*users} - {user}) for user in users))

    async def _speak(self, pace: Pace, *users: str) -> None:
        await asyncio.gather(*(self.members[user].speak(pace) for user in users))

    @contextlib.asynccontextmanager
    async def _joined(self, user: str) -> AsyncIterator[Member]:
        """Join as *user*; leave at the end."""
        async with Client(self._url, app_id=self.app.app_id, proxy=None) as client:
            room = await client.join(
                self.channel,
                user=user,
                token=self.app.token(self.channel, user),
                key=self.material.key(user),
            )
            member = self.members[user] = Member(room, self.canaries)
            listening = asyncio.create_task(member.listen())
            try:
                yield member
            finally:
                await room.leave()
                await listening
