"""A restart under thousands of clients: when is everybody back, and does the relay answer meanwhile?

::

    python bench/storm.py                 # 5,000 clients, a spread of 5 s
    python bench/storm.py --kill          # the relay is killed: nobody is told when to come back

The clients are light: no SDK, the wire by hand, but they wait as the SDK does: for the delay of ``drain``
where there was one, and for its back-off (`sealcast.client.backoff`) after every failure. One more, the
witness, asks ``ping`` ten times a second all the while; its round trips are the relay's answer times.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import uvloop
from tests.chaos.house import APP_ID, CERTIFICATE, RelayProcess

from bench.machine import allow_files
from sealcast.client.backoff import Backoff, Tries
from sealcast.protocol.controls import Drain, Join, Joined, Ping, Pong, Side, decode, encode
from sealcast.protocol.names import Privilege
from sealcast.protocol.tokens import AccessToken

__all__ = ["Outcome", "storm"]

_PATIENCE = 60.0


@dataclass
class Outcome:
    """What came of a storm."""

    clients: int
    spread: float
    back: list[float] = field(default_factory=list)
    """Seconds after the end of the relay in which each client was a member again."""
    answers: list[float] = field(default_factory=list)
    """Seconds of each of the witness's round trips after the restart."""
    failures: int = 0
    """Attempts that came to nothing: while nobody listened, mostly."""
    up: float = 0.0
    """Seconds after the end in which the relay listened again."""


def _frame(payload: bytes) -> bytes:
    """Return a masked binary WebSocket frame; the mask is zero, which is as good as any."""
    length = len(payload)
    size = bytes((0x80 | length,)) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return b"\x82" + size + bytes(4) + payload


class _Connection(asyncio.Protocol):
    """One connection: the handshake, then controls."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.open: asyncio.Future[None] = loop.create_future()
        self.lost: asyncio.Future[None] = loop.create_future()
        self.drain: float | None = None
        self.answers: dict[int, asyncio.Future[object]] = {}
        self._buffer = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(
            f"GET /v1/{APP_ID} HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Protocol: sealcast.1\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.transport.abort()
                return
            self._upgraded, self._buffer = True, rest
        while (payload := self._take()) is not None:
            self._control(payload)

    def _take(self) -> bytes | None:
        data = self._buffer
        if len(data) < 2:
            return None
        start, length = 2, data[1]
        if length >= 126:
            start = 4 if length == 126 else 10
            length = int.from_bytes(data[2:start], "big")
        if len(data) < start + length or len(data) < start:
            return None
        self._buffer = data[start + length :]
        if data[0] == 0x88:
            self.transport.close()
        return data[start : start + length] if data[0] == 0x82 else b""

    def _control(self, payload: bytes) -> None:
        if not payload or payload[0] != 0:
            return
        control, ref = decode(payload, Side.SERVER)
        if isinstance(control, Drain):
            self.drain = control.delay
        elif not self.open.done():
            self.open.set_result(None)  # welcome
        if (answer := self.answers.pop(ref, None)) is not None and not answer.done():
            answer.set_result(control)

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.open, *self.answers.values()):
            if not future.done():
                future.set_exception(ConnectionResetError())
                future.exception()
        self.lost.set_result(None)

    async def ask(self, control: Join | Ping, ref: int) -> object:
        answer = self.answers[ref] = asyncio.get_running_loop().create_future()
        self.transport.write(_frame(encode(control, ref)))
        return await answer


async def _connect(port: int) -> _Connection:
    _, connection = await asyncio.get_running_loop().create_connection(_Connection, "127.0.0.1", port)
    await connection.open
    return connection


class _Client:
    def __init__(self, number: int, port: int, outcome: Outcome, chance: random.Random) -> None:
        self.channel, self.user = f"hall-{number // 20}", f"user-{number}"
        token = AccessToken(APP_ID, CERTIFICATE, issued_at=int(time.time()), salt=1, expire=3600)
        self._token = token.add_rtc(self.channel, self.user, dict.fromkeys(Privilege, 3600)).build()
        self._port = port
        self._outcome = outcome
        self._chance = chance
        self._tries = Tries(Backoff())
        self._connection: _Connection | None = None

    async def join(self) -> None:
        connection = await _connect(self._port)
        answer = await connection.ask(Join(channel=self.channel, user=self.user, token=self._token), 1)
        if not isinstance(answer, Joined):
            connection.transport.abort()
            raise ConnectionRefusedError
        self._connection = connection

    async def come_back(self, ended: asyncio.Future[float]) -> None:
        assert self._connection is not None
        await self._connection.lost
        at = await ended
        wait = self._connection.drain or 0.0
        first = self._connection.drain is None
        while True:
            if not first:
                await asyncio.sleep(wait)
            else:
                await asyncio.sleep(self._tries.wait(self._chance.random()))
            try:
                await self.join()
            except OSError:
                self._outcome.failures += 1
                first = True
                continue
            self._outcome.back.append(time.monotonic() - at)
            return

    def close(self) -> None:
        if self._connection is not None:
            self._connection.transport.abort()


async def _witness(port: int, outcome: Outcome, over: asyncio.Event) -> None:
    connection = None
    for ref in range(1, 100_000):
        if over.is_set():
            break
        began = time.monotonic()
        try:
            if connection is None:
                connection = await _connect(port)
            assert isinstance(await connection.ask(Ping(), ref), Pong)
        except OSError:
            connection = None
        else:
            outcome.answers.append(time.monotonic() - began)
        await asyncio.sleep(max(0.0, 0.1 - (time.monotonic() - began)))
    if connection is not None:
        connection.transport.abort()


async def storm(
    place: Path, clients: int, *, spread: float = 5.0, kill: bool = False, seed: int = 1
) -> Outcome:
    """Restart a relay under so many clients; return what came of it."""
    outcome = Outcome(clients, spread)
    environment = {"SEALCAST_SERVER_DRAIN_SPREAD": str(spread), "SEALCAST_SERVER_UNAUTHENTICATED": "3600"}
    relay = RelayProcess(place, "memory", **environment)
    await relay.start()
    crowd = [_Client(number, relay.port, outcome, random.Random(seed + number)) for number in range(clients)]
    try:
        for start in range(0, clients, 100):
            await asyncio.gather(*(client.join() for client in crowd[start : start + 100]))
        ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        coming = [asyncio.create_task(client.come_back(ended)) for client in crowd]
        await (relay.kill() if kill else relay.terminate())
        began = time.monotonic()
        ended.set_result(began)
        await relay.start()
        outcome.up = time.monotonic() - began
        over = asyncio.Event()
        witness = asyncio.create_task(_witness(relay.port, outcome, over))
        await asyncio.wait_for(asyncio.gather(*coming), _PATIENCE)
        over.set()
        await witness
    finally:
        for client in crowd:
            client.close()
        await relay.kill()
    return outcome


def _main() -> int:
    parser = argparse.ArgumentParser(description="Restart a relay under thousands of clients.")
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--spread", type=float, default=5.0, help="server.drain_spread, in seconds")
    parser.add_argument("--kill", action="store_true", help="kill it instead of letting it drain")
    options = parser.parse_args()
    if not allow_files(options.clients + 400):
        print(f"{options.clients} connections need more open files than this user may have", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as place, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(storm(Path(place), options.clients, spread=options.spread, kill=options.kill))
    back, answers = sorted(found.back), sorted(found.answers)
    print(f"{found.clients} clients, {'killed' if options.kill else f'drained over {found.spread:g} s'}")
    print(f"the relay listened again after {found.up:.2f} s")
    print(
        f"back: half after {statistics.median(back):.2f} s,"
        f" 99 of 100 after {back[int(len(back) * 0.99)]:.2f} s,"
        f" all after {back[-1]:.2f} s; {found.failures} attempts failed"
    )
    print(
        f"the witness's round trips meanwhile: median {1000 * statistics.median(answers):.1f} ms,"
        f" p99 {1000 * answers[int(len(answers) * 0.99)]:.1f} ms, longest {1000 * answers[-1]:.1f} ms"
    )
    return 0


if __name__ == "__main__":
    sys.exit(_main())
