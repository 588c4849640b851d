"""The course of the proof: what is run, when it is frozen, what is searched. The conclusions are ``checks``.

Two relays are run, one after the other. The first, under test, is what an operator runs: encryption is
required, and members with every kind of key talk through it. The second is the control: members talk in
clear, and afterwards it is given the keys of captured frames. The same searches see both.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from sealcast.cli.demo.tap import Recording, Tap

from . import capture, sources
from .capture import Capture, Connection, Lock, Opening
from .guess import Guessing, guess
from .members import App, Pace, Pair
from .memory import Dump, changed, dump, read_maps
from .needles import Needle, Sweep, Text, search
from .places import Surroundings, files_below, surroundings
from .process import RUNNER, RelayProcess
from .providers import CLEAR, PROVIDERS, Provider
from .sources import Closure, Scan

__all__ = ["MARKER_FILE", "Evidence", "Meeting", "Plan", "Progress", "Searches", "Watched", "inquire"]

MARKER_FILE: Final = "marker"
"""A file with the marker in it, put into the relay's directory."""

_SERVER: Final = ("sealcast.server", "sealcast.protocol")
_SDK: Final = "sealcast.client.e2ee"
_SETTLE_TIMEOUT: Final = 10.0
_CONTROL_SECONDS: Final = 1.0


class Progress(Protocol):
    """Is told what is going on."""

    def phase(self, name: str) -> None:
        """Say that something new has begun."""

    def share(self, done: float) -> None:
        """Say which share of it is done, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What was asked for."""

    pace: Pace
    stride: int = 8
    """Bytes from one window to the next."""
    most: int = 10_000_000
    """Windows of each size that are tried at most."""
    sabotage: bool = False
    """Whether the relay under test is given keys, so that the proof must fail."""
    providers: Sequence[Provider] = PROVIDERS


@dataclass(frozen=True, slots=True)
class Meeting:
    """What two members of one provider's sent and opened."""

    provider: str
    sent: Counter[str]
    opened: Counter[str]
    """By kind, as their SDKs delivered it."""
    silent: tuple[str, ...]
    """Kinds of which nothing arrived at one of them."""


@dataclass(slots=True)
class Watched:
    """One relay, from start to end."""

    pid: int
    directory: Path
    marker: bytes
    app: App
    dump: Dump
    """Its memory, while its members were there and right after their last frames."""
    surroundings: Surroundings
    later: Dump | None = None
    """The control's memory once it had been given keys."""
    files: tuple[Text, ...] = ()
    """All files that it left behind."""
    oversized: tuple[str, ...] = ()
    status: int = 0
    """Its exit status."""
    meetings: list[Meeting] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    wire: list[Text] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """Why the capture is not whole; empty when it is."""
    needles: list[Needle] = field(default_factory=list, repr=False)
    """Everything that only the members may know."""
    locks: list[Lock] = field(default_factory=list)
    opening: Opening = field(default_factory=Opening)


@dataclass(frozen=True, slots=True)
class Searches:
    """The same search in the three sorts of places."""

    memory: Sweep
    places: Sweep
    wire: Sweep


@dataclass(slots=True, kw_only=True)
class Evidence:
    """Everything that the checks look at."""

    plan: Plan
    closure: Closure
    sdk_closure: Closure
    scan: Scan
    sdk_scan: Scan
    mapped: tuple[list[str], list[str]]
    """Files mapped by the relay, and those of cipher packages among them."""
    own_mapped: tuple[list[str], list[str]]
    """The same of this process, which can decrypt."""
    tested: Watched
    control: Watched
    secrets: Searches
    """Canaries, secrets and keys in the relay under test."""
    ciphertexts: Searches
    """The last ciphertexts, there: what the search must find."""
    markers: Searches
    clear: Searches
    """The control's canaries in the control."""
    guesses: list[Guessing]
    """One for each size of key."""
    control_guesses: list[Guessing]
    """The same in the control, in what changed in its memory when it was given the keys."""


async def inquire(plan: Plan, directory: Path, progress: Progress) -> Evidence:
    """Do it all, with *directory* for temporary files.

    Raises:
        CannotVerify: something does not run, or is not allowed.
        SealcastError: a member could not join, send or leave.

    """
    progress.phase("reading what the relay is made of")
    closure = await sources.closure("sealcast.server.relay", directory)
    sdk_closure = await sources.closure("sealcast.client", directory)
    scan = await asyncio.to_thread(sources.scan, _SERVER)
    sdk_scan = await asyncio.to_thread(sources.scan, [_SDK])

    progress.phase("talking through the relay under test")
    tested = await _run_tested(plan, directory)
    locks = _one_per_size(tested.locks)
    progress.phase("talking in clear through the control")
    control = await _run_control(plan, directory, [lock.key for lock in locks])
    assert control.later is not None, "it was given keys"

    progress.phase("searching")
    secrets_found = await _search(tested, tested.needles)
    ciphertexts_found = await _search(tested, capture.ciphertexts(tested.connections))
    markers_found = await _search(tested, _markers(tested))
    clear_found = await _search(control, control.needles)
    guesses, control_guesses = [], []
    fresh = changed(control.dump.texts, control.later.texts)
    for lock in locks:
        progress.phase(f"trying windows of {lock.key_size} bytes as keys")
        bounds = {"stride": plan.stride, "most": plan.most}
        guesses.append(await guess(tested.dump.texts, lock, progress=progress.share, **bounds))
        control_guesses.append(await guess(fresh, lock, progress=lambda done: None, **bounds))
    return Evidence(
        plan=plan,
        closure=closure,
        sdk_closure=sdk_closure,
        scan=scan,
        sdk_scan=sdk_scan,
        mapped=sources.cipher_files(tested.dump.mappings),
        own_mapped=sources.cipher_files(read_maps("self")),
        tested=tested,
        control=control,
        secrets=secrets_found,
        ciphertexts=ciphertexts_found,
        markers=markers_found,
        clear=clear_found,
        guesses=guesses,
        control_guesses=control_guesses,
    )


async def _run_tested(plan: Plan, directory: Path) -> Watched:
    async with _stage(directory / "tested", plan.providers, clear=False, plant=plan.sabotage) as stage:
        await stage.talk(plan.pace)
        if plan.sabotage:
            unlocked = stage.unlock(stage.capture.connections(stage.app.app_id))
            for lock in _one_per_size([lock for one in unlocked for lock in one.locks]):
                await stage.relay.plant(lock.key)
        watched = await stage.freeze()
    return await stage.close(watched)


async def _run_control(plan: Plan, directory: Path, keys: list[bytes]) -> Watched:
    async with _stage(directory / "control", [CLEAR], clear=True, plant=True) as stage:
        await stage.talk(Pace(min(_CONTROL_SECONDS, plan.pace.seconds), plan.pace.rate))
        watched = await stage.freeze()
        for key in keys:
            await stage.relay.plant(key)
        async with stage.relay.frozen():
            watched.later = await asyncio.to_thread(dump, stage.relay.pid)
    return await stage.close(watched)


class _Stage:
    """A relay, the tap before it, and the members."""

    def __init__(self, app: App, marker: str, relay: RelayProcess, tap: Tap, captured: Capture) -> None:
        self.app = app
        self.marker = marker.encode()
        self.relay = relay
        self.tap = tap
        self.capture = captured
        self.pairs: list[Pair] = []

    async def talk(self, pace: Pace) -> None:
        """Let everybody talk at the same time."""
        await asyncio.gather(*(pair.talk(pace) for pair in self.pairs))

    async def freeze(self) -> Watched:
        """Stop the relay for as long as it takes to read it."""
        async with self.relay.frozen():
            memory = await asyncio.to_thread(dump, self.relay.pid)
            around = await asyncio.to_thread(surroundings, self.relay.pid)
        return Watched(self.relay.pid, self.relay.directory, self.marker, self.app, memory, around)

    async def close(self, watched: Watched) -> Watched:
        """Add what there is to know once everything has ended."""
        watched.status = self.relay.status
        files, oversized = await asyncio.to_thread(files_below, self.relay.directory)
        watched.files, watched.oversized = files, oversized + watched.surroundings.oversized
        watched.meetings = [_meeting(pair) for pair in self.pairs]
        watched.wire = capture.texts(self.tap.recordings)
        watched.faults = [fault for recording in self.tap.recordings for fault in _faults(recording)]
        if self.capture.unexplained:
            watched.faults.append(f"{self.capture.unexplained} WebSocket frames that are no binary message")
        watched.connections = self.capture.connections(self.app.app_id)
        for pair, unlocked in zip(self.pairs, self.unlock(watched.connections), strict=True):
            watched.needles += unlocked.needles
            watched.needles += capture.canary_needles(pair.canaries, pair.provider.name)
            watched.locks += unlocked.locks
            watched.opening.add(unlocked.opening)
        return watched

    def unlock(self, found: list[Connection]) -> list[capture.Unlocked]:
        """Derive the keys of every pair from what has been captured."""
        return [
            capture.unlock(
                found, self.app.app_id, pair.channel, pair.material, pair.canaries, pair.provider.name
            )
            for pair in self.pairs
        ]


@contextlib.asynccontextmanager
async def _stage(
    directory: Path, providers: Sequence[Provider], *, clear: bool, plant: bool
) -> AsyncIterator[_Stage]:
    """Start a relay and let members meet in it; at the end everybody leaves and it ends."""
    app, marker = App(), secrets.token_hex(20)
    await asyncio.to_thread(_furnish, directory, marker)
    captured = Capture()
    async with (
        RelayProcess(directory, _config(app, clear=clear), marker, plant=plant) as relay,
        Tap(("127.0.0.1", relay.port), captured.watch) as tap,
    ):
        stage = _Stage(app, marker, relay, tap, captured)
        async with contextlib.AsyncExitStack() as stack:
            for provider in providers:
                pair = Pair(provider, app, f"ws://127.0.0.1:{tap.port}")
                stage.pairs.append(await stack.enter_async_context(pair))
            yield stage
        await tap.settle(_SETTLE_TIMEOUT)


def _furnish(directory: Path, marker: str) -> None:
    directory.mkdir()
    (directory / MARKER_FILE).write_text(marker)


def _config(app: App, *, clear: bool) -> dict[str, Any]:
    """Return the relay's configuration; it logs all that it can."""
    return {
        "server": {"host": "127.0.0.1", "port": 0, "drain_spread": 0},
        "log": {"level": "debug", "format": "json"},
        "apps": [
            {
                "app_id": app.app_id,
                "certificate": app.certificate,
                "policy": {"encryption": "optional" if clear else "required"},
            }
        ],
    }


def _meeting(pair: Pair) -> Meeting:
    sent: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    silent: set[str] = set()
    for member in pair.members.values():
        sent += member.sent
        opened += member.opened
        silent |= {kind for kind in member.sent if not member.opened[kind]}
    return Meeting(pair.provider.name, sent, opened, tuple(sorted(silent)))


def _faults(recording: Recording) -> list[str]:
    cut = ["the recording was cut short"] if recording.cut else []
    return cut + ([recording.fault] if recording.fault else [])


def _one_per_size(locks: Sequence[Lock]) -> list[Lock]:
    """Return the shortest frame for each size of key, small keys first."""
    shortest: dict[int, Lock] = {}
    for lock in locks:
        if lock.key_size not in shortest or len(lock.body) < len(shortest[lock.key_size].body):
            shortest[lock.key_size] = lock
    return [shortest[size] for size in sorted(shortest)]


def _markers(watched: Watched) -> list[Needle]:
    return [
        Needle("marker", watched.marker),
        Needle("app id", watched.app.app_id.encode()),
        Needle("runner", RUNNER.encode()),
    ]


async def _search(watched: Watched, needles: Sequence[Needle]) -> Searches:
    places = [*watched.surroundings.texts, *watched.files]
    found = [
        await asyncio.to_thread(search, texts, needles)
        for texts in (watched.dump.texts, places, watched.wire)
    ]
    return Searches(*found)
