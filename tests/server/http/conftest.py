"""A relay with a database and an internal port, and clients of its API over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import shutil
import ssl
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from pydantic import SecretStr

from sealcast.server.config import (
    AppConfig,
    Config,
    DatabaseConfig,
    HooksConfig,
    RecordsConfig,
    ServerConfig,
    StorageConfig,
)
from sealcast.server.http.api_keys import make_key
from sealcast.server.station import Station
from sealcast.server.store.records import Role
from sealcast.server.store.store import Store

from .browsing import PASSWORD, Browse, Browser, SignedIn
from .receiver import Backend

if TYPE_CHECKING:
    from ..conftest import Lab

ROOT_KEY = "root-key-of-the-tests-0123456789abcdef"
_TLS = ssl.create_default_context()  # made once: it reads all authorities, and no test here has TLS
_quick_hasher = functools.partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)


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
        client = httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=20, verify=_TLS)
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


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that is migrated and empty, to be copied: that takes a tenth of the time of making one."""
    directory = tmp_path_factory.mktemp("empty")

    async def make() -> None:
        store = Store(f"sqlite:///{directory}/sealcast.db", lambda: 1_800_000_000.0)
        await store.open()
        await store.close()

    with ThreadPoolExecutor(1) as pool:  # whatever loop the tests have stays as it is
        pool.submit(asyncio.run, make()).result()
    return directory / "sealcast.db"


@pytest_asyncio.fixture
async def operate(lab: Lab, tmp_path: Path, empty_database: Path) -> AsyncIterator[Operate]:
    """Start a station; with ``database=False`` one that has none."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            *apps: AppConfig,
            database: bool = True,
            url: str = "",
            records: dict[str, Any] | None = None,
            storage: StorageConfig | None = None,
            hooks: dict[str, Any] | None = None,
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
            place = tmp_path / "data" if database and not url else None
            if place is not None and not place.exists():
                place.mkdir(mode=0o700)
                shutil.copy(empty_database, place)
            config = Config(
                server=ServerConfig(**options),
                database=DatabaseConfig(directory=str(place or ""), url=SecretStr(url)),
                records=RecordsConfig(**(records or {})),
                storage=storage or StorageConfig(),
                hooks=HooksConfig(**(hooks or {})),
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


@pytest.fixture(scope="session")
def hashed() -> str:
    """The password of all accounts in tests, as it is kept; quick to make and to compare."""
    return _quick_hasher().hash(PASSWORD)


@pytest_asyncio.fixture
async def browse(operated: Operated) -> Browse:
    """Open a browser."""

    async def begin() -> Browser:
        return Browser(await operated.client(key=""))

    return begin


@pytest_asyncio.fixture
async def signed_in(operated: Operated, browse: Browse, hashed: str) -> SignedIn:
    """Make an account, and sign in with it."""

    async def begin(role: Role = "admin", email: str = "") -> Browser:
        assert operated.station.store is not None
        email = email or f"{role}@example.org"
        await operated.station.store.accounts.create(email, hashed, role)
        browser = await browse()
        answer = await browser.sign_in(email)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console/")
        return browser

    return begin


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hashes of passwords be quick: what makes them slow is tested with the passwords."""
    monkeypatch.setattr("sealcast.server.passwords.PasswordHasher", _quick_hasher)


@pytest_asyncio.fixture
async def backend() -> AsyncIterator[Backend]:
    """Somebody on this machine who is told things."""
    made = Backend()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
