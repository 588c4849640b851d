"""Numbers as text: the format of Prometheus, or OpenMetrics for who asks for it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from ..metrics import BOUNDS, Lengths
from .board import Board, Gathered
from .families import Family

__all__ = ["Exposition"]

_BOUNDS: Final = (*map(str, BOUNDS), "+Inf")


class Exposition:
    """Shows a board. One scrape is made at a time, the others wait.

    Args:
        board: the numbers.

    """

    def __init__(self, board: Board) -> None:
        self._board = board
        self._one = asyncio.Lock()

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return the numbers, and the media type, in the format that an ``Accept`` header prefers."""
        async with self._one:
            gathered = await self._board.gather()
            # Elsewhere: it reads files, and thousands of apps are many lines.
            return await asyncio.to_thread(_encoded, gathered, accept)


class _Fixed(Collector):
    """Metrics that were made already, and those of the process."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return itertools.chain(self._metrics, ProcessCollector(registry=None).collect())


def _encoded(gathered: Gathered, accept: str) -> tuple[bytes, str]:
    metrics = [_metric(family, series) for family, series in gathered]
    encode, media_type = choose_encoder(accept)
    return encode(_Fixed(metrics)), media_type


def _metric(family: Family, series: dict[tuple[str, ...], float | Lengths]) -> Metric:
    if family.shape == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help)
        for value in series.values():
            if isinstance(value, Lengths):
                sums = itertools.accumulate(value.counts)
                buckets = [(bound, float(count)) for bound, count in zip(_BOUNDS, sums, strict=True)]
                histogram.add_metric([], buckets, value.total)
        return histogram
    make = CounterMetricFamily if family.shape == "counter" else GaugeMetricFamily
    metric = make(family.name, family.help, labels=family.labels)
    for labels, value in series.items():
        assert not isinstance(value, Lengths), "only histograms have several numbers"
        metric.add_metric(labels, value)
    return metric
