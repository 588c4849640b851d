"""What has to be delivered, and where to: the promises of the outbox, and one that lives in memory.

An event is written down before anybody is told, and crossed out when its receiver has answered with success:
so it is delivered at least once, whatever happens to this process in between, as far as the outbox lasts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from .event import Event, Kind

__all__ = ["Delivery", "Endpoint", "MemoryOutbox", "Outbox"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an app wants to be told."""

    id: int
    app_id: str
    url: str
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
    due: float = 0.0
    """When it may be tried, in Unix seconds."""
    answer: str = ""
    """What the last try came to."""
    dead: bool = False
    """Whether it was given up."""


class Outbox(Protocol):
    """Keeps deliveries until they are made. Every method may take time, and may fail with the database."""

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return all endpoints."""
        ...

    async def add(self, events: Sequence[Event]) -> int:
        """Write these down for every endpoint that wants them; return how many deliveries that makes."""
        ...

    async def due(self, now: float, limit: int) -> Sequence[Delivery]:
        """Return deliveries that may be tried: of each endpoint and subject the first one only."""
        ...

    async def next_due(self) -> float | None:
        """Return when the next one may be tried, or None when nothing waits."""
        ...

    async def delivered(self, delivery: Delivery) -> None:
        """Cross one out."""
        ...

    async def failed(self, delivery: Delivery, answer: str, due: float | None) -> None:
        """Note a failure, to be tried again when it is *due*, or given up when that is None."""
        ...

    async def dead(self, limit: int) -> Sequence[Delivery]:
        """Return what was given up, the newest first."""
        ...

    async def revive(self, delivery_id: int, now: float) -> bool:
        """Try one that was given up again; return whether there is such a one."""
        ...


class MemoryOutbox:
    """The reference: nothing outlives the process. For tests and for relays without a database.

    Args:
        endpoints: where to deliver.
        most: deliveries that may wait; the oldest are given up for newer ones.

    """

    def __init__(self, endpoints: Sequence[Endpoint] = (), most: int = 100_000) -> None:
        self._endpoints = list(endpoints)
        self._most = most
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Delivery] = {}
        self._dead: dict[int, Delivery] = {}

    async def endpoints(self) -> Sequence[Endpoint]:
        """Return all endpoints."""
        return tuple(self._endpoints)

    async def add(self, events: Sequence[Event]) -> int:
        """Write these down for every endpoint that wants them; return how many deliveries that makes."""
        made = 0
        for event in events:
            for endpoint in self._endpoints:
                if endpoint.wants(event):
                    number = next(self._numbers)
                    self._waiting[number] = Delivery(number, endpoint, event, due=event.at)
                    made += 1
        while len(self._waiting) > self._most:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            self._dead[oldest.id] = replace(oldest, dead=True, answer="the outbox is full")
        return made

    async def due(self, now: float, limit: int) -> Sequence[Delivery]:
        """Return deliveries that may be tried: of each endpoint and subject the first one only."""
        return [one for one in self._firsts() if one.due <= now][:limit]

    async def next_due(self) -> float | None:
        """Return when the next one may be tried, or None when nothing waits."""
        return min((one.due for one in self._firsts()), default=None)

    async def delivered(self, delivery: Delivery) -> None:
        """Cross one out."""
        self._waiting.pop(delivery.id, None)

    async def failed(self, delivery: Delivery, answer: str, due: float | None) -> None:
        """Note a failure, to be tried again when it is *due*, or given up when that is None."""
        kept = self._waiting.get(delivery.id)
        if kept is None:
            return
        kept = replace(kept, failures=kept.failures + 1, answer=answer)
        if due is None:
            del self._waiting[delivery.id]
            self._dead[delivery.id] = replace(kept, dead=True)
        else:
            self._waiting[delivery.id] = replace(kept, due=due)

    async def dead(self, limit: int) -> Sequence[Delivery]:
        """Return what was given up, the newest first."""
        return list(reversed(self._dead.values()))[:limit]

    async def revive(self, delivery_id: int, now: float) -> bool:
        """Try one that was given up again; return whether there is such a one."""
        kept = self._dead.pop(delivery_id, None)
        if kept is None:
            return False
        # It goes before what has happened to its subject since: that is what its sequence is for.
        revived = replace(kept, dead=False, failures=0, due=now)
        self._waiting = dict(sorted({**self._waiting, kept.id: revived}.items()))
        return True

    def _firsts(self) -> list[Delivery]:
        firsts: dict[tuple[int, str], Delivery] = {}
        for one in self._waiting.values():
            firsts.setdefault((one.endpoint.id, one.event.subject), one)
        return list(firsts.values())


_: type[Outbox] = MemoryOutbox
