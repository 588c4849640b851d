"""The garbage collector: pauses are counted, what lives long is looked at once, circles are not made."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from sealcast.server.collector import Collector
from sealcast.server.metrics import Metrics
from sealcast.server.session import Session
from sealcast.server.transport.websocket import Connection

if TYPE_CHECKING:
    from .conftest import Lab


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def collector(metrics: Metrics) -> Iterator[Collector]:
    collector = Collector(metrics)
    collector.start()
    yield collector
    collector.stop()


def test_every_pause_is_counted_and_the_longest_is_known(collector: Collector, metrics: Metrics) -> None:
    gc.collect()
    gc.collect(0)
    assert metrics.gc_pauses == 2
    assert 0 < metrics.gc_longest <= metrics.gc_seconds


def test_what_survives_a_full_collection_is_not_looked_at_again(collector: Collector) -> None:
    kept = [[] for _ in range(1000)]  # type: ignore[var-annotated]
    before = gc.get_freeze_count()
    gc.collect()
    assert gc.get_freeze_count() >= before + len(kept)


def test_a_sweep_frees_a_circle_that_was_frozen(collector: Collector) -> None:
    circle: set[object] = set()
    circle.add((circle.add,))
    alive = weakref.ref(circle)
    gc.collect()
    del circle
    gc.collect()
    assert alive() is not None, "it was frozen while it lived"
    collector.sweep()
    assert alive() is None


def test_stopping_leaves_the_collector_as_it_was() -> None:
    before = (gc.get_threshold(), list(gc.callbacks))
    collector = Collector(Metrics())
    collector.start()
    assert gc.get_threshold() != before[0]
    collector.stop()
    collector.stop()
    assert (gc.get_threshold(), gc.callbacks) == before
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize("rude", [False, True])
async def test_a_connection_is_freed_without_the_collector_when_it_ends(lab: Lab, rude: bool) -> None:
    relay = await lab.serve()
    wire = await lab.wire(relay)
    await wire.join("standup", "eve")
    gc.collect()
    gc.disable()
    try:
        await wire.send(b"\x83\x80\0\0\0\0" if rude else lab.ws_frame(8, b"\x03\xe8"))
        await wire.ended()
        while relay.metrics.connections:
            await lab.turn()
        assert [item for item in gc.get_objects() if type(item) in (Session, Connection)] == []
    finally:
        gc.enable()
