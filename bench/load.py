"""Drives the generator: hands it joined sockets and a plan, and reads what it found."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .peers.base import Wrap
from .toolchain import built

__all__ = ["FAULTS", "PAYLOAD_MIN", "Member", "Outcome", "Timing", "run"]

PAYLOAD_MIN = 32
"""Bytes: the generator's own fields and a little fill."""

_DRAIN_MAX = 60
"""Seconds after which the generator ends a drain although frames still arrive."""

FAULTS = ("missing", "doubled", "reordered", "damaged", "foreign", "odd", "closed", "held_back")
"""What may be wrong with a round, by the name of its counter:

missing
    never came.
doubled
    came again.
reordered
    came after a later frame of the same sender.
damaged
    a wrong byte anywhere in it.
foreign
    of another channel, of the receiver itself, or never sent.
odd
    stood in framing of another length than all others, so it was itself longer or shorter, or something
    else came in between; only counted for peers whose framing is steady.
closed
    connections that the server ended.
held_back
    frames that were due but could not be sent, because the server took nothing.
"""


@dataclass
class Member:
    """One joined connection."""

    sock: socket.socket
    group: int
    """The channel's number, from 0."""
    wrap: Wrap | None = None
    """Given, it sends."""
    reads: bool = True
    """False: it never reads, and nothing is expected to arrive."""


@dataclass(frozen=True)
class Timing:
    """The phases of a round, in seconds."""

    warm_up: float = 1.0
    measure: float = 3.0
    silence: float = 2.0
    """The drain ends when everything came, or when nothing came for so long."""


@dataclass(frozen=True)
class Outcome:
    """What the generator found. Counters cover the whole round, the rest its measured phase."""

    accepted: int
    """Frames that the server took."""
    expected: int
    """Deliveries that follow from them."""
    delivered: int
    """Deliveries that came whole, right, in order and once."""
    faults: dict[str, int]
    """The counters of FAULTS that are not 0."""
    stalled_closed: int
    """Connections of members that do not read, ended by the server."""
    echoed: int
    seconds: float
    measured_accepted: int
    measured_delivered: int
    generator_cpu: float
    generator_waited: float
    """Seconds that it was ready to run while something else had its core."""
    server_cpu: float
    server_waited: float
    driver_cpu: float = 0.0
    """Seconds of this process: it has work where connections go through it, as with TLS."""
    driver_seconds: float = 1.0
    """What that is a part of: the whole round."""
    delay_us: dict[str, float] = field(default_factory=dict)
    """Percentiles of a delivery's delay; paced, from the moment when the frame was due."""
    lag_us: dict[str, float] = field(default_factory=dict)
    """Paced: how late the generator itself was."""

    @property
    def generator_utilisation(self) -> float:
        """The share of a core that the generator's side used; near 1 it was the limit."""
        return self.generator_cpu / self.seconds + self.driver_cpu / self.driver_seconds


def run(
    members: Sequence[Member],
    pids: Iterable[int],
    size: int,
    *,
    window: int = 0,
    rate: float = 0.0,
    timing: Timing = Timing(),
    steady: bool = True,
    echoes: bool = False,
    cores: Iterable[int] = (),
) -> Outcome:
    """Run one round on joined sockets. The sockets stay open and are not to be used afterwards.

    Args:
        members: who takes part; their order gives the numbers of the senders.
        pids: the server's processes, whose CPU is measured.
        size: bytes of a payload.
        window: frames in flight to the slowest receiver of each channel; or
        rate: frames per second of each sender.
        timing: the phases.
        steady: the framing of deliveries never changes in length.
        echoes: senders get their own frames back.
        cores: where the generator may run; empty: anywhere.

    Raises:
        RuntimeError: the generator failed; with its words.

    """
    lines = [
        f"magic {secrets.token_hex(8)}",
        f"size {size}",
        f"windowed {window}" if window else f"paced {rate}",
        f"seconds {timing.warm_up} {timing.measure} {timing.silence}",
        f"steady {int(steady)}",
        f"echoes {int(echoes)}",
        *(f"pid {pid}" for pid in pids),
        *map(_line, members),
    ]
    for member in members:
        member.sock.setblocking(False)
    chosen = set(cores)
    program = built("generator")
    start, cpu = time.monotonic(), time.process_time()
    result = subprocess.run(
        [program],
        input="\n".join((*lines, "")),
        capture_output=True,
        text=True,
        pass_fds=[member.sock.fileno() for member in members],
        timeout=timing.warm_up + timing.measure + _DRAIN_MAX + 30,
        preexec_fn=(lambda: os.sched_setaffinity(0, chosen)) if chosen else None,
    )
    if result.returncode:
        raise RuntimeError(f"the generator failed: {result.stderr.strip() or result.returncode}")
    return _outcome(json.loads(result.stdout), time.process_time() - cpu, time.monotonic() - start)


def _line(member: Member) -> str:
    place = f"{member.sock.fileno()} {member.group} {int(member.reads)}"
    wrap = member.wrap
    if wrap is None:
        return f"member {place}"
    at = -1 if wrap.counter_at is None else wrap.counter_at
    return f"sender {place} {wrap.prefix.hex() or '-'} {wrap.suffix.hex() or '-'} {at} {wrap.counter_bytes}"


def _outcome(found: dict[str, Any], driver_cpu: float, driver_seconds: float) -> Outcome:
    measured = found["measured"]
    return Outcome(
        **{name: found[name] for name in ("accepted", "expected", "delivered", "stalled_closed", "echoed")},
        faults={name: found[name] for name in FAULTS if found[name]},
        measured_accepted=measured.pop("accepted"),
        measured_delivered=measured.pop("delivered"),
        driver_cpu=driver_cpu,
        driver_seconds=driver_seconds,
        **measured,
    )
