"""One relay, the tap before it and the members: where they talk, and what is left when they have gone."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sealcast.cli.demo.tap import Recording, Tap

from . import capture
from .capture import Capture, Connection
from .members import USERS, App, Group, Pace
from .memory import Dump, dump
from .needles import Needle, Text
from .places import Surroundings, files_below, surroundings
from .process import RelayProcess
from .providers import Provider
from .unlock import Lock, Opening, Unlocked, canary_needles, unlock

__all__ = ["MARKER_FILE", "Meeting", "Stage", "Watched", "stage"]

MARKER_FILE: Final = "marker"
"""A file with the marker in it, put into the relay's directory."""

_SETTLE_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Meeting:
    """What the members of one provider's sent and opened."""

    provider: Provider
    sent: Counter[str]
    opened: Counter[str]
    """By kind, as their SDKs delivered it."""
    silent: tuple[str, ...]
    """Kinds of which nothing of somebody's arrived at one of those who stayed."""
    opening: Opening
    """How much of what they sent opens under the keys that are searched for."""
    turns: frozenset[tuple[int, int]]
    """The epochs and ratchet steps under which those who stayed sealed, as far as a key id tells them."""
    secrets: int
    """How many secrets of theirs are searched for."""
    changes: bool
    """Whether their keys were to change."""


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
    locks: list[list[Lock]] = field(default_factory=list)
    """Captured frames, by provider."""
    opening: Opening = field(default_factory=Opening)


class Stage:
    """A relay with its members; made by ``stage``."""

    def __init__(self, app: App, marker: str, relay: RelayProcess, tap: Tap, captured: Capture) -> None:
        self.relay = relay
        self.groups: list[Group] = []
        self._app = app
        self._marker = marker.encode()
        self._tap = tap
        self._capture = captured

    async def talk(self, pace: Pace) -> None:
        """Let everybody talk at the same time; raises TimeoutError when somebody is not met."""
        talks = [asyncio.create_task(group.talk(pace)) for group in self.groups]
        try:
            await asyncio.gather(*talks)
        finally:
            for talk in talks:
                talk.cancel()
            await asyncio.gather(*talks, return_exceptions=True)

    async def freeze(self) -> Watched:
        """Stop the relay for as long as it takes to read it."""
        async with self.relay.frozen():
            memory = await asyncio.to_thread(dump, self.relay.pid)
            around = await asyncio.to_thread(surroundings, self.relay.pid)
        return Watched(self.relay.pid, self.relay.directory, self._marker, self._app, memory, around)

    def unlock(self) -> list[Unlocked]:
        """Derive the keys of every group from what has been captured up to now."""
        found = self._capture.connections(self._app.app_id)
        return [
            unlock(
                found, group.app.app_id, group.channel, group.material, group.canaries, group.provider.name
            )
            for group in self.groups
        ]

    async def close(self, watched: Watched) -> Watched:
        """Add what there is to know once everything has ended."""
        watched.status = self.relay.status
        files, oversized = await asyncio.to_thread(files_below, self.relay.directory)
        watched.files, watched.oversized = files, oversized + watched.surroundings.oversized
        watched.wire = capture.texts(self._tap.recordings)
        watched.faults = [fault for recording in self._tap.recordings for fault in _faults(recording)]
        if self._capture.unexplained:
            watched.faults.append(f"{self._capture.unexplained} WebSocket frames that are no binary message")
        watched.connections = self._capture.connections(self._app.app_id)
        for group, unlocked in zip(self.groups, await asyncio.to_thread(self.unlock), strict=True):
            watched.meetings.append(_meeting(group, unlocked))
            watched.needles += unlocked.needles
            watched.needles += canary_needles(group.canaries, group.provider.name)
            watched.locks.append(unlocked.locks)
            watched.opening.add(unlocked.opening)
        return watched


@contextlib.asynccontextmanager
async def stage(
    directory: Path, providers: Sequence[Provider], *, clear: bool, plant: bool
) -> AsyncIterator[Stage]:
    """Start a relay and let members meet in it; at the end everybody leaves and it ends.

    Args:
        directory: made for it; what it leaves there is read at the end.
        providers: one channel for each.
        clear: whether it lets members talk in clear.
        plant: whether it can be given keys.

    Raises:
        CannotVerify: the relay does not run.
        TimeoutError: the members did not meet.

    """
    app, marker = App(), secrets.token_hex(20)
    await asyncio.to_thread(_furnish, directory, marker)
    captured = Capture()
    async with (
        RelayProcess(directory, _config(app, clear=clear), marker, plant=plant) as relay,
        Tap(("127.0.0.1", relay.port), captured.watch) as tap,
    ):
        made = Stage(app, marker, relay, tap, captured)
        async with contextlib.AsyncExitStack() as stack:
            for provider in providers:
                group = Group(provider, app, f"ws://127.0.0.1:{tap.port}")
                made.groups.append(await stack.enter_async_context(group))
            yield made
        await tap.settle(_SETTLE_TIMEOUT)


def _furnish(directory: Path, marker: str) -> None:
    directory.mkdir()
    (directory / MARKER_FILE).write_text(marker)


def _config(app: App, *, clear: bool) -> dict[str, Any]:
    """Return the relay's configuration: it logs all that it can, and stores all that it can.

    What it stores is below its working directory, all files of which are searched.
    """
    return {
        "server": {"host": "127.0.0.1", "port": 0, "drain_spread": 0},
        "log": {"level": "debug", "format": "json"},
        "storage": {"engine": "sqlite", "path": "messages.db"},
        "apps": [
            {
                "app_id": app.app_id,
                "certificate": app.certificate,
                "policy": {"encryption": "optional" if clear else "required"},
            }
        ],
    }


def _meeting(group: Group, unlocked: Unlocked) -> Meeting:
    sent: Counter[str] = Counter()
    opened: Counter[str] = Counter()
    silent: set[str] = set()
    for member in group.members.values():
        sent += member.sent
        for (_, kind), count in member.opened.items():
            opened[kind] += count
    for user in USERS:
        for other in group.members.keys() - {user}:
            heard = group.members[user].opened
            silent |= {kind for kind in group.members[other].sent if not heard[other, kind]}
    return Meeting(
        provider=group.provider,
        sent=sent,
        opened=opened,
        silent=tuple(sorted(silent)),
        opening=unlocked.opening,
        turns=frozenset(turn for user in USERS for turn in unlocked.turns.get(user, ())),
        secrets=len(unlocked.needles),
        changes=group.material.changes,
    )


def _faults(recording: Recording) -> list[str]:
    cut = ["the recording was cut short"] if recording.cut else []
    return cut + ([recording.fault] if recording.fault else [])
