"""A meeting of real clients through a relay in the middle, by a fixed schedule, and the minutes of it.

Alice, Bob and Carol meet. Bob is the victim: what he was given, told and made to do is what is judged. The
same schedule is held once undisturbed and once with an attack; time stands still between its steps, so both
must come out the same wherever the attack is meant to make no difference.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from sealcast.client import (
    Channel,
    Client,
    Disconnected,
    Dropped,
    Event,
    Frame,
    KeyChanged,
    Message,
    Refused,
    Resumed,
    RosterSplit,
    SealFailure,
    Stalled,
    Stream,
    Suppressed,
    TrustEnded,
    Unauthentic,
)
from sealcast.protocol import controls
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import AccessToken

from ..middle import Middle, Sent, Wire
from .keys import APP, Keys
from .standing import the_loop

__all__ = ["CERTIFICATE", "INVENTED", "USUAL", "Cue", "Meeting", "Minutes", "Script"]

CERTIFICATE = "fedcba9876543210fedcba9876543210"
INVENTED = 700
"""The number of a member whom the relay invents."""

_STEP = 0.25
_ALARMS = (
    Disconnected,
    Dropped,
    KeyChanged,
    Refused,
    Resumed,
    RosterSplit,
    Stalled,
    Suppressed,
    TrustEnded,
    Unauthentic,
)


Cue: TypeAlias = "Callable[[Meeting], Awaitable[None]]"
"""Something that happens in a meeting at its time."""


@dataclass(frozen=True)
class Script:
    """What differs between schedules."""

    cast: tuple[str, ...] = ("alice", "bob", "carol")
    seconds: int = 8
    """How long they meet. The attack begins after 2 s."""
    lasts: int = 1
    """Seconds from its beginning to its end, where it has one."""
    carol: str = "stays"
    """What she does after half a second: ``stays``, ``leaves`` or ``falls silent``."""


USUAL = Script()


@dataclass
class Minutes:
    """What became of Bob in a meeting."""

    heard: dict[tuple[str, str], list[bytes]]
    """By user and kind: what was delivered as theirs, in order."""
    alarms: Counter[tuple[str, str]]
    """Each event that warns, by its name (a seal failure's is its reason) and the user it names."""
    failures: Counter[str]
    """What the encryption refused, by reason."""
    unknown: int
    """Frames of nobody."""
    sent: list[Sent]
    """What his client did, as the relay sees it."""
    members: dict[str, bool] = field(default_factory=dict)
    """Who was in his list at the end, and whether verified."""


class Meeting:
    """Clients in a channel, and a test's hold on them."""

    def __init__(self, middle: Middle, keys: Keys, stack: contextlib.AsyncExitStack) -> None:
        self.middle = middle
        self.keys = keys
        self._stack = stack
        self._rooms: dict[str, Channel] = {}
        self._streams: dict[str, tuple[Stream, Stream]] = {}
        self._events: dict[str, list[Event]] = {}
        self._listening: list[asyncio.Task[None]] = []
        self._silent: set[str] = set()
        self._steps = 0
        # Called when the clients, which come later, are gone, and all events with them.
        stack.push_async_callback(self._hear_out)

    @property
    def bob(self) -> Wire:
        """The victim's connection."""
        return self.middle.wire("bob")

    async def join(self, user: str, app: str = APP, channel: str = "room") -> None:
        """Let a user join."""
        client = await self._stack.enter_async_context(Client(self.middle.url, app_id=app, proxy=None))
        token = AccessToken(app, CERTIFICATE, issued_at=int(the_loop().wall()), salt=1, expire=86400)
        token.add_rtc(channel, user, dict.fromkeys(Privilege, 0))
        room = await client.join(
            channel, user=user, token=token.build(), key=self.keys.of(user, app, channel)
        )
        self._rooms[user] = room
        self._streams[user] = room.stream("audio"), room.stream("data")
        self._events[user] = []
        self._listening.append(asyncio.create_task(self._listen(room, self._events[user])))
        await self.middle.settle()

    async def wait(self, seconds: float) -> None:
        """Let time pass in steps, and let everything happen that is due in each."""
        for _ in range(round(seconds / _STEP)):
            the_loop().now += _STEP
            await self.middle.settle()

    async def talk(self, seconds: float) -> None:
        """Let everybody send audio four times a second and a message in each, Alice some data too."""
        for _ in range(round(seconds / _STEP)):
            step, self._steps = self._steps, self._steps + 1
            for user in [name for name in self._rooms if name not in self._silent]:
                audio, data = self._streams[user]
                assert audio.send(b"%s's audio %03d" % (user.encode(), step))
                if user == "alice" and 8 <= step < 12:
                    assert data.send(b"alice's data %03d" % step)
                if step % 4 == 0:
                    await self._rooms[user].send(b"%s's message %03d" % (user.encode(), step))
            await self.middle.settle()
            await self.wait(_STEP)

    async def hold(self, script: Script, begin: Cue, end: Cue) -> Minutes:
        """Hold the meeting with two cues in it; return its minutes."""
        for user in script.cast:
            await self.join(user)
        await self.talk(0.5)
        if script.carol == "leaves":
            await self._rooms.pop("carol").leave()
        elif script.carol == "falls silent":
            self._silent.add("carol")
        await self.talk(1.5)
        for cue, seconds in ((begin, script.lasts), (end, script.seconds - script.lasts - 2)):
            await cue(self)
            await self.middle.settle()
            await self.talk(seconds)
        return self.minutes()

    async def announce(
        self, user: str, hello: bytes | None, number: int = INVENTED, *, to: str | None = None
    ) -> None:
        """Tell everybody, or one user, of a member whom the relay has invented."""
        self.middle.invented.add(number)
        for name in self._rooms if to is None else [to]:
            wire = self.middle.wire(name)
            news = controls.MemberJoined(channel=wire.channel, member=number, user=user, hello=hello)
            await wire.put(controls.encode(news))

    def minutes(self) -> Minutes:
        """Return what became of Bob."""
        room, events = self._rooms["bob"], self._events["bob"]
        heard: dict[tuple[str, str], list[bytes]] = {}
        for event in events:
            if isinstance(event, Frame | Message):
                kind = event.kind if isinstance(event, Frame) else "message"
                heard.setdefault((event.user, kind), []).append(event.data)
        alarms = Counter(
            (
                event.reason if isinstance(event, SealFailure) else type(event).__name__,
                getattr(event, "user", ""),
            )
            for event in events
            if isinstance(event, (SealFailure, *_ALARMS))
        )
        start = self.middle.started
        sent = sorted(done._replace(at=done.at - start) for done in self.middle.sent["bob"])
        members = {member.user: member.verified for member in room.members.values()}
        stats = room.stats
        return Minutes(heard, alarms, Counter(stats.seal_failures), stats.unknown_senders, sent, members)

    async def _hear_out(self) -> None:
        await asyncio.gather(*self._listening)

    async def _listen(self, room: Channel, events: list[Event]) -> None:
        async for event in room:
            events.append(event)
