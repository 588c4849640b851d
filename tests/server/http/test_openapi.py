"""The API does what its OpenAPI says, whatever it is sent."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import load_all_checks

from sealcast.server.config import Config, DatabaseConfig, ServerConfig
from sealcast.server.http.api_keys import SCOPES, make_key
from sealcast.server.http.application import openapi
from sealcast.server.station import Station

load_all_checks()

ROOT = Path(__file__).parents[3]
APP, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
SCHEMA = schemathesis.openapi.from_dict(openapi())
CHECKS = [
    schemathesis.checks.CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
        "ignored_auth",
        "unsupported_method",
    )
]
many = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.function_scoped_fixture,
    ],
)


@dataclass(frozen=True)
class Served:
    """A station in a thread of its own, and a key that is never too fast."""

    url: str
    key: str
    session: requests.Session

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("openapi")
    server = ServerConfig(port=0, internal_port=0, close=0.2, drain_spread=0)
    station = Station(Config(server=server, database=DatabaseConfig(directory=str(place))))
    made = make_key()
    up = threading.Event()
    loop = asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with station.running():
            assert station.store is not None
            await station.store.keys.create(made.key_id, made.digest, name="", scopes=SCOPES, rate=1_000_000)
            up.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert up.wait(20)
        assert station.internal_url is not None
        with requests.Session() as session:
            session.trust_env = False
            yield Served(station.internal_url, made.text, session)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()


@SCHEMA.parametrize()
@many
def test_every_answer_is_one_that_is_promised(case: schemathesis.Case, served: Served) -> None:
    answer = case.call(base_url=served.url, session=served.session, headers=served.headers)
    case.validate_response(answer, checks=CHECKS, headers=served.headers)


@SCHEMA.include(path_regex="app_id").parametrize()
@many
def test_so_are_the_answers_about_an_app_that_is_there(case: schemathesis.Case, served: Served) -> None:
    body = {"app_id": APP, "certificate": CERTIFICATE}
    served.session.post(f"{served.url}/api/v1/apps", json=body, headers=served.headers, timeout=10)
    case.path_parameters["app_id"] = APP
    answer = case.call(base_url=served.url, session=served.session, headers=served.headers)
    checks = [check for check in CHECKS if check.__name__ != "negative_data_rejection"]
    case.validate_response(answer, checks=checks, headers=served.headers)


def test_the_description_is_served_and_is_the_one_that_is_published(served: Served) -> None:
    answer = served.session.get(f"{served.url}/api/openapi.json", timeout=10).json()
    assert answer == openapi()
    assert json.loads((ROOT / "docs" / "openapi.json").read_text("utf-8")) == answer


def test_every_operation_says_what_it_does_and_which_scope_it_needs() -> None:
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], (method, path)
            if path.startswith("/api/"):
                assert operation["x-scope"] in SCOPES
                assert operation["security"] == [{"key": []}]
                assert "default" in operation["responses"]
                assert "422" not in operation["responses"], "refusals have one body"
