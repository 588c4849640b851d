"""Every workload, part by part, in full and in the small sizes of ``--quick``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from .idle import Idle
from .joins import Joins
from .largest import Largest
from .load import Timing
from .rounds import Workload
from .stalled import Stalled
from .traffic import Traffic

__all__ = ["FULL", "PARTS", "QUICK", "Scale"]

_IN_FLIGHT = 51_200
"""Bytes of a window: 256 payloads of 200 B."""
_COMPARED = ("sealcast", "anchor-coalescing", "anchor", "websockets")
_TLS = ("sealcast", "sealcast-tls")


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    rounds: int
    sweep_rounds: int
    timing: Timing
    quick: bool = False

    def pick(self, full: int, quick: int) -> int:
        """Return the number for this scale."""
        return quick if self.quick else full


FULL = Scale(rounds=5, sweep_rounds=3, timing=Timing(1.0, 4.0, 2.0))
QUICK = Scale(rounds=1, sweep_rounds=1, timing=Timing(0.3, 1.0, 1.0), quick=True)


def _window(size: int) -> int:
    return max(4, _IN_FLIGHT // size)


def _fan_out(scale: Scale, receivers: int, size: int = 200, *, paced: float = 0) -> Traffic:
    how = "paced" if paced else "windowed"
    load = f"{paced:g} frames/s" if paced else f"window {_window(size)}"
    return Traffic(
        f"fanout-{receivers}-{size}-{how}",
        f"1 → {receivers}, {size} B, {load}",
        members=receivers + 1,
        size=size,
        window=0 if paced else _window(size),
        rate=paced,
        timing=scale.timing,
    )


def _rooms(scale: Scale, rooms: int, rate: float = 5) -> Traffic:
    return Traffic(
        f"rooms-{rooms}",
        f"{rooms} rooms of 4, everybody sends {rate:g} frames/s of 200 B",
        members=4,
        senders=4,
        channels=rooms,
        rate=rate,
        timing=scale.timing,
    )


def _conference(scale: Scale, members: int, rate: float) -> Traffic:
    return Traffic(
        f"conference-{members}",
        f"a conference of {members}, everybody sends {rate:g} frames/s of 200 B",
        members=members,
        senders=members,
        rate=rate,
        timing=scale.timing,
    )


def _fanout(scale: Scale) -> Sequence[Workload]:
    return (
        _fan_out(scale, 100),
        _fan_out(scale, 100, paced=200),
        _fan_out(scale, 1000),
        _fan_out(scale, 1000, paced=20),
        _fan_out(scale, 100, 1200),
    )


def _conferences(scale: Scale) -> Sequence[Workload]:
    return (_conference(scale, 50, 20),)


def _many_rooms(scale: Scale) -> Sequence[Workload]:
    return (_rooms(scale, scale.pick(500, 100)),)


def _largest(scale: Scale) -> Sequence[Workload]:
    traffic = replace(
        _conference(scale, 16, 50), timing=Timing(0.4, 0.8, 0.3) if scale.quick else scale.timing
    )
    title = "largest conference, everybody sends 50 frames/s of 200 B, p99 < 50 ms, nothing lost"
    if scale.quick:
        return (Largest("largest", title, traffic, first=32, precision=0.25, peers=_COMPARED),)
    return (Largest("largest", title, traffic),)


def _joins(scale: Scale) -> Sequence[Workload]:
    count = scale.pick(3000, 500)
    return (Joins(f"joins-{count}", f"{count} joins, 16 at once, channels of 20", count),)


def _idle(scale: Scale) -> Sequence[Workload]:
    if scale.quick:
        return (Idle("idle-500", "500 joined idle connections", 500, seconds=1.0, peers=_COMPARED),)
    return (
        Idle("idle-5000", "5,000 joined idle connections", 5000),
        Idle("idle-20000", "20,000 joined idle connections", 20_000),
    )


def _stalled(scale: Scale) -> Sequence[Workload]:
    traffic = Traffic(
        "stalled",
        "",
        members=101,
        senders=5,
        size=1200,
        rate=100,
        kinds=("audio", "video", "video", "video", "video"),
        timing=scale.timing if scale.quick else Timing(1.0, 8.0, 2.0),
    )
    title = "one stalled reader among 100: 1 sends audio and 4 video, each 100 frames/s of 1200 B"
    return (Stalled("stalled", title, traffic, peers=_COMPARED if scale.quick else ()),)


def _tls(scale: Scale) -> Sequence[Workload]:
    count = scale.pick(1000, 200)
    paced = replace(_fan_out(scale, 100, paced=100), name="tls-paced", peers=_TLS)
    return (
        replace(paced, title="TLS off and on: " + paced.title),
        Joins("tls-joins", f"TLS off and on: {count} joins, 16 at once, channels of 20", count, peers=_TLS),
        Idle("tls-idle", f"TLS off and on: {count} joined idle connections", count, seconds=1.0, peers=_TLS),
    )


def _sweep(scale: Scale) -> Sequence[Workload]:
    members = (10, 100, 300) if scale.quick else (3, 10, 30, 100, 300, 1000)
    sizes = (200, 1200, 4000) if scale.quick else (64, 200, 600, 1200, 4000, 12_000)
    rooms = (10, 50, 100) if scale.quick else (10, 50, 100, 250, 500)
    points = {f"members-{n}": _fan_out(scale, n) for n in members}
    points |= {f"size-{n}": _fan_out(scale, 100, n) for n in sizes}
    points |= {f"channels-{n}": _rooms(scale, n) for n in rooms}
    return tuple(replace(traffic, name=name, peers=_COMPARED) for name, traffic in points.items())


PARTS: dict[str, Callable[[Scale], Sequence[Workload]]] = {
    "fanout": _fanout,
    "conference": _conferences,
    "rooms": _many_rooms,
    "largest": _largest,
    "joins": _joins,
    "idle": _idle,
    "stalled": _stalled,
    "tls": _tls,
    "sweep": _sweep,
}
"""The parts of the benchmark, by the names of the command line."""
