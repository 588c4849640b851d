"""The largest conference in which everybody sends and everybody is still served in time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .machine import Cores
from .peers.base import Peer
from .rounds import Column, Found
from .traffic import Traffic, found, seated

__all__ = ["Largest", "search"]

_COLUMNS = (
    Column("members", "largest conference, members", 0, ratio=True),
    Column("deliveries_per_second", "deliveries/s there", 0),
    Column("server_cores", "server cores there", 2),
    Column("p99_us", "p99 ms there", 1, 1e-3),
    Column("generator_utilisation", "generator there", 2),
    Column("probes", "conferences tried", 0),
)


def search(fits: Callable[[int], bool], *, first: int, most: int, precision: float) -> int:
    """Return the largest number that fits, to a relative *precision*; 0 when not even 2 does.

    Numbers grow by half from *first* until one does not fit, then the gap is halved. Failures near the
    edge are partly luck, so a number that does not fit is asked once more.
    """
    good, bad = 0, most + 1
    size = first
    while bad - good > max(1, int(good * precision)) and size <= most:
        if fits(size) or fits(size):
            good = size
        else:
            bad = size
        size = min(most, good + max(1, good // 2)) if bad > most else (good + bad) // 2
        if size < 2 or size == good:
            break
    return good


@dataclass(frozen=True)
class Largest:
    """Bisects the number of members of a conference.

    A conference fits when nothing was lost, doubled or damaged, nothing was held back, and the 99th
    percentile of delays stayed below *within* seconds.
    """

    name: str
    title: str
    traffic: Traffic
    """Anything but the number of members."""
    first: int = 16
    most: int = 1000
    precision: float = 0.04
    within: float = 0.05
    peers: tuple[str, ...] = ()
    columns: tuple[Column, ...] = _COLUMNS

    def run(self, peer: Peer, cores: Cores) -> Found:
        """Try conferences until the edge is known; the figures are those of the largest that fitted."""
        best: Found | None = None
        limits: list[Found] = []
        probes = 0

        def fits(members: int) -> bool:
            nonlocal best, probes
            probes += 1
            traffic = self.traffic.sized(members)
            with seated(peer, cores, traffic) as (running, seats):
                result = found(traffic.measure(peer, running, seats, cores))
            if result.faults or result.values["p99_us"] > self.within * 1e6:
                limits.append(result)
                return False
            result.values["members"] = members
            if best is None or members > best.values["members"]:
                best = result
            return True

        members = search(fits, first=self.first, most=self.most, precision=self.precision)
        if best is None:
            raise RuntimeError(
                f"not even a conference of {self.first} fits: {limits[-1].faults or 'too slow'}"
            )
        best.values |= {"members": members, "probes": probes}
        if limits:
            # The edge is the generator's where the conferences beyond it had no core left for it.
            best.values["generator_utilisation"] = max(
                best.values["generator_utilisation"],
                min(failed.values["generator_utilisation"] for failed in limits),
            )
            best.values["generator_waited"] = max(
                best.values["generator_waited"], *(failed.values["generator_waited"] for failed in limits)
            )
        return best
