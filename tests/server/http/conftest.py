"""A relay with a database and an internal port, and clients of its API over real sockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from sealcast.server.config import (
    AppConfig,
    Config,
    DatabaseConfig,
    RecordsConfig,
    ServerConfig,
    StorageConfig,
)
from sealcast.server.http.api_keys import make_key
from sealcast.server.station import Station

if TYPE_CHECKING:
    from ..conftest import Lab

ROOT_KEY = "root-key-of-the-tests-0123456789abcdef"


class Operated:
    """A station under test, and its API as its operators see it."""

    KEY = ROOT_KEY

    def __init__(self, station: Station, stack: contextlib.AsyncExitStack) -> None:
        self.station = station
        self._stack = stack

    async def client(self, key: str = ROOT_KEY) -> httpx.AsyncClient:
        """Return a client that sends a key; an empty one is not sent."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = self.station.internal_url
        assert url is not None
        client = httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=20)
        return await self._stack.enter_async_context(client)

    async def key(self, *scopes: str, **more: Any) -> str:
        """Make a key in the database."""
        assert self.station.store is not None
        made = make_key()
        await self.station.store.keys.create(made.key_id, made.digest, name="test", scopes=scopes, **more)
        return made.text

    async def guest(self, *scopes: str, **more: Any) -> httpx.AsyncClient:
        """Return a client with a key that may do this only."""
        return await self.client(await self.key(*scopes, **more))


Operate = Callable[..., Any]


@pytest_asyncio.fixture
async def operate(lab: Lab, tmp_path: Path) -> AsyncIterator[Operate]:
    """Start a station; with ``database=False`` one that has none."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            *apps: AppConfig,
            database: bool = True,
            url: str = "",
            records: dict[str, Any] | None = None,
            storage: StorageConfig | None = None,
            **server: Any,
        ) -> Operated:
            options = {
                "port": 0,
                "internal_port": 0,
                "internal_key": ROOT_KEY,
                "close": 0.2,
                "drain_spread": 0.0,
                "heartbeat": 3600.0,
                **server,
            }
            config = Config(
                server=ServerConfig(**options),
                database=DatabaseConfig(
                    directory=str(tmp_path / "data") if database and not url else "", url=SecretStr(url)
                ),
                records=RecordsConfig(**(records or {})),
                storage=storage or StorageConfig(),
                apps=apps,
            )
            station = await stack.enter_async_context(Station(config, lab.clock).running())
            assert isinstance(station, Station)
            lab.relays.append(station)
            return Operated(station, stack)

        yield start


@pytest_asyncio.fixture
async def operated(operate: Operate) -> Operated:
    """A station with an empty database."""
    started: Operated = await operate()
    return started


@pytest_asyncio.fixture
async def api(operated: Operated) -> httpx.AsyncClient:
    """A client that may do everything."""
    return await operated.client()


@pytest.fixture
def refusal() -> Callable[[httpx.Response], tuple[int, str]]:
    """Read a refusal, which must have the body that all have."""

    def read(answer: httpx.Response) -> tuple[int, str]:
        body = answer.json()
        assert set(body) == {"code", "name", "message", "hint", "request_id", "problems"}
        assert body["code"] == answer.status_code
        assert body["request_id"] == answer.headers["x-request-id"]
        assert body["message"]
        assert body["hint"]
        return answer.status_code, body["name"]

    return read
