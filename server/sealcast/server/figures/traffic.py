"""Numbers that the relay's core counts, one for one."""

from __future__ import annotations

from collections.abc import Iterator

from ..metrics import Metrics
from .board import Sample, Source

__all__ = ["traffic"]


def traffic(metrics: Metrics) -> Source:
    """Return a source of what the core has counted."""

    def source() -> Iterator[Sample]:
        yield from _plain(metrics)
        for reason, count in metrics.ended.items():
            yield Sample("connections_ended_total", count, (reason,))
        for reason, count in metrics.handshakes_refused.items():
            yield Sample("handshakes_refused_total", count, (reason,))
        for reason, count in metrics.refused.items():
            yield Sample("refusals_total", count, (reason,))
        for limit, count in metrics.limited.items():
            yield Sample("rate_limited_total", count, (limit,))
        for both, count in metrics.dropped_for.items():
            kind, _, reason = both.partition("/")
            yield Sample("frames_dropped_total", count, (kind, reason))

    return source


def _plain(metrics: Metrics) -> Iterator[Sample]:
    yield Sample("connections", metrics.connections)
    yield Sample("connections_opened_total", metrics.connections_total)
    yield Sample("joins_total", metrics.joins_total)
    yield Sample("recoveries_total", metrics.recovered, ("recovered",))
    yield Sample("recoveries_total", metrics.not_recovered, ("missed",))
    yield Sample("messages_replayed_total", metrics.replayed)
    yield Sample("frames_received_total", metrics.frames_in)
    yield Sample("messages_received_total", metrics.messages_in)
    yield Sample("received_bytes_total", metrics.bytes_in)
    yield Sample("deliveries_total", metrics.deliveries)
    yield Sample("flushes_total", metrics.turns)
    yield Sample("clear_frames_total", metrics.clear_frames)
    yield Sample("gc_pauses_total", metrics.gc_pauses)
    yield Sample("gc_pause_seconds_total", metrics.gc_seconds)
    yield Sample("gc_pause_longest_seconds", metrics.gc_longest)
    yield Sample("turn_wait_seconds", metrics.turn_waits)
    yield Sample("turn_work_seconds", metrics.turn_work)
