"""Runs a plan: members that talk through a relay while connections break and the relay crashes."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Coroutine
from typing import Any

from sealcast.client import Channel, Client, SealcastError

from .loop import run
from .plan import LENGTH, Step, draw
from .record import Diary, Place, Wrong, judge
from .world import World

__all__ = ["MEMBERS", "failure", "play", "shrink"]

MEMBERS = 4
_PEACE = 60.0
"""Simulated seconds in which everybody must be back after the last step."""
_PATIENCE = 5.0


class _Member:
    """One user: a client, its diary of the present membership, and those of earlier ones."""

    def __init__(self, world: World, number: int, diaries: list[Diary]) -> None:
        self.user = f"user-{number}"
        self.client: Client = world.client(self.user)
        self.room: Channel | None = None
        self._world = world
        self._diaries = diaries
        self._diary = Diary(self.user)
        self._count = 0
        self._reader: asyncio.Task[None] | None = None

    async def join(self) -> None:
        if self.room is not None and not self.room.closed:
            return
        with contextlib.suppress(SealcastError):
            self.room = await self.client.join("room", user=self.user, key=self._world.key())
            self._diary = Diary(self.user)
            self._diaries.append(self._diary)
            self._reader = asyncio.create_task(self._read(self.room, self._diary))

    async def leave(self) -> None:
        if self.room is not None:
            await self.room.leave()
            self.room = None

    async def send(self) -> None:
        room, diary = self.room, self._diary
        if room is None or room.closed:
            return
        self._count += 1
        with contextlib.suppress(SealcastError):
            await self.say(room, diary, f"{self.user}/{self._count}".encode())

    async def last(self) -> bytes:
        assert self.room is not None
        data = f"{self.user}/last".encode()
        await self.say(self.room, self._diary, data)
        return data

    async def say(self, room: Channel, diary: Diary, data: bytes) -> None:
        diary.tried.add(data)
        receipt = await room.send(data)
        diary.acked[data] = Place(receipt.epoch, receipt.offset)

    async def burst(self) -> None:
        await asyncio.gather(*(self.send() for _ in range(10)))

    async def frames(self) -> None:
        if self.room is None or self.room.closed:
            return
        with contextlib.suppress(SealcastError), contextlib.closing(self.room.stream("audio")) as stream:
            for _ in range(20):
                stream.send(bytes(500))
                await asyncio.sleep(0.01)

    def heard(self, data: bytes) -> bool:
        return any(getattr(event, "data", None) == data for event in self._diary.events)

    async def close(self) -> None:
        await self.client.close()
        if self._reader is not None:
            await self._reader

    async def _read(self, room: Channel, diary: Diary) -> None:
        async for event in room:
            diary.events.append(event)


def play(seed: int, steps: list[Step] | None = None, world: Callable[[int], World] = World) -> None:
    """Run a seed, or these steps of it; raises when a promise is broken, something hangs or is left over."""
    run(_play(seed, draw(seed, MEMBERS) if steps is None else steps, world))


async def _play(seed: int, steps: list[Step], make: Callable[[int], World]) -> None:
    diaries: list[Diary] = []
    async with make(seed) as world:
        members = [_Member(world, number, diaries) for number in range(MEMBERS)]
        for member in members:
            await member.join()
        tasks: list[asyncio.Task[None]] = []
        for step in steps:
            await asyncio.sleep(max(step.at - world.loop.time(), 0))
            _take(step, world, members, tasks)
        await asyncio.sleep(max(LENGTH - world.loop.time(), 0))
        if world.disk is not None:
            world.disk.failing = False
        if not world.up:
            world.start()
        for wire in world.wires:
            wire.resume_reading()
        await asyncio.wait_for(asyncio.gather(*tasks), _PEACE)
        await _last_round(world, members)
        for member in members:
            await member.close()
        durable = world.disk is not None
    judge(diaries, durable=durable)


def _take(step: Step, world: World, members: list[_Member], tasks: list[asyncio.Task[None]]) -> None:
    member = members[step.who]
    wire = world.wires[step.who % len(world.wires)] if world.wires else None
    if step.what == "crash":
        if world.up:
            world.crash()
    elif step.what == "restart":
        if not world.up:
            world.start()
    elif step.what in ("fill", "clear"):
        if world.disk is not None:
            world.disk.failing = step.what == "fill"
    elif step.what in ("cut", "stall", "flow"):
        if wire is not None:
            {"cut": wire.cut, "stall": wire.stall, "flow": wire.resume_reading}[step.what]()
    else:
        work: Callable[[], Coroutine[Any, Any, None]] = getattr(member, step.what)
        tasks.append(asyncio.create_task(work()))


async def _last_round(world: World, members: list[_Member]) -> None:
    """In peace everybody comes back, and what is sent then reaches everybody."""
    deadline = world.loop.time() + _PEACE
    for member in members:
        while member.room is None or member.room.closed or not member.room.joined:
            if world.loop.time() > deadline:
                raise Wrong(f"{member.user} has not come back")
            await asyncio.sleep(0.5)
            await member.join()
    for member in members:
        data = await member.last()
        for other in members:
            while other is not member and not other.heard(data):
                if world.loop.time() > deadline + _PATIENCE:
                    raise Wrong(f"{other.user} did not hear {member.user} in peace")
                await asyncio.sleep(0.1)


def failure(seed: int, steps: list[Step]) -> str | None:
    """Return what goes wrong when these steps of a seed are taken, or None."""
    try:
        play(seed, steps)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def shrink(seed: int, steps: list[Step], wrong: str) -> list[Step]:
    """Leave out all steps without which the same promise is still broken: pieces first, then single steps."""
    size = len(steps)
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if _kind(failure(seed, fewer)) == _kind(wrong):
                steps = fewer
            else:
                at += size
        size //= 2
    return steps


def _kind(wrong: str | None) -> str | None:
    """Return what a failure is about, without the numbers and names of one run."""
    return None if wrong is None else re.sub(r"'[^']*'|user-|\d+|\[.*", "", wrong)[:80]
