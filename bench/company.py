"""Some of the members of a managed channel, in one process: real SDK clients on real sockets.

``rekey.py`` starts several of these, and talks to each in lines of JSON on its standard input and output.
Every member sends frames all the time, each with its epoch and a number, and checks that of every other
member's frames it opens all, in order. Times are of CLOCK_MONOTONIC, which all processes share.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import uvloop

from sealcast.client import Authority, Channel, Client, Frame, Identity, Key, KeySwitched, Left, SealFailure
from sealcast.client.tokens import mint

CHANNEL = "bench"
PAYLOAD = struct.Struct(">II112x")
"""Epoch and number of a frame; 120 bytes, as many as 20 ms of audio."""


class Member:
    """One user: what it sends, and what it has opened of the others."""

    def __init__(self, company: Company, number: int) -> None:
        self.name = f"member {number}"
        self.company = company
        self.identity = Identity.generate()
        self.room: Channel
        self.epoch = 0
        self.sent = 0
        self.heard_all = False
        """Whether it has opened a frame of everybody since its join."""
        self.next: dict[int, int] = {}
        """By member number: the number of the frame that comes next."""
        self.epochs: dict[int, int] = {}
        """By member number: the epoch of the last frame."""
        self.before: dict[int, int] = {}
        """The same, as it was before the leave."""
        self.pending: set[int] = set()
        """Whose new key has not been seen in use yet."""
        self._client: Client
        self._tasks: list[asyncio.Task[None]] = []

    async def join(self) -> None:
        setup, now = self.company.setup, int(time.time())
        certificate = self.company.authority.certify(
            setup["app"], CHANNEL, self.name, self.identity.public, not_before=now - 60, not_after=now + 86400
        )
        key = Key.managed(
            self.identity, self.company.authority.public, certificate=certificate, kem=setup["kem"]
        )
        token = mint(setup["app"], setup["certificate"], CHANNEL, self.name)
        self._client = Client(f"ws://127.0.0.1:{setup['port']}", app_id=setup["app"], proxy=None)
        await self._client.connect()
        self.room = await self._client.join(CHANNEL, user=self.name, token=token, key=key)
        self.next, self.epochs, self.epoch, self.sent, self.heard_all = {}, {}, 0, 0, False
        self._stream = self.room.stream("audio")
        self._tasks = [asyncio.create_task(self._hear()), asyncio.create_task(self._talk())]

    async def leave(self) -> float:
        """Leave; return when that began."""
        self._tasks[1].cancel()
        began = time.monotonic()
        await self.room.leave()
        await self._tasks[0]
        await self._client.close()
        return began

    def _send(self) -> None:
        if self._stream.send(PAYLOAD.pack(self.epoch, self.sent)):
            self.sent += 1
        else:
            self.company.count("not sent")

    async def _talk(self) -> None:
        pause = 1 / self.company.setup["rate"]
        await asyncio.sleep(random.random() * pause)
        while True:
            self._send()
            await asyncio.sleep(pause)

    async def _hear(self) -> None:
        async for event in self.room:
            match event:
                case Frame():
                    self._opened(event.member, *PAYLOAD.unpack(event.data))
                case KeySwitched():
                    if event.epoch > self.epoch:
                        self.epoch = event.epoch
                        self.company.switched = time.monotonic()
                        self._send()
                case SealFailure():
                    # What was sealed before its sender had heard of this member is not for it.
                    reason = event.reason if self.heard_all else f"{event.reason} (before it was known)"
                    self.company.count(reason, event.count)
                case Left():
                    return

    def _opened(self, member: int, epoch: int, number: int) -> None:
        missing = number - self.next.get(member, number)
        if missing:
            self.company.count("lost" if missing > 0 else "repeated", abs(missing))
        self.next[member] = number + 1
        self.epochs[member] = epoch
        self.company.opened += 1
        if member in self.pending and epoch > self.before.get(member, -1):
            self.pending.discard(member)
            self.company.stir()
        elif not self.heard_all and self._hears_all():
            self.heard_all = True
            self.company.stir()

    def expect(self, leaver: str) -> None:
        """Wait from now on for a new key of everybody but the leaver."""
        self.before = dict(self.epochs)
        others = self.room.members.values()
        self.pending = {member.number for member in others if member.user != leaver}

    def _hears_all(self) -> bool:
        members = self.room.members
        return len(members) == self.company.setup["members"] - 1 and members.keys() <= self.next.keys()


class Company:
    """The members of this process."""

    def __init__(self, setup: dict[str, Any]) -> None:
        self.setup = setup
        self.authority = Authority.from_bytes(bytes.fromhex(setup["authority"]))
        self.members = {number: Member(self, number) for number in setup["numbers"]}
        self.switched = 0.0
        self.opened = 0
        self.counts: Counter[str] = Counter()
        self._stirred = asyncio.Event()

    def count(self, what: str, times: int = 1) -> None:
        self.counts[what] += times

    def stir(self) -> None:
        self._stirred.set()

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._stirred.clear()
            await self._stirred.wait()

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        """Carry out an order; return what is to be answered."""
        match order:
            case {"do": "join", "numbers": list(numbers)}:
                for number in numbers:
                    await self.members[number].join()
                return {}
            case {"do": "settle"}:
                await self._until(lambda: all(member.heard_all for member in self.members.values()))
                return {}
            case {"do": "expect", "leaver": int(leaver)}:
                for number, member in self.members.items():
                    if number != leaver:
                        member.expect(f"member {leaver}")
                self.opened, self.began, self.cpu = 0, time.monotonic(), time.process_time()
                return {}
            case {"do": "leave", "number": int(number)}:
                return {"began": await self.members[number].leave()}
            case {"do": "rekeyed", "leaver": int(leaver)}:
                rest = [member for number, member in self.members.items() if number != leaver]
                await self._until(lambda: not any(member.pending for member in rest))
                return {
                    "at": time.monotonic(),
                    "switched": self.switched,
                    "opened": self.opened,
                    "seconds": time.monotonic() - self.began,
                    "cpu": time.process_time() - self.cpu,
                }
            case {"do": "counts"}:
                return dict(self.counts)
        raise ValueError(f"no such order: {order}")


async def main() -> None:
    """Obey until the input ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    company = Company(json.loads(await reader.readline()))
    while line := await reader.readline():
        sys.stdout.write(json.dumps(await company.do(json.loads(line))) + "\n")
        sys.stdout.flush()
    for member in company.members.values():
        with contextlib.suppress(Exception):
            await member.leave()


if __name__ == "__main__":
    uvloop.run(main())
