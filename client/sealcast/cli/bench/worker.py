"""One generator process: ``python -m sealcast.cli.bench.worker``, driven by lines on standard input.

It is told its part as one JSON line, says ``joined``, waits for ``go``, sends and receives, says ``sent``
when its senders are done, and ``result`` after ``stop``. The end of its input ends it at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, Final

from sealcast.client import (
    Channel,
    Client,
    Disconnected,
    Dropped,
    Frame,
    Key,
    Message,
    Options,
    SealFailure,
)
from sealcast.protocol.errors import SealcastError

from ..keys import parse_key
from ..race import race
from .plan import Plan, Seat
from .tally import MEASURED, WARMUP, Arrivals, Totals, payload

__all__ = ["main"]

_JOINING: Final = 32
"""Joins that are under way at a time."""
_IN_FLIGHT: Final = 64
"""Messages of one publisher that may wait for their ack."""
_SAY_EVERY: Final = 0.25


class _Member:
    """A seat that is taken: its room and what it has received."""

    def __init__(self, seat: Seat, room: Channel, client: Client, arrivals: Arrivals) -> None:
        self.seat = seat
        self.room = room
        self.client = client
        self.arrivals = arrivals


class _Worker:
    """Plays the seats of one process."""

    def __init__(self, part: dict[str, Any]) -> None:
        self._plan = Plan.of_json(part["plan"])
        self._run = bytes.fromhex(part["run"])
        self._key: Key = parse_key(part["key"])
        self._url, self._app_id = part["url"], part["app_id"]
        self._seats = [(Seat(*seat), token) for seat, token in part["seats"]]
        self._pause = part["processes"] / self._plan.ramp if self._plan.ramp else 0.0
        self._members: list[_Member] = []
        self._totals = Totals()
        self._readers: list[asyncio.Task[None]] = []

    async def run(self, orders: _Orders) -> None:
        """Play until it is told to stop, and say what came of it."""
        teller = asyncio.create_task(self._tell())
        playing = asyncio.create_task(self._play(orders.go))
        stopped = asyncio.create_task(orders.stop.wait())
        await asyncio.wait({playing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        for task in (teller, playing, stopped, *self._readers):
            task.cancel()
        await asyncio.gather(teller, stopped, *self._readers, return_exceptions=True)
        [fault] = await asyncio.gather(playing, return_exceptions=True)
        self._totals.take(member.arrivals for member in self._members)
        self._say("result", totals=self._totals.to_json())
        await asyncio.gather(*(member.client.close() for member in self._members))
        if isinstance(fault, Exception):
            raise fault

    async def _play(self, go: asyncio.Event) -> None:
        await self._join()
        self._say("joined", joined=self._totals.joined)
        await go.wait()
        cpu, start = time.process_time(), time.perf_counter()
        try:
            await asyncio.gather(
                asyncio.sleep(self._plan.warmup + self._plan.duration),
                *(self._publish(member) for member in self._members),
            )
        finally:
            self._totals.cpu = (time.process_time() - cpu) / (time.perf_counter() - start)
        self._say("sent", accepted=self._totals.accepted)
        await asyncio.Event().wait()

    # --- joining ---

    async def _join(self) -> None:
        places = asyncio.Semaphore(_JOINING)
        start = time.perf_counter()

        async def take(number: int, seat: Seat, token: str | None) -> None:
            await asyncio.sleep(max(start + number * self._pause - time.perf_counter(), 0))
            async with places:
                await self._sit(seat, token)

        await asyncio.gather(*(take(n, seat, token) for n, (seat, token) in enumerate(self._seats)))
        self._totals.join_seconds = time.perf_counter() - start

    async def _sit(self, seat: Seat, token: str | None) -> None:
        began = time.perf_counter_ns()
        client = Client(self._url, app_id=self._app_id, token=token, options=Options(timeout=30))
        try:
            room = await client.join(seat.channel, user=seat.user, key=self._key)
        except SealcastError as error:
            self._totals.refuse(str(error))
            await client.close()
            return
        self._totals.joined += 1
        self._totals.joins.add((time.perf_counter_ns() - began) // 1000)
        member = _Member(seat, room, client, Arrivals(self._run, self._plan.size))
        self._members.append(member)
        self._readers.append(asyncio.create_task(self._read(member)))

    async def _read(self, member: _Member) -> None:
        totals = self._totals
        async for event in member.room:
            if isinstance(event, Frame | Message):
                member.arrivals.take(event.data, time.monotonic_ns())
            elif isinstance(event, Dropped):
                count = sum(event.counts.values())
                totals.dropped[event.where] = totals.dropped.get(event.where, 0) + count
            elif isinstance(event, SealFailure):
                totals.unopened += event.count
            elif isinstance(event, Disconnected):
                totals.lost += 1

    # --- sending ---

    async def _publish(self, member: _Member) -> None:
        if member.seat.publisher is None:
            return
        plan = self._plan
        send = _Messages(member.room, self._totals) if plan.kind == "message" else None
        stream = None if send else member.room.stream(plan.kind)
        # Publishers are spread over the interval, or all of them would send at the same moment.
        phase = member.seat.publisher * 0.618 % 1.0 / plan.rate
        for kind, seconds in ((WARMUP, plan.warmup), (MEASURED, plan.duration)):
            start = time.perf_counter() + phase
            for counter in range(round(seconds * plan.rate)):
                due = start + counter / plan.rate
                late = time.perf_counter() - due
                if late < 0:
                    await asyncio.sleep(-late)
                elif counter % 64 == 0:
                    await asyncio.sleep(0)
                self._one(member, kind, counter, due, send, stream)
            await asyncio.sleep(max(start + seconds - time.perf_counter(), 0))
        if send is not None:
            await send.settle()

    def _one(
        self, member: _Member, phase: int, counter: int, due: float, send: _Messages | None, stream: Any
    ) -> None:
        totals, publisher = self._totals, member.seat.publisher
        assert publisher is not None
        measured = phase == MEASURED
        data = payload(self._run, phase, publisher, counter, time.monotonic_ns(), self._plan.size)
        if measured:
            totals.offered += 1
            totals.lateness.add(int((time.perf_counter() - due) * 1e6))
        if send is not None:
            send.start(data, measured)
            return
        try:
            taken = stream.send(data, keyframe=True)
        except SealcastError:
            taken = False
        if measured:
            totals.accepted += taken
            totals.refused += not taken

    # --- talking ---

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_SAY_EVERY)
            received = sum(member.arrivals.received for member in self._members)
            self._say(
                "progress", joined=self._totals.joined, received=received, accepted=self._totals.accepted
            )

    def _say(self, event: str, **fields: Any) -> None:
        print(json.dumps({"event": event, **fields}), flush=True)


class _Messages:
    """A publisher's messages that wait for their acks."""

    def __init__(self, room: Channel, totals: Totals) -> None:
        self._room = room
        self._totals = totals
        self._waiting: set[asyncio.Task[None]] = set()

    def start(self, data: bytes, measured: bool) -> None:
        """Send one, unless too many wait."""
        if len(self._waiting) >= _IN_FLIGHT:
            self._totals.refused += measured
            return
        task = asyncio.create_task(self._send(data, measured))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def settle(self) -> None:
        """Wait for the acks."""
        await asyncio.gather(*self._waiting)

    async def _send(self, data: bytes, measured: bool) -> None:
        try:
            await self._room.send(data)
        except SealcastError:
            self._totals.refused += measured
        else:
            self._totals.accepted += measured


class _Orders:
    """What this process is told: to send, to stop, or, by the end of its input, to be gone."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.stop = asyncio.Event()

    async def listen(self, lines: asyncio.StreamReader) -> None:
        """Take orders until nobody gives any more."""
        while line := await lines.readline():
            (self.go if line.strip() == b"go" else self.stop).set()


async def _main() -> None:
    lines = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer
    )
    part = json.loads(await lines.readline())
    orders = _Orders()
    await race(_Worker(part).run(orders), orders.listen(lines))


def main() -> None:
    """Play one process's part."""
    try:
        import uvloop

        loop: Any = uvloop.new_event_loop
    except ImportError:
        loop = None
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(_main())


if __name__ == "__main__":
    main()
