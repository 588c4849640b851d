"""The course of the proof: what is run, when it is frozen, what is searched. The conclusions are ``checks``.

Two relays are run, one after the other (``stage``). The first, under test, is what an operator runs:
encryption is required, and members with every kind of key talk through it. The second is the control:
members talk in clear, and afterwards it is given the keys of captured frames. The same searches see both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from . import capture, sources
from .guess import Guessing, guess
from .members import Pace
from .memory import changed, dump, read_maps
from .needles import Needle, Sweep, search
from .process import RUNNER
from .providers import CLEAR, PROVIDERS, Provider, offered
from .sources import Closure, Scan
from .stage import Stage, Watched, stage
from .unlock import Lock

__all__ = ["Evidence", "Plan", "Progress", "Searches", "inquire"]

_SERVER: Final = ("sealcast.server", "sealcast.protocol")
_SDK: Final = "sealcast.client.e2ee"
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
    providers: Sequence[Provider] = field(default_factory=offered)

    @property
    def missing(self) -> tuple[str, ...]:
        """The ways to agree on keys that do not take part."""
        return tuple(provider.name for provider in PROVIDERS if provider not in self.providers)


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
    planted: list[Lock]
    """The frames whose keys the control was given, one of each provider."""


async def inquire(plan: Plan, directory: Path, progress: Progress) -> Evidence:
    """Do it all, with *directory* for temporary files.

    Raises:
        CannotVerify: something does not run, or is not allowed.
        SealcastError: a member could not join, send or leave.
        TimeoutError: the members did not meet.

    """
    progress.phase("reading what the relay is made of")
    closure = await sources.closure("sealcast.server.relay", directory)
    sdk_closure = await sources.closure("sealcast.client", directory)
    scan = await asyncio.to_thread(sources.scan, _SERVER)
    sdk_scan = await asyncio.to_thread(sources.scan, [_SDK])

    progress.phase("talking through the relay under test")
    tested = await _run_tested(plan, directory)
    planted = _one_of_each(tested.locks)
    progress.phase("talking in clear through the control")
    control = await _run_control(plan, directory, [lock.key for lock in planted])

    progress.phase("searching")
    secrets_found = await _search(tested, tested.needles)
    ciphertexts_found = await _search(tested, capture.ciphertexts(tested.connections))
    markers_found = await _search(tested, _markers(tested))
    clear_found = await _search(control, control.needles)
    guesses, control_guesses = await _guess(plan, tested, control, progress)
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
        planted=planted,
    )


async def _run_tested(plan: Plan, directory: Path) -> Watched:
    async with stage(directory / "tested", plan.providers, clear=False, plant=plan.sabotage) as running:
        await running.talk(plan.pace)
        if plan.sabotage:
            for secret in await asyncio.to_thread(_given_away, running):
                await running.relay.plant(secret)
        watched = await running.freeze()
    return await running.close(watched)


def _given_away(running: Stage) -> list[bytes]:
    """Return the key of a captured frame, and the first of the secrets, of every provider."""
    keys = [lock.key for lock in _one_of_each(unlocked.locks for unlocked in running.unlock())]
    return keys + [group.material.secrets[0][1] for group in running.groups]


async def _run_control(plan: Plan, directory: Path, keys: list[bytes]) -> Watched:
    async with stage(directory / "control", [CLEAR], clear=True, plant=True) as running:
        await running.talk(Pace(min(_CONTROL_SECONDS, plan.pace.seconds), plan.pace.rate))
        watched = await running.freeze()
        for key in keys:
            await running.relay.plant(key)
        async with running.relay.frozen():
            watched.later = await asyncio.to_thread(dump, running.relay.pid)
    return await running.close(watched)


def _one_of_each(locks: Iterable[Sequence[Lock]]) -> list[Lock]:
    """Return the shortest frame of each provider that has one."""
    return [min(each, key=lambda lock: len(lock.body)) for each in locks if each]


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


async def _guess(
    plan: Plan, tested: Watched, control: Watched, progress: Progress
) -> tuple[list[Guessing], list[Guessing]]:
    """Try all windows of the memory under test, and of what is new in the control's, by size of key."""
    assert control.later is not None, "it was given keys"
    fresh = changed(control.dump.texts, control.later.texts)
    locks: dict[int, list[Lock]] = {}
    for lock in (lock for each in tested.locks for lock in each):
        locks.setdefault(len(lock.key), []).append(lock)
    guesses, control_guesses = [], []
    for size, frames in sorted(locks.items()):
        progress.phase(f"trying windows of {size} bytes as keys")
        guesses.append(
            await guess(
                tested.dump.texts, size, frames, stride=plan.stride, most=plan.most, progress=progress.share
            )
        )
        control_guesses.append(
            await guess(fresh, size, frames, stride=plan.stride, most=plan.most, progress=lambda done: None)
        )
    return guesses, control_guesses
