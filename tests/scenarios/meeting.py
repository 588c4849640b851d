"""A managed channel whose members come and go over real sockets, and all that is known of every frame.

One real relay, a real ``Client`` for each user, each with an identity that one authority has certified.
Everybody who is inside sends frames and messages without a pause. Sealing is watched, so that for each
frame it is known who was in its sender's view; so is every key that anybody was given.

What is done and in which order is decided by a seed. How it interleaves on the sockets is not: the model
holds for every interleaving.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from sealcast.client import (
    Authority,
    Channel,
    Client,
    Event,
    Frame,
    Identity,
    Key,
    KeySwitched,
    Left,
    MemberJoined,
    MemberLeft,
    Message,
    Options,
    SealFailure,
)
from sealcast.client.e2ee.company import Company
from sealcast.client.e2ee.context import BaseKey, Sender
from sealcast.client.e2ee.keyring import Freshness, Keyring
from sealcast.client.e2ee.managed import ManagedKeys
from sealcast.client.e2ee.rekey import Name, Stage
from sealcast.client.e2ee.sending import ControlFrame, Sending
from sealcast.client.errors import ChannelClosed, Disconnected, NotConnected, RequestRefused
from sealcast.client.tokens import mint
from sealcast.protocol.codes import end
from sealcast.protocol.descriptor import Descriptor
from sealcast.server.config import AppConfig, AppLimits, Config, ServerConfig
from sealcast.server.relay import Relay

from ..leaks import WINDOW

APP, CERTIFICATE, ROOM = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210", "standup"
PATIENCE = 30.0
USERS = 10
FEWEST = 3
"""Members that stay, so that the channel never dies and its member numbers never begin again."""
FRAMES = 2
"""Frames that a member sends between two messages."""
EXPECTED = (MemberJoined, MemberLeft, KeySwitched)


@dataclass(eq=False)
class Sealed:
    """A frame or message, with what was true at its sender's when it was sealed."""

    payload: bytes
    kind: str
    sender: Sender
    base: BaseKey
    at: float
    made: int
    receivers: frozenset[int]
    """The member numbers in its sender's view."""
    allowed: frozenset[bytes]
    """The sessions that may be able to open it."""
    passed: int | None = None
    """When it is known to have passed the relay: its sender's next message or leave was answered."""
    offset: int = 0
    """The place of a message in the channel."""


@dataclass(eq=False)
class Visit:
    """One membership of one user, from its join to its end."""

    user: str
    number: int
    room: Channel
    sender: Sender
    keys: ManagedKeys
    begun: int
    """When its join began: no frame that passed the relay before was for it."""
    sealed: list[Sealed] = field(default_factory=list)
    heard: dict[bytes, int] = field(default_factory=dict)
    """What was delivered to it, and when."""
    known: dict[tuple[bytes, int], list[BaseKey]] = field(default_factory=dict)
    gone: dict[bytes, float] = field(default_factory=dict)
    """When it heard, by the loop's clock, that a session had left."""
    surprises: list[Event] = field(default_factory=list)
    ended: int | None = None
    """When its leave or kick began; None while it stays."""
    ended_at: float = 0.0
    left: str = ""
    furthest: int = 0
    """The place of the last message that was delivered to it."""
    last: bytes = b""
    """The message that it said last, at the end of the meeting."""
    tasks: tuple[asyncio.Task[None], ...] = ()

    @property
    def stage(self) -> Stage:
        """Where it stands between two keys."""
        return self.keys._rekeying.stage


class Meeting:
    """The relay, the users and the record. *rng* decides; nothing else does."""

    def __init__(self, seed: int, stack: contextlib.AsyncExitStack) -> None:
        self.random = random.Random(seed)
        self.visits: list[Visit] = []
        self.inside: dict[str, Visit] = {}
        self.counts = dict.fromkeys(("joined", "left", "kicked"), 0)
        self.stages: set[Stage] = set()
        self._stack = stack
        self._loop = asyncio.get_running_loop()
        self._clock = itertools.count()
        self._changed = asyncio.Condition()
        self._acks = 0
        self._closing = False
        self._clients: dict[str, Client] = {}
        self._authority = Authority.generate()
        self._identities = [Identity.generate() for _ in range(USERS)]
        self._relay: Relay
        self._of: dict[int, Visit] = {}
        """Whose a keyring or a sending half is, by its id: all of them live as long as their visits."""
        self._installs: list[tuple[Keyring, Name, BaseKey]] = []
        self._removals: dict[int, dict[bytes, float]] = {}

    # --- watching ---

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Note every key that is taken, and every leave that is heard, where it happens."""
        install, remove, control = Keyring.install, ManagedKeys.remove_member, Sending.control_frames

        def noted_install(keyring: Keyring, name: Name, base: BaseKey) -> Freshness:
            self._installs.append((keyring, name, base))
            return install(keyring, name, base)

        def noted_removal(keys: ManagedKeys, member: int, now: float) -> None:
            peer = keys._peers.of_member(member)
            if peer is not None:
                self._removals.setdefault(id(keys), {})[peer.name[1]] = now
            remove(keys, member, now)

        def noted_control(sending: Sending, company: Company, now: float, wall_ms: int) -> list[ControlFrame]:
            frames = control(sending, company, now, wall_ms)
            for _ in frames:
                self._note(self._of[id(sending)], "control", b"")
            return frames

        monkeypatch.setattr(Sending, "control_frames", noted_control)
        monkeypatch.setattr(Keyring, "install", noted_install)
        monkeypatch.setattr(ManagedKeys, "remove_member", noted_removal)

    def _watch_sealing(self, visit: Visit) -> None:
        crypto = visit.room._membership.crypto
        seal = crypto.seal

        def noted(descriptor: Descriptor, payload: bytes) -> bytes:
            self._note(visit, descriptor.kind.name.lower(), payload)
            return seal(descriptor, payload)

        crypto.seal = noted

    def _note(self, visit: Visit, kind: str, payload: bytes) -> None:
        now = self._loop.time()
        view = frozenset(member.number for member in visit.room.members.values() if member.verified)
        present = {visit.keys._peers.of_member(number).name[1] for number in view}
        heard = self._removals.get(id(visit.keys), {})
        allowed = frozenset(present | {session for session, at in heard.items() if now < at + WINDOW})
        base = visit.room._membership.crypto._sealed.sending.sealer.base
        frame = Sealed(payload, kind, visit.sender, base, now, next(self._clock), view, allowed)
        visit.sealed.append(frame)

    def known(self) -> None:
        """Give each visit the keys that it took."""
        for keyring, (_, session), base in self._installs:
            visit = self._of[id(keyring)]
            visit.known.setdefault((session, base.epoch), []).append(base)

    # --- what users do ---

    async def start(self) -> None:
        """Start the relay and bring in all users."""
        limits = AppLimits(joins_per_minute=10_000, outbox=64 * 1024 * 1024, outbox_age=60.0)
        app = AppConfig(app_id=APP, certificate=CERTIFICATE, limits=limits)
        self._relay = Relay(Config(server=ServerConfig(port=0, close=0.5, drain_spread=0.0), apps=(app,)))
        _, port = await self._relay.start()
        self._stack.push_async_callback(self._relay.stop)
        for number in range(USERS):
            client = Client(
                f"ws://127.0.0.1:{port}", app_id=APP, proxy=None, options=Options(timeout=PATIENCE)
            )
            self._clients[f"user {number}"] = await self._stack.enter_async_context(client)
        for user in self._clients:
            await self.join(user)
        self.counts["joined"] = 0

    async def join(self, user: str) -> None:
        """Come in, as a new session, and begin to talk."""
        identity, now = self._identities[int(user.split()[1])], int(time.time())
        certificate = self._authority.certify(
            APP, ROOM, user, identity.public, not_before=now - 60, not_after=now + 3600
        )
        key = Key.managed(identity, self._authority.public, certificate=certificate)
        begun = next(self._clock)
        token = mint(APP, CERTIFICATE, ROOM, user)
        room = await self._clients[user].join(ROOM, user=user, token=token, key=key)
        sealed = room._membership.crypto._sealed
        assert room.member is not None
        visit = Visit(user, room.member, room, sealed.sender, sealed._provider, begun)
        self._of[id(visit.keys._keyring)] = self._of[id(sealed.sending)] = visit
        self._watch_sealing(visit)
        self.visits.append(visit)
        self.inside[user] = visit
        visit.tasks = (
            self._loop.create_task(self._listen(visit)),
            self._loop.create_task(self._speak(visit)),
        )
        self.counts["joined"] += 1

    async def leave(self, user: str) -> None:
        """Go, as one who says so."""
        visit = self._end(user)
        await visit.room.leave()
        self._all_passed(visit)
        await self._over(visit, "left")

    async def kick(self, user: str) -> None:
        """Be thrown out by the relay."""
        visit = self._end(user)
        app = self._relay.hub.app(APP)
        assert app is not None
        member = app.channels[ROOM].by_user[user]
        member.outlet.leave(member.channel.number, end("kicked"))
        await self._over(visit, "kicked")

    def _end(self, user: str) -> Visit:
        visit = self.inside.pop(user)
        visit.ended, visit.ended_at = next(self._clock), self._loop.time()
        return visit

    async def _over(self, visit: Visit, how: str) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*visit.tasks)
        assert visit.left == how, visit.left
        self.counts[how] += 1

    # --- what everybody does all the time ---

    async def _speak(self, visit: Visit) -> None:
        mic = visit.room.stream("audio")
        try:
            while not self._closing:
                for _ in range(FRAMES):
                    mic.send(self._payload(visit, "audio"))
                await self._say(visit)
            await self._say(visit, last=True)
        except (ChannelClosed, Disconnected, NotConnected, RequestRefused):
            if visit.ended is None:
                raise

    def _payload(self, visit: Visit, kind: str) -> bytes:
        return f"{visit.number} {kind} {len(visit.sealed)}".encode()

    async def _say(self, visit: Visit, *, last: bool = False) -> None:
        payload = self._payload(visit, "message")
        if last:
            visit.last = payload
        receipt = await visit.room.send(payload)
        next(frame for frame in reversed(visit.sealed) if frame.payload == payload).offset = receipt.offset
        self._all_passed(visit)
        self._acks += 1
        self.stages.add(visit.stage)
        async with self._changed:
            self._changed.notify_all()

    def _all_passed(self, visit: Visit) -> None:
        now = next(self._clock)
        for frame in reversed(visit.sealed):
            if frame.passed is not None:
                break
            frame.passed = now

    async def _listen(self, visit: Visit) -> None:
        async for event in visit.room:
            match event:
                case Frame() | Message():
                    if event.data in visit.heard:
                        visit.surprises.append(event)
                    visit.heard[event.data] = next(self._clock)
                    if isinstance(event, Message):
                        if event.offset <= visit.furthest:
                            visit.surprises.append(event)
                        visit.furthest = event.offset
                case Left():
                    visit.left = event.name
                case SealFailure(reason="key_missing"):
                    pass  # counted by the model
                case _ if not isinstance(event, EXPECTED):
                    visit.surprises.append(event)
            if self._closing:
                async with self._changed:
                    self._changed.notify_all()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait, while all go on talking, until it is *true*."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(true)

    async def traffic(self, messages: int) -> None:
        """Let all talk until so many more messages have been acknowledged."""
        until = self._acks + messages
        await self.until(lambda: self._acks >= until)

    async def calm(self) -> None:
        """Let all talk until everybody uses its newest key."""
        await self.until(lambda: all(visit.stage is Stage.STEADY for visit in self.inside.values()))

    async def churn(self, operations: int) -> None:
        """Do so many joins, leaves and kicks, up to three at a time, with talk in between; rest halfway."""
        done, calmed = 0, False
        while done < operations:
            together = self._choose(min(self.random.choice((1, 1, 1, 2, 3)), operations - done))
            await asyncio.gather(*together)
            done += len(together)
            await self.traffic(self.random.randrange(2) * len(self.inside))
            if not calmed and done > operations // 2:
                calmed = True
                await self.calm()

    def _choose(self, many: int) -> list[AsyncIterator[None]]:
        inside, chosen = set(self.inside), []
        users = self.random.sample(sorted(self._clients), len(self._clients))
        for user in users:
            if len(chosen) == many:
                break
            if user not in inside:
                chosen.append(self.join(user))
            elif len(inside) > FEWEST:
                inside.discard(user)
                chosen.append((self.kick if self.random.random() < 0.4 else self.leave)(user))
        return chosen

    async def finish(self) -> None:
        """Let all talk until the window of the last leave is over, say a last word and hear all others'."""
        over = self._loop.time() + WINDOW
        await self.until(lambda: self._loop.time() > over)
        self._closing = True
        stay = list(self.inside.values())
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(visit.tasks[1] for visit in stay))
        words = {visit: visit.last for visit in stay}
        await self.until(
            lambda: all(
                word in hearer.heard for hearer in stay for who, word in words.items() if who is not hearer
            )
        )
        self.known()
