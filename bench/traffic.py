"""Workloads of traffic: members in channels, some of whom send, and every delivery is verified."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from . import load
from .machine import Cores, allow_files
from .peers.base import Peer, Running
from .rounds import Column, Found, Skip

__all__ = ["PACED", "WINDOWED", "Traffic", "found", "seated"]

_CPU = Column("us_per_delivery", "server µs/delivery", 3, ratio=True)
_COMMON = (
    Column("per_core", "deliveries/s per core", 0),
    Column("server_cores", "server cores", 2),
    Column("generator_utilisation", "generator", 2),
    Column("accepted", "accepted", 0),
    Column("delivered", "delivered", 0),
)
_DELAYS = tuple(Column(f"{name}_us", f"{name} ms", 2, 1e-3) for name in ("p50", "p95", "p99", "max"))

WINDOWED = (
    Column("deliveries_per_second", "deliveries/s", 0, ratio=True),
    _CPU,
    *_COMMON,
    _DELAYS[0],
    _DELAYS[2],
)
"""Of interest when the server runs as fast as it can."""
PACED = (_CPU, *_COMMON, *_DELAYS)
"""Of interest when the load is given."""


@dataclass(frozen=True)
class Traffic:
    """Channels of equal size with equal senders.

    Either *window* frames are in flight to the slowest receiver of every channel, or each sender sends
    *rate* frames per second.
    """

    name: str
    title: str
    members: int
    """Of one channel, senders included."""
    senders: int = 1
    """Of one channel; the others only receive."""
    channels: int = 1
    size: int = 200
    """Bytes of a payload; sealcast's envelope and headers come on top."""
    window: int = 0
    rate: float = 0.0
    kinds: tuple[str, ...] = ()
    """What the senders send, by their place, for servers that tell it by the user's name; the rest: data."""
    timing: load.Timing = load.Timing()
    peers: tuple[str, ...] = ()

    @property
    def columns(self) -> Sequence[Column]:
        """What its table shows."""
        return WINDOWED if self.window else PACED

    def run(self, peer: Peer, cores: Cores) -> Found:
        """Join everybody and run one round."""
        if not allow_files(self.members * self.channels + 200):
            raise Skip(
                f"{self.members * self.channels} connections need more open files than this user may have"
            )
        with seated(peer, cores, self) as (running, members):
            return found(self.measure(peer, running, members, cores))

    def measure(
        self, peer: Peer, running: Running, members: Sequence[load.Member], cores: Cores
    ) -> load.Outcome:
        """Run the generator on members that have joined."""
        return load.run(
            members,
            running.pids,
            self.size,
            window=self.window,
            rate=self.rate,
            timing=self.timing,
            steady=peer.steady,
            echoes=peer.echoes,
            cores=cores.generator,
        )

    def sized(self, members: int) -> Traffic:
        """Return the same with other numbers of members, all of whom send."""
        return replace(self, members=members, senders=members)


@contextlib.contextmanager
def seated(peer: Peer, cores: Cores, traffic: Traffic) -> Iterator[tuple[Running, list[load.Member]]]:
    """Start a peer and join all members; at the end everything is closed again."""
    with contextlib.ExitStack() as stack:
        with cores.servers():
            running = stack.enter_context(peer.start())
        members = []
        for channel in range(traffic.channels):
            for place in range(traffic.members):
                kind = traffic.kinds[place] if place < len(traffic.kinds) else "data"
                name, user, sends = f"room-{channel}", f"{kind}-{channel}-{place}", place < traffic.senders
                sock = peer.join(running.port, name, user, sends=sends)
                stack.callback(sock.close)
                wrap = peer.wrap(traffic.size, name, user) if sends else None
                members.append(load.Member(sock, channel, wrap))
        yield running, members


def found(outcome: load.Outcome) -> Found:
    """Turn what the generator found into figures."""
    seconds, delivered = outcome.seconds, outcome.measured_delivered
    values = {
        "seconds": seconds,
        "accepted": outcome.accepted,
        "expected": outcome.expected,
        "delivered": outcome.delivered,
        "measured_accepted": outcome.measured_accepted,
        "measured_delivered": delivered,
        "deliveries_per_second": delivered / seconds,
        "server_cpu": outcome.server_cpu,
        "server_cores": outcome.server_cpu / seconds,
        "server_waited": outcome.server_waited / seconds,
        "generator_utilisation": outcome.generator_utilisation,
        "generator_waited": outcome.generator_waited / seconds,
        **{f"{name}_us": value for name, value in outcome.delay_us.items()},
        **{f"lag_{name}_us": value for name, value in outcome.lag_us.items()},
    }
    if delivered and outcome.server_cpu:
        values["us_per_delivery"] = outcome.server_cpu / delivered * 1e6
        values["per_core"] = delivered / outcome.server_cpu
    return Found(values, outcome.faults)
