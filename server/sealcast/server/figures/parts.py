"""Numbers of what stands around the core: engine, database, internal port, certificates, webhooks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence, Sized
from typing import Final, Protocol, runtime_checkable

from ..config import StorageConfig
from ..metrics import Lengths
from .board import Sample, Source

__all__ = [
    "Kept",
    "Pulse",
    "Requests",
    "Writing",
    "audit_log",
    "certificates",
    "engine",
    "kept_out",
    "records",
    "rules",
    "webhooks",
]

_SLICE: Final = 1_000
"""Channels whose kept messages are counted before others run."""


class _Ring(Sized, Protocol):
    size: int


class _Stream(Protocol):
    @property
    def ring(self) -> _Ring: ...


class Kept(Protocol):
    """An engine, as far as it is counted."""

    def streams(self) -> Sequence[_Stream]:
        """Return everything that is kept in memory."""
        ...


@runtime_checkable
class Writing(Protocol):
    """An engine that writes."""

    @property
    def waiting(self) -> tuple[int, int]:
        """How many messages and changes wait to be written, and the bytes of them."""
        ...

    @property
    def failed_at(self) -> float | None:
        """When writing failed, in Unix seconds; None when it did not, or is well again."""
        ...


def engine(config: StorageConfig, kept: Kept, writing: Writing | None) -> Source:
    """Return a source of what the engine keeps, and of what waits where it writes."""

    async def source() -> AsyncIterator[Sample]:
        yield Sample("engine_info", 1, (config.engine,))
        count = size = 0
        for place, stream in enumerate(kept.streams(), start=1):
            count += len(stream.ring)
            size += stream.ring.size
            if place % _SLICE == 0:
                await asyncio.sleep(0)
        yield Sample("messages_kept", count)
        yield Sample("messages_kept_bytes", size)
        if writing is None:
            return
        waiting, waiting_bytes = writing.waiting
        yield Sample("storage_waiting", waiting)
        yield Sample("storage_waiting_bytes", waiting_bytes)
        yield Sample("storage_failing", writing.failed_at is not None)
        used, free = await asyncio.to_thread(_disk, config.path)
        yield Sample("storage_file_bytes", used)
        if free is not None:
            yield Sample("storage_free_bytes", free)

    return source


def _disk(path: str) -> tuple[int, int | None]:
    used, free = 0, None
    for name in (path, f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(OSError):
            used += os.stat(name).st_size
    with contextlib.suppress(OSError):
        free = shutil.disk_usage(os.path.dirname(path) or ".").free
    return used, free


class Pulse:
    """Whether the database answers, as far as was last seen.

    It is looked at regularly anyway, so that a scrape need not wait for a database that is away.
    """

    def __init__(self) -> None:
        self.up = True
        """It did when the relay was started."""
        self._seconds: float | None = None
        self._failures = 0

    def __call__(self) -> Iterator[Sample]:
        """Return what was seen."""
        yield Sample("database_up", self.up)
        yield Sample("database_failures_total", self._failures)
        if self._seconds is not None:
            yield Sample("database_seconds", self._seconds)

    @contextlib.contextmanager
    def look(self) -> Iterator[None]:
        """Take what the block does for a sign of life, and its failure for the opposite."""
        began = time.perf_counter()
        try:
            yield
        except Exception:
            self.up = False
            self._failures += 1
            raise
        self.up = True
        self._seconds = time.perf_counter() - began


class Requests:
    """Counts the requests on the internal port."""

    def __init__(self) -> None:
        self._by_status: Counter[int] = Counter()
        self._lengths = Lengths()

    def __call__(self) -> Iterator[Sample]:
        """Return what was counted."""
        for status, count in self._by_status.items():
            yield Sample("api_requests_total", count, (str(status),))
        yield Sample("api_request_seconds", self._lengths)

    def note(self, status: int, seconds: float) -> None:
        """Count one; *status* is 0 when nobody got an answer."""
        self._by_status[status] += 1
        self._lengths.note(seconds)


def certificates(ends: Mapping[str, Callable[[], float | None]]) -> Source:
    """Return a source of when certificates end, by port: in Unix seconds, None where there is none."""

    def source() -> Iterator[Sample]:
        for port, ask in ends.items():
            when = ask()
            if when is not None:
                yield Sample("certificate_expiry_timestamp_seconds", when, (port,))

    return source


class _Hooks(Protocol):
    withheld: int
    waiting: int

    @property
    def delivered(self) -> int: ...
    @property
    def failed(self) -> int: ...
    @property
    def given_up(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def queued(self) -> int: ...


def webhooks(hooks: _Hooks) -> Source:
    """Return a source of what has become of webhooks."""

    def source() -> Iterator[Sample]:
        for result in ("delivered", "failed", "given_up"):
            yield Sample("webhook_deliveries_total", getattr(hooks, result), (result,))
        yield Sample("webhook_events_lost_total", hooks.lost)
        yield Sample("webhook_events_withheld_total", hooks.withheld)
        yield Sample("webhook_events_waiting", hooks.queued)
        yield Sample("webhook_deliveries_waiting", hooks.waiting)

    return source


def kept_out(count: Callable[[], Mapping[str, int]]) -> Source:
    """Return a source of how many networks are kept out, by who does it."""

    def source() -> Iterator[Sample]:
        for origin, number in count().items():
            yield Sample("networks_kept_out", number, (origin,))

    return source


def rules(**kinds: Sized) -> Source:
    """Return a source of how many rules of each kind there are."""

    def source() -> Iterator[Sample]:
        for kind, those in kinds.items():
            yield Sample("rules", len(those), (kind,))

    return source


class _Ledger(Protocol):
    lost: int

    @property
    def waiting(self) -> int: ...


def records(ledger: _Ledger) -> Source:
    """Return a source of the records of sessions that are not in the database."""

    def source() -> Iterator[Sample]:
        yield Sample("records_waiting", ledger.waiting)
        yield Sample("records_lost_total", ledger.lost)

    return source


class _Audit(Protocol):
    failures: int


def audit_log(audit: _Audit) -> Source:
    """Return a source of how the audit log fares."""

    def source() -> Iterator[Sample]:
        yield Sample("audit_failures_total", audit.failures)

    return source
