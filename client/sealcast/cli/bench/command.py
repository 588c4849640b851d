"""``sealcast bench``: how much a relay carries, asked by as many members as it takes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import secrets
import sys
from typing import Annotated, Any, Final, Literal

import typer

from ..access import (
    Access,
    AppIdOption,
    CertificateFileOption,
    CertificateOption,
    ContextOption,
    TokenFileOption,
    TokenOption,
    UrlOption,
    reach,
)
from ..children import Child, ChildFailed, Children
from ..failure import Failure, Status
from ..keys import CLEAR
from ..quantity import duration as seconds_of
from .plan import HEADER, Plan
from .tally import Totals
from .verdict import judge

__all__ = ["bench"]

_JOIN_PATIENCE: Final = 30.0
"""Seconds beyond the ramp in which everybody must have joined."""
_DRAIN: Final = 10.0
"""Seconds that the last deliveries may take; without progress no more than _QUIET."""
_QUIET: Final = 2.0
_LONGEST: Final = 3000.0
"""Seconds: the tokens of a test are good for an hour."""


def bench(
    channels: Annotated[int, typer.Option(min=1, max=100_000, help="Channels.")] = 1,
    publishers: Annotated[int, typer.Option(min=1, max=1000, help="Senders in each channel.")] = 1,
    subscribers: Annotated[int, typer.Option(min=0, max=100_000, help="Listeners in each channel.")] = 10,
    rate: Annotated[float, typer.Option(help="Frames per second of each sender.")] = 50.0,
    size: Annotated[int, typer.Option(min=HEADER, max=16 * 2**20, help="Bytes of each payload.")] = 120,
    kind: Annotated[
        Literal["audio", "video", "screen", "data", "custom", "message"],
        typer.Option(help="What is sent; messages are acknowledged."),
    ] = "audio",
    duration: Annotated[str, typer.Option(help="How long to measure (30s, 5m).")] = "10s",
    warmup: Annotated[str, typer.Option(help="How long to send before measuring.")] = "2s",
    ramp: Annotated[
        float, typer.Option(min=0, metavar="N", help="Joins per second; 0 for as many as it takes.")
    ] = 0.0,
    processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="Generator processes.", show_default="one a core")
    ] = None,
    prefix: Annotated[str, typer.Option(help="The beginning of the channels' names.")] = "bench",
    clear: Annotated[
        bool, typer.Option("--clear", help="Send in clear text, where the app allows it.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="The result alone, for machines.")] = False,
    url: UrlOption = None,
    app_id: AppIdOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    certificate: CertificateOption = None,
    certificate_file: CertificateFileOption = None,
    context: ContextOption = None,
) -> None:
    """Put a relay under load and measure what arrives.

    Members join from this machine, send sealed frames or messages and check everything that they receive:
    nothing missing, nothing twice. Ends with 0 when all that was accepted arrived.

    \b
    Example:  sealcast bench --context dev.toml --subscribers 100
              sealcast bench --context team.toml --channels 500 --publishers 4 --subscribers 0 --rate 20
    """
    if not (rate > 0 and math.isfinite(rate)):
        raise Failure("--rate has to be above zero", status=Status.USAGE)
    if publishers + subscribers < 2:
        raise Failure("one member alone receives nothing", "--subscribers 1", Status.USAGE)
    times = {"--duration": duration, "--warmup": warmup}
    measured, before = (seconds_of(name, text) or 0.0 for name, text in times.items())
    if not 0 < measured + before <= _LONGEST or not measured:
        raise Failure(f"a test takes above zero and at most {_LONGEST:g} s", "--duration 10s", Status.USAGE)
    plan = Plan(prefix, channels, publishers, subscribers, rate, size, kind, measured, before, ramp)
    # The secret of one run: nobody but its own members is to hear it.
    key = CLEAR if clear else secrets.token_hex(32)
    access = reach(
        os.environ,
        url=url,
        app_id=app_id,
        token=token,
        token_file=token_file,
        certificate=certificate,
        certificate_file=certificate_file,
        key=key,
        context=context,
    )
    count = min(processes or len(os.sched_getaffinity(0)), plan.members)
    status = asyncio.run(_Conductor(plan, access, key, count, json_output).run())
    raise typer.Exit(status)


class _Conductor:
    """Starts the generator's processes, gives the signals, and adds up what they say."""

    def __init__(self, plan: Plan, access: Access, key: str, processes: int, machine: bool) -> None:
        self._plan = plan
        self._access = access
        self._key = key
        self._processes = processes
        self._machine = machine
        self._said: dict[int, dict[str, Any]] = {}
        """The newest progress of each process."""
        self._measured = 0.0
        self._began = 0.0

    async def run(self) -> int:
        """Run the test and print its result; return the exit status."""
        from .progress import Progress

        plan = self._plan
        interrupted = False
        async with Children() as children:
            workers = [await self._start(children, number) for number in range(self._processes)]
            with Progress(plan, shown=not self._machine) as progress:
                try:
                    await self._conduct(workers, progress)
                except asyncio.CancelledError:
                    interrupted = True
                    self._measured = self._so_far()
                    asyncio.current_task().uncancel()  # type: ignore[union-attr]
                except ChildFailed as failure:
                    raise Failure(f"a generator process failed: {failure}") from None
            totals = await self._collect(workers)
        return self._report(totals, interrupted)

    async def _start(self, children: Children, number: int) -> Child:
        part = {
            "plan": self._plan.to_json(),
            "run": self._run_id.hex(),
            "key": self._key,
            "url": self._access.url,
            "app_id": self._access.app_id,
            "processes": self._processes,
            "seats": [
                (seat, self._token(seat.channel, seat.user))
                for seat in self._plan.seats(number, self._processes)
            ],
        }

        def heard(said: dict[str, Any]) -> None:
            if said["event"] == "progress":
                self._said[number] = said

        return await children.start(
            f"generator {number + 1}", "sealcast.cli.bench.worker", json.dumps(part), heard
        )

    _run_id: Final = secrets.token_bytes(8)

    def _token(self, channel: str, user: str) -> str | None:
        token = self._access.token
        return token(channel, user) if callable(token) else token

    async def _conduct(self, workers: list[Child], progress: Any) -> None:
        plan = self._plan
        patience = _JOIN_PATIENCE + (plan.members / plan.ramp if plan.ramp else plan.members / 20)
        async with self._shown(progress):
            await asyncio.gather(*(worker.event("joined", patience) for worker in workers))
            if not any(worker.said["joined"]["joined"] for worker in workers):
                return
            self._began = asyncio.get_running_loop().time()
            for worker in workers:
                worker.tell("go")
            sent = await asyncio.gather(
                *(worker.event("sent", plan.warmup + plan.duration + _JOIN_PATIENCE) for worker in workers)
            )
            self._measured = plan.duration
            await self._drain(sum(said["accepted"] for said in sent) * plan.copies)

    @contextlib.asynccontextmanager
    async def _shown(self, progress: Any) -> Any:
        async def show() -> None:
            while True:
                begun = asyncio.get_running_loop().time() - self._began if self._began else 0.0
                progress.update(joined=self._sum("joined"), received=self._sum("received"), seconds=begun)
                await asyncio.sleep(0.2)

        showing = asyncio.create_task(show())
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)

    async def _drain(self, expected: int) -> None:
        """Wait for what is under way: until all is there, or nothing has come for a while."""
        loop = asyncio.get_running_loop()
        last, since, end = -1, loop.time(), loop.time() + _DRAIN
        while (received := self._sum("received")) < expected and loop.time() < end:
            if received != last:
                last, since = received, loop.time()
            elif loop.time() - since > _QUIET:
                return
            await asyncio.sleep(0.1)

    def _so_far(self) -> float:
        """Return the seconds of the measured phase that have passed."""
        if not self._began:
            return 0.0
        passed = asyncio.get_running_loop().time() - self._began - self._plan.warmup
        return min(max(passed, 0.0), self._plan.duration)

    def _sum(self, name: str) -> int:
        return sum(said[name] for said in self._said.values())

    async def _collect(self, workers: list[Child]) -> Totals:
        totals = Totals()
        for worker in workers:
            worker.tell("stop")
        for worker in workers:
            try:
                totals.add(Totals.of_json((await worker.event("result", _DRAIN))["totals"]))
            except ChildFailed as failure:
                raise Failure(f"a generator process failed: {failure}") from None
        return totals

    def _report(self, totals: Totals, interrupted: bool) -> int:
        from rich.console import Console

        from .table import show, summary

        verdict = judge(self._plan, totals)
        if self._machine:
            print(json.dumps(summary(self._plan, totals, verdict, self._measured), indent=1))
        else:
            console = Console(width=None if sys.stdout.isatty() else 110)
            show(console, self._plan, totals, verdict, self._measured, interrupted=interrupted)
        if interrupted:
            return Status.INTERRUPTED
        return Status.FAILED if verdict.problems else Status.OK
