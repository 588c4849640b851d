"""Clients that talk all the while, whatever happens to the relay, and the diaries that they keep."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass

from sealcast.client import Backoff, Channel, Client, Key, Message, Options
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import AccessToken

from ..simulator.record import Diary, Place, Wrong, judge
from .house import APP_ID, CERTIFICATE

__all__ = ["Crowd", "Member", "check"]

SECRET = bytes(range(32))
SEND = 90.0
"""Seconds that a message may take: longer than anything that is done to the relay."""


def token(channel: str, user: str) -> str:
    """Mint a token."""
    made = AccessToken(APP_ID, CERTIFICATE, issued_at=int(time.time()), salt=1, expire=86_400)
    return made.add_rtc(channel, user, dict.fromkeys(Privilege, 86_400)).build()


class Member:
    """One user in one channel."""

    def __init__(self, url: str, channel: str, user: str, chance: random.Random) -> None:
        options = Options(
            timeout=SEND,
            connect_timeout=5.0,
            heartbeat=5.0,
            backoff=Backoff(base=0.2, factor=1.6, cap=3.0),
            chance=chance.random,
            inbox_events=100_000,
            inbox_bytes=256 * 2**20,
        )
        self.channel, self.user = channel, user
        self.client = Client(url, app_id=APP_ID, token=token, options=options, proxy=None)
        self.diary = Diary(user)
        self.room: Channel | None = None
        self.heard = asyncio.Event()
        self._chance = chance
        self._count = 0
        self._reader: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Become a member."""
        self.room = await self.client.join(self.channel, user=self.user, key=Key.raw(SECRET))
        self._reader = asyncio.create_task(self._read(self.room))

    async def talk(self, until: asyncio.Event, every: float) -> None:
        """Send messages at random intervals."""
        sending: set[asyncio.Task[None]] = set()
        while not until.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(until.wait(), self._chance.uniform(0, 2 * every))
            task = asyncio.create_task(self.say())
            sending.add(task)
            task.add_done_callback(sending.discard)
        await asyncio.gather(*sending)

    async def say(self, text: str = "") -> None:
        """Send one message and wait for its ack."""
        assert self.room is not None
        self._count += 1
        data = f"{self.channel}/{self.user}/{text or self._count}".encode()
        self.diary.tried.add(data)
        receipt = await self.room.send(data)
        self.diary.acked[data] = Place(receipt.epoch, receipt.offset)

    def has(self, data: bytes) -> bool:
        """Say whether a message has come."""
        return any(isinstance(event, Message) and event.data == data for event in self.diary.events)

    async def close(self) -> None:
        """Leave."""
        await self.client.close()
        if self._reader is not None:
            await self._reader

    async def _read(self, room: Channel) -> None:
        async for event in room:
            self.diary.events.append(event)
            self.heard.set()


@dataclass
class Crowd:
    """All members of all channels."""

    members: list[Member]

    @classmethod
    def of(cls, url: str, channels: int, members: int, chance: random.Random) -> Crowd:
        """Return so many members in each of so many channels."""
        return cls(
            [
                Member(url, f"channel-{channel}", f"user-{member}", random.Random(chance.random()))
                for channel in range(channels)
                for member in range(members)
            ]
        )

    async def join(self) -> None:
        """Let everybody join, some at a time, and hear everybody."""
        for start in range(0, len(self.members), 20):
            await asyncio.gather(*(member.join() for member in self.members[start : start + 20]))
        # A channel in which nothing was ever said is not kept, and nobody could recover anything from it.
        speakers = {member.channel: member for member in self.members}
        await asyncio.gather(*(member.say("first") for member in speakers.values()))

    async def finish(self, patience: float = 60.0) -> None:
        """Let everybody say a last word, and wait until everybody has heard the others'."""
        await asyncio.gather(*(member.say("last") for member in self.members))
        deadline = time.monotonic() + patience
        for member in self.members:
            for other in self.members:
                if other is member or other.channel != member.channel:
                    continue
                last = f"{other.channel}/{other.user}/last".encode()
                while not member.has(last):
                    if time.monotonic() > deadline:
                        raise Wrong(f"{member.user} did not hear {last.decode()}")
                    member.heard.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(member.heard.wait(), 1.0)

    async def close(self) -> None:
        """Let everybody leave."""
        await asyncio.gather(*(member.close() for member in self.members), return_exceptions=True)

    def judge(self, *, complete: bool) -> int:
        """Judge each channel; return how many messages were acknowledged."""
        acknowledged = 0
        for channel in dict.fromkeys(member.channel for member in self.members):
            diaries = [member.diary for member in self.members if member.channel == channel]
            check(diaries, complete=complete)
            acknowledged += sum(len(diary.acked) for diary in diaries)
        return acknowledged


def check(diaries: list[Diary], *, complete: bool) -> None:
    """Raise Wrong unless these diaries of one channel can all be true, and nothing acknowledged is missing.

    Args:
        diaries: of members that were there from before the first message until after the last.
        complete: whether no gap is allowed, announced or not.

    """
    judge(diaries)
    for diary in diaries:
        got = [event.data for event in diary.events if isinstance(event, Message)]
        if len(got) != len(set(got)):
            raise Wrong(f"{diary.user} received a message twice")
        if not complete:
            continue
        for other in diaries:
            missing = set(other.acked) - set(got)
            if other is not diary and missing:
                told = [event for event in diary.events if not isinstance(event, Message)][-40:]
                raise Wrong(f"{diary.user} lacks {len(missing)} acknowledged: {sorted(missing)[:3]}; {told}")
        unacknowledged = diary.tried - set(diary.acked)
        if unacknowledged:
            raise Wrong(f"{diary.user} never heard of {sorted(unacknowledged)[:3]}")
