"""`/readyz`, and what the numbers say of the same: without database or storage, and on the way down."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.server import station as stations
from sealcast.server.engine import sqlite as journal
from sealcast.server.figures.parts import Pulse
from sealcast.server.store.database import Database
from sealcast.server.store.migrate import migrate

from ..postgres import running

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Watch, Watched


async def refused(watched: Watched) -> list[str]:
    """Read the refusal of a relay that is not ready; return the parts that are at fault."""
    answer = await watched.get("/readyz")
    body = answer.json()
    assert (answer.status_code, body["name"], answer.headers["retry-after"]) == (503, "not_ready", "5")
    assert all(problem in body["message"] for problem in body["problems"])
    assert (await watched.get("/healthz")).status_code == 200, "the process lives"
    return [problem.partition(":")[0] for problem in body["problems"]]


async def shown(watched: Watched, name: str, wanted: float) -> None:
    """Wait until a number is this one."""
    async with asyncio.timeout(20):
        while (await watched.numbers())(name) != wanted:
            await asyncio.sleep(0.02)


async def test_a_relay_that_goes_down_is_not_ready(watch: Watch) -> None:
    watched = await watch()
    assert (await watched.get("/readyz")).status_code == 200
    watched.station.hub.draining = True
    assert await refused(watched) == ["drain"]
    numbers = await watched.numbers()
    assert (numbers("draining"), numbers("ready")) == (1, 0)


async def test_without_its_database_it_is_not_ready_and_members_go_on(
    lab: Lab, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stations, "_REFRESH_EVERY", 0.02)
    with running() as server:
        url = await server.database()
        database = Database(url)
        await migrate(database)
        await database.close()
        watched = await watch(lab.app(), database=url)
        assert (await watched.get("/readyz")).status_code == 200
        await shown(watched, "database_up", 1)
        async with lab.undisturbed(watched.station):
            await asyncio.to_thread(server.stop)
            assert await refused(watched) == ["database"]
            await shown(watched, "database_up", 0)
            numbers = await watched.numbers()
            assert numbers("ready") == 0
            assert numbers("database_failures_total") > 0


async def test_a_storage_that_cannot_be_written_is_a_reason_for_a_while(
    lab: Lab, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "BUSY", 0.01)
    watched = await watch(stored=True)
    client = await lab.connect(watched.station)
    room = await client.join("here", "alice")
    await client.message(room)
    with sqlite3.connect(tmp_path / "messages.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        refs = 7
        await client.ws.send(room.message(refs))
        error = await client.receive()
        assert isinstance(error, lab.Told)
        assert await refused(watched) == ["storage"]
        numbers = await watched.numbers()
        assert (numbers("storage_failing"), numbers("ready")) == (1, 0)
        assert numbers("refusals_total", reason="not_stored") == 1
        other.execute("ROLLBACK")
    other.close()
    lab.later(31)  # nobody has tried since, so nobody knows: it is given work again
    assert (await watched.get("/readyz")).status_code == 200
    await client.ws.send(room.message(8))
    assert isinstance(await client.receive(), lab.Told)
    assert (await watched.numbers())("storage_failing") == 0


def test_a_pulse_is_what_was_last_seen() -> None:
    pulse = Pulse()

    def look(does: Callable[[], Any]) -> dict[str, float]:
        with pulse.look():
            does()
        return {}

    with pytest.raises(ZeroDivisionError):
        look(lambda: 1 // 0)
    assert not pulse.up
    look(lambda: None)
    assert pulse.up
    assert {sample.name for sample in pulse()} == {
        "database_up",
        "database_failures_total",
        "database_seconds",
    }
