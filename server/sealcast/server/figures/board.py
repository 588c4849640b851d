"""Where the relay's numbers come together: sources are added, a scrape asks them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Final, NamedTuple, TypeAlias

from ..logs import logger
from ..metrics import Lengths
from .families import FAMILIES, Family, family

__all__ = ["Board", "Gathered", "Sample", "Source"]

_VALUE_MOST: Final = 64
"""Characters of a label's value."""


class Sample(NamedTuple):
    """One number."""

    name: str
    """The metric's, without ``sealcast_``."""
    value: float | Lengths
    labels: tuple[str, ...] = ()


Source: TypeAlias = Callable[[], Iterable[Sample] | AsyncIterator[Sample]]
"""Returns samples when it is asked, in the event loop; one with much to count lets others run meanwhile."""

Gathered: TypeAlias = list[tuple[Family, dict[tuple[str, ...], float | Lengths]]]
"""Every metric with its series."""


class Board:
    """All numbers of one relay."""

    def __init__(self) -> None:
        self._sources: list[Source] = []
        self.failures = 0

    def add(self, source: Source) -> None:
        """Ask this source too."""
        self._sources.append(source)

    async def gather(self) -> Gathered:
        """Ask all sources; one that fails is logged and counted, and the others are shown."""
        series: dict[str, dict[tuple[str, ...], float | Lengths]] = {}
        for name, each in FAMILIES.items():
            first = each.known if each.labels else ((),) if each.shape == "counter" else ()
            series[name] = dict.fromkeys(first, 0.0)
        for source in self._sources:
            try:
                found = source()
                if isinstance(found, AsyncIterator):
                    async for sample in found:
                        _note(series, sample)
                else:
                    for sample in found:
                        _note(series, sample)
            except Exception as error:  # whatever it is: the other numbers are needed all the more
                self.failures += 1
                logger.error("numbers could not be read", reason=type(error).__name__)
        _note(series, Sample("source_failures_total", self.failures))
        return [(each, series[name]) for name, each in FAMILIES.items()]


def _note(series: dict[str, dict[tuple[str, ...], float | Lengths]], sample: Sample) -> None:
    declared = family(sample.name)
    if len(sample.labels) != len(declared.labels):
        raise ValueError(f"{declared.name} has the labels {declared.labels}")
    found = series[declared.name]
    if isinstance(sample.value, Lengths):
        found[()] = sample.value
        return
    labels = tuple(label[:_VALUE_MOST] for label in sample.labels)
    if labels not in found and len(found) >= declared.most:
        labels = ("other",) * len(labels)
    before = found.get(labels, 0.0)
    assert not isinstance(before, Lengths), "a histogram has no plain samples"
    found[labels] = before + sample.value
