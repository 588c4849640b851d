"""Who is started, told and ended, and when: the whole demo but for what is shown and concluded."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sealcast.client.tokens import mint

from ..children import Child, ChildFailed, Children
from .ledger import Ledger
from .part import Part
from .seen import Witness
from .tap import Recording, Tap
from .wire import WireFrame

__all__ = [
    "CHANNEL",
    "CONTROL_SECONDS",
    "GUEST",
    "NAMES",
    "Conductor",
    "Conversation",
    "Phase",
    "Plan",
    "Venue",
]

CHANNEL: Final = "standup"
GUEST: Final = "guest"
"""The user for whom a token is minted that anybody may join with."""
NAMES: Final = (
    *("alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"),
    *("ivan", "judy", "kim", "leo", "mia", "nina", "oscar", "peggy"),
)
CONTROL_SECONDS: Final = 2.0

_DAY: Final = 86_400
_START_TIMEOUT: Final = 30.0
_DELIVERY_TIMEOUT: Final = 10.0
_END_TIMEOUT: Final = 10.0


class Phase(enum.Enum):
    """How far the demo is; the value says so to people."""

    STARTING = "starting the relay"
    GATHERING = "the members join"
    TALKING = "the members talk"
    CONTROL = "control: the same in clear text, in an app that allows it"
    STOPPING = "stopping the relay"
    SEARCHING = "searching what passed the relay"
    OVER = "this is what was found"


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    members: tuple[str, ...]
    audio: Path
    seconds: float
    """0: until stopped."""
    out: Path | None = None
    """Where to write what the first listener heard."""

    @property
    def speaker(self) -> str:
        """Who plays the sound."""
        return self.members[0]


@dataclass(frozen=True, slots=True)
class Venue:
    """An app of the relay, and what its members share."""

    app_id: str
    certificate: str = field(repr=False)
    secret: bytes | None = field(repr=False)
    """The content key; None where everybody talks in clear."""

    @classmethod
    def new(cls, *, sealed: bool) -> Venue:
        """Make an app with a fresh App ID, certificate and content key."""
        return cls(secrets.token_hex(16), secrets.token_hex(16), secrets.token_bytes(32) if sealed else None)

    def config(self) -> dict[str, Any]:
        """Return the app's part of the relay's configuration: the content key is not in it."""
        encryption = "required" if self.secret is not None else "optional"
        return {
            "app_id": self.app_id,
            "certificate": self.certificate,
            "policy": {"encryption": encryption},
        }

    def token(self, user: str) -> str:
        """Mint a token for the demo's channel."""
        return mint(self.app_id, self.certificate, CHANNEL, user, ttl=_DAY)


class Conversation:
    """One conversation in one app, from the first join to the last leave.

    Args:
        venue: the app.
        plan: who talks how long.
        children: where processes are started.
        url: what they connect to.

    """

    def __init__(self, venue: Venue, plan: Plan, children: Children, url: str) -> None:
        self.venue = venue
        self.plan = plan
        self.ledger = Ledger(plan.members, plan.speaker)
        self.witness = Witness(plan.speaker)
        self.began: float | None = None
        """When it began, by the monotonic clock."""
        self._children = children
        self._url = url
        self._members: list[Child] = []
        self._news = asyncio.Event()

    async def gather(self) -> None:
        """Start everybody, and wait until all have met. Raises ChildFailed."""
        for user in self.plan.members:
            self._members.append(await self._start(user))
        await asyncio.gather(*(member.event("ready", _START_TIMEOUT) for member in self._members))

    async def talk(self, stop: asyncio.Event) -> None:
        """Let everybody play and talk until the time is up or *stop* is set. Raises ChildFailed."""
        self.began = time.monotonic()
        self._tell_all("go")
        patience = self.plan.seconds + _DELIVERY_TIMEOUT if self.plan.seconds else None
        spoken = asyncio.gather(*(member.event("spoken", patience) for member in self._members))
        stopped = asyncio.create_task(stop.wait())
        either: list[asyncio.Future[Any]] = [spoken, stopped]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            self._tell_all("hush")
            async with asyncio.timeout(_DELIVERY_TIMEOUT):
                await spoken
        except TimeoutError:
            raise ChildFailed("a participant went on talking when told to stop") from None
        finally:
            for future in either:
                future.cancel()
            await asyncio.gather(*either, return_exceptions=True)

    async def part(self) -> list[int]:
        """Wait until everything has arrived, let everybody leave; return their exit statuses."""
        with contextlib.suppress(TimeoutError):  # what is missing then is for the checks to say
            async with asyncio.timeout(_DELIVERY_TIMEOUT):
                while not self.ledger.complete:
                    self._news.clear()
                    await self._news.wait()
        self._tell_all("finish")
        await asyncio.gather(*(member.event("result", _END_TIMEOUT) for member in self._members))
        return await asyncio.gather(*(member.over(_END_TIMEOUT) for member in self._members))

    async def _start(self, user: str) -> Child:
        venue, plan = self.venue, self.plan
        account = self.ledger.members[user]
        part = Part(
            url=self._url,
            app_id=venue.app_id,
            channel=CHANNEL,
            user=user,
            token=venue.token(user),
            secret=venue.secret.hex() if venue.secret is not None else None,
            members=plan.members,
            speaker=plan.speaker,
            audio=str(plan.audio),
            out=str(plan.out) if plan.out is not None and user == plan.members[1] else None,
            seconds=plan.seconds,
        )

        def heard(said: dict[str, Any]) -> None:
            account.take(said)
            self._news.set()

        line = json.dumps(part.to_json())
        return await self._children.start(user, "sealcast.cli.demo.participant", line, heard)

    def _tell_all(self, word: str) -> None:
        for member in self._members:
            member.tell(word)


class Conductor:
    """Runs the conversation, then the control; what it holds afterwards is what the checks are made of.

    Args:
        plan: what was asked for.
        stop: ends a conversation that has no end, and cuts short one that has.

    """

    def __init__(self, plan: Plan, stop: asyncio.Event) -> None:
        self.plan = plan
        self.phase = Phase.STARTING
        self.sealed = Venue.new(sealed=True)
        self.clear = Venue.new(sealed=False)
        self.gathered = asyncio.Event()
        """Set when everybody is there."""
        self.url = ""
        """What members connect to: the tap."""
        self.console_link = ""
        """Signs in to the relay's console, once."""
        self.relay_port = 0
        self.relay_pid = 0
        self.relay_metrics: dict[str, Any] = {}
        """The relay's own counters, from the line it wrote when it stopped."""
        self.relay_loaded: list[str] | None = None
        """Modules of the relay's process that hold ciphers; None when it did not say."""
        self.statuses: list[int] = []
        """The exit statuses of all processes."""
        self.conversation: Conversation | None = None
        self.control: Conversation | None = None
        self.tap: Tap | None = None
        self._stop = stop

    async def run(self) -> None:
        """Do it all. Raises ChildFailed when something does not do its part in time."""
        async with Children() as children:
            relay = await self._start_relay(children)
            async with Tap(("127.0.0.1", self.relay_port), self._watch) as self.tap:
                self.url = f"ws://127.0.0.1:{self.tap.port}"
                self.phase = Phase.GATHERING
                await self._converse(children)
                self.phase = Phase.CONTROL
                await self._repeat_in_clear(children)
                self.phase = Phase.STOPPING
                await self._stop_relay(relay)
                await self.tap.settle(_END_TIMEOUT)
        self.phase = Phase.SEARCHING

    async def _start_relay(self, children: Children) -> Child:
        config = {
            "server": {
                "host": "127.0.0.1",
                "port": 0,
                "drain_spread": 0,
                "internal_host": "127.0.0.1",
                "internal_port": 0,
            },
            "apps": [self.sealed.config(), self.clear.config()],
        }
        relay = await children.start(
            "the relay", "sealcast.cli.demo.relay", json.dumps(config), lambda said: None
        )
        listening = await relay.event("listening", _START_TIMEOUT)
        self.console_link = (await relay.event("console", _START_TIMEOUT))["link"]
        self.relay_port, self.relay_pid = listening["port"], relay.pid
        return relay

    async def _converse(self, children: Children) -> None:
        self.conversation = Conversation(self.sealed, self.plan, children, self.url)
        await self.conversation.gather()
        self.phase = Phase.TALKING
        self.gathered.set()
        await self.conversation.talk(self._stop)
        self.statuses += await self.conversation.part()

    async def _repeat_in_clear(self, children: Children) -> None:
        plan = Plan(self.plan.members, self.plan.audio, CONTROL_SECONDS)
        self.control = Conversation(self.clear, plan, children, self.url)
        await self.control.gather()
        await self.control.talk(asyncio.Event())
        self.statuses += await self.control.part()

    async def _stop_relay(self, relay: Child) -> None:
        relay.terminate()
        self.relay_metrics = await relay.event("stopped", _END_TIMEOUT)
        self.statuses.append(await relay.over(_END_TIMEOUT))
        loaded = relay.said.get("loaded")
        self.relay_loaded = loaded["modules"] if loaded is not None else None

    def _watch(self, recording: Recording, upward: bool, frame: WireFrame) -> None:
        for conversation in (self.conversation, self.control):
            if conversation is not None and conversation.venue.app_id == recording.app_id:
                conversation.witness.frame(recording.number, upward, frame)
