"""A station that is watched: its numbers, read over HTTP and parsed by Prometheus' own parser."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest_asyncio
from prometheus_client.parser import text_string_to_metric_families

from sealcast.server.config import (
    AppConfig,
    Config,
    DatabaseConfig,
    MetricsConfig,
    ServerConfig,
    StorageConfig,
)
from sealcast.server.station import Station

if TYPE_CHECKING:
    from ..conftest import Lab

KEY = "key-of-the-watched-0123456789abcdefghij"


class Numbers:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def __call__(self, name: str, **labels: str) -> float:
        """Return a number; those of all series that have these labels, together."""
        values = [value for found, value in self.series(name) if labels.items() <= found.items()]
        assert values, name
        return sum(values)

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        return [
            (sample.labels, sample.value)
            for family in self.families.values()
            for sample in family.samples
            if sample.name == f"sealcast_{name}"
        ]


class Watched:
    """A station under test, as those see it who watch it."""

    KEY = KEY

    def __init__(self, station: Station, client: httpx.AsyncClient) -> None:
        self.station = station
        self.client = client

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    async def numbers(self) -> Numbers:
        answer = await self.get("/metrics")
        assert answer.status_code == 200, answer.text
        return Numbers(answer.text)


Watch = Callable[..., Any]


@pytest_asyncio.fixture
async def watch(lab: Lab, tmp_path: Path) -> AsyncIterator[Watch]:
    """Start a station that is watched."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            *apps: AppConfig,
            metrics: dict[str, Any] | None = None,
            stored: bool = False,
            database: str = "",
            **server: Any,
        ) -> Watched:
            options = {
                "port": 0,
                "internal_port": 0,
                "internal_key": KEY,
                "close": 0.2,
                "drain_spread": 0.0,
                "heartbeat": 3600.0,
                **server,
            }
            storage = StorageConfig(
                engine="sqlite" if stored else "memory", path=str(tmp_path / "messages.db")
            )
            config = Config(
                server=ServerConfig(**options),
                storage=storage,
                database=DatabaseConfig.model_validate({"url": database}),
                metrics=MetricsConfig.model_validate(metrics or {}),
                apps=apps or (lab.app(),),
            )
            station = await stack.enter_async_context(Station(config, lab.clock).running())
            assert isinstance(station, Station)
            lab.relays.append(station)
            url = station.internal_url
            assert url is not None
            client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=20, verify=False)
            return Watched(station, await stack.enter_async_context(client))

        yield start
