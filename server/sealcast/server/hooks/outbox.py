"""What has to be delivered, and where to: the promises of the outbox, and one that lives in memory.

An event is written down before anybody is told, and crossed out when its receiver has answered with success:
so it is delivered at least once, whatever happens to this process in between, as far as the outbox lasts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from .event import Event, Kind

__all__ = ["EACH", "LEASE", "Delivery", "Endpoint", "MemoryOutbox", "Outbox"]

LEASE: Final = 60.0
"""Seconds for which a delivery belongs to who claims it: longer than a try takes."""
EACH: Final = 8
"""Deliveries of one endpoint at the same time: one that never answers must not take all the room."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an app wants to be told."""

    id: str
    app_id: str
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)
    """What deliveries are signed with, each of them."""
    kinds: frozenset[Kind] = frozenset(Kind)
    enabled: bool = True

    def wants(self, event: Event) -> bool:
        """Say whether this event is for it."""
        return self.enabled and event.app_id == self.app_id and event.kind in self.kinds


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint."""

    id: int
    endpoint: Endpoint
    event: Event
    failures: int = 0
    since: float = 0.0
    """When it began to wait, or to wait again."""
    due: float = 0.0
    """When it may be tried, in Unix seconds."""
    answer: str = ""
    """What the last try came to."""
    dead: bool = False
    """Whether it was given up."""


class Outbox(Protocol):
    """Keeps deliveries until they are made. Every method may take time, and may fail with the database."""

    shared: bool
    """Whether others may add to it and take from it."""

    async def add(self, events: Sequence[Event]) -> int:
        """Write these down for every endpoint that wants them; return how many deliveries that makes."""
        ...

    async def turn(
        self, now: float, room: int, running: Mapping[str, int], made: Sequence[Delivery] = ()
    ) -> Sequence[Delivery]:
        """Cross out what was made, and take up to *room* deliveries that may be tried, for ``LEASE`` seconds.

        Both or, when it fails, neither. Of each endpoint and subject it is the first one, and none while
        another one of them is taken; of each endpoint not more than ``EACH``, with those that are *running*.
        """
        ...

    async def next_due(self, now: float) -> float | None:
        """Return when after now the next one may be tried, or None when none waits for its time."""
        ...

    async def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """Cross these out."""
        ...

    async def failed(self, delivery: Delivery, answer: str, due: float | None, now: float) -> None:
        """Note a failure, to be tried again when it is *due*, or given up when that is None."""
        ...

    async def release(self) -> None:
        """Let go of everything that was claimed here and has no end yet."""
        ...

    async def waiting(self) -> int:
        """Return how many deliveries wait."""
        ...


class MemoryOutbox:
    """The reference: nothing outlives the process.

    Args:
        endpoints: where to deliver.
        most: deliveries that may wait; the oldest are given up for newer ones.

    """

    shared = False

    def __init__(self, endpoints: Sequence[Endpoint] = (), most: int = 100_000) -> None:
        self._endpoints = list(endpoints)
        self._most = most
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Delivery] = {}
        self._claims: dict[int, float] = {}
        self._dead: dict[int, Delivery] = {}

    async def add(self, events: Sequence[Event]) -> int:
        """Write these down for every endpoint that wants them; return how many deliveries that makes."""
        made = 0
        for event in events:
            for endpoint in self._endpoints:
                if endpoint.wants(event):
                    number = next(self._numbers)
                    self._waiting[number] = Delivery(number, endpoint, event, since=event.at, due=event.at)
                    made += 1
        while len(self._waiting) > self._most:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            self._dead[oldest.id] = replace(oldest, dead=True, answer="too many deliveries wait")
        return made

    async def turn(
        self, now: float, room: int, running: Mapping[str, int], made: Sequence[Delivery] = ()
    ) -> Sequence[Delivery]:
        """Cross out what was made, and take up to *room* deliveries that may be tried, for ``LEASE`` s."""
        await self.delivered(made)
        left: dict[str, int] = {}
        found: list[Delivery] = []
        for one in self._firsts(now):
            each = left.setdefault(one.endpoint.id, EACH - running.get(one.endpoint.id, 0))
            if one.due <= now and each > 0 and len(found) < room:
                left[one.endpoint.id] -= 1
                self._claims[one.id] = now + LEASE
                found.append(one)
        return found

    async def next_due(self, now: float) -> float | None:
        """Return when after now the next one may be tried, or None when none waits for its time."""
        return min((one.due for one in self._waiting.values() if one.due > now), default=None)

    async def delivered(self, deliveries: Sequence[Delivery]) -> None:
        """Cross these out."""
        for delivery in deliveries:
            self._waiting.pop(delivery.id, None)
            self._claims.pop(delivery.id, None)

    async def failed(self, delivery: Delivery, answer: str, due: float | None, now: float) -> None:
        """Note a failure, to be tried again when it is *due*, or given up when that is None."""
        kept = self._waiting.get(delivery.id)
        if kept is None or self._claims.pop(delivery.id, None) is None:
            return
        kept = replace(kept, failures=kept.failures + 1, answer=answer)
        if due is None:
            del self._waiting[delivery.id]
            self._dead[delivery.id] = replace(kept, dead=True)
        else:
            self._waiting[delivery.id] = replace(kept, due=due)

    async def release(self) -> None:
        """Let go of everything that was claimed here and has no end yet."""
        self._claims.clear()

    async def waiting(self) -> int:
        """Return how many deliveries wait."""
        return len(self._waiting)

    async def dead(self, limit: int) -> Sequence[Delivery]:
        """Return what was given up, the newest first."""
        return list(reversed(self._dead.values()))[:limit]

    async def revive(self, delivery_id: int, now: float) -> bool:
        """Try one that was given up again; return whether there is such a one."""
        kept = self._dead.pop(delivery_id, None)
        if kept is None:
            return False
        # It goes before what has happened to its subject since: that is what its sequence is for.
        self._waiting[kept.id] = replace(kept, dead=False, failures=0, since=now, due=now)
        return True

    def _firsts(self, now: float) -> list[Delivery]:
        firsts: dict[tuple[str, str], Delivery] = {}
        taken = set()
        for one in sorted(self._waiting.values(), key=lambda one: (one.event.sequence, one.id)):
            lane = (one.endpoint.id, one.event.subject)
            firsts.setdefault(lane, one)
            if self._claims.get(one.id, 0.0) > now:
                taken.add(lane)
        return [one for lane, one in firsts.items() if lane not in taken]


_: type[Outbox] = MemoryOutbox
