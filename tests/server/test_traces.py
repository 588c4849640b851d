"""Traces: joins and API requests reach a receiver of OTLP over HTTP, and nothing in them says who it was."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sealcast.protocol.controls import Join
from sealcast.server.config import Config, TracesConfig
from sealcast.server.station import Station

if TYPE_CHECKING:
    from .conftest import Lab

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Receiver:
    """What a collector would get."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []
        self.status = 200

    @property
    def spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        resources = [resource for request in requests for resource in request.resource_spans]
        return [span for resource in resources for scope in resource.scope_spans for span in scope.spans]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of OTLP over HTTP on loopback."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(found.status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Receiver(f"http://127.0.0.1:{server.server_port}/v1/traces")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


Trace = Callable[..., Any]


@pytest_asyncio.fixture
async def traced(lab: Lab, receiver: Receiver) -> AsyncIterator[Trace]:
    """Run a station whose traces go to the receiver."""

    @contextlib.asynccontextmanager
    async def run(ratio: float = 1.0) -> AsyncIterator[Station]:
        server = {"port": 0, "internal_port": 0, "close": 0.2, "drain_spread": 0, "heartbeat": 3600}
        traces = TracesConfig(endpoint=receiver.url, ratio=ratio)
        config = Config.model_validate(
            {"server": server, "traces": traces.model_dump(), "apps": (lab.app(),)}
        )
        async with Station(config, lab.clock).running() as station:
            assert isinstance(station, Station)
            lab.relays.append(station)
            yield station

    yield run


def attributes(span: Any) -> dict[str, Any]:
    return {
        item.key: item.value.string_value or item.value.int_value for item in span.attributes if item.value
    }


async def test_a_join_and_a_request_are_spans_that_name_nobody(
    lab: Lab, traced: Trace, receiver: Receiver
) -> None:
    async with traced() as station:
        client = await lab.connect(station)
        await client.join("secret channel", "alice")
        await client.refused(Join(channel="another secret", user="mallory", token="not a token"))
        async with httpx.AsyncClient(base_url=station.internal_url, trust_env=False) as operator:
            await operator.get("/api/v1/apps/secret-id?q=secret", headers={"traceparent": PARENT})
            await operator.request("EVIL", "/nowhere/secret")
        await client.ws.close()
    by_name = {span.name: span for span in receiver.spans}
    joins = [attributes(span) for span in receiver.spans if span.name == "join"]
    assert joins == [
        {"sealcast.app": lab.APP, "sealcast.code": "joined"},
        {"sealcast.app": lab.APP, "sealcast.code": "invalid_token"},
    ]
    request = by_name["GET /api/v1/apps/{app_id}"]
    assert attributes(request) == {
        "http.request.method": "GET",
        "http.response.status_code": 401,
        "http.route": "/api/v1/apps/{app_id}",
    }
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    assert request.end_time_unix_nano > request.start_time_unix_nano
    assert attributes(by_name["_OTHER"])["http.response.status_code"] == 404
    everything = b"".join(receiver.bodies)
    for secret in (b"secret", b"alice", b"mallory", b"not a token", b"127.0.0.1", b"EVIL"):
        assert secret not in everything


async def test_of_a_ratio_of_zero_nothing_is_sent(lab: Lab, traced: Trace, receiver: Receiver) -> None:
    async with traced(0.0) as station:
        client = await lab.connect(station)
        await client.join("here", "alice")
        await client.ws.close()
    assert receiver.spans == []


async def test_a_receiver_that_is_away_costs_the_relay_nothing_but_its_traces(
    lab: Lab, traced: Trace, receiver: Receiver
) -> None:
    receiver.status = 400
    async with traced() as station:
        client = await lab.connect(station)
        await client.join("here", "alice")
        async with lab.undisturbed(station):
            await client.join("there", "alice")
        await client.ws.close()
    assert receiver.bodies


def test_without_an_endpoint_nothing_of_it_is_loaded() -> None:
    code = "import sys, sealcast.server.station; print([m for m in sys.modules if 'opentelemetry' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout == "[]\n", done.stderr


def test_without_its_packages_the_relay_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "import asyncio, sealcast.server.config as c\n"
        "from sealcast.server.station import Station\n"
        "from sealcast.server.spans import TracesUnavailable\n"
        "config = c.Config(traces=c.TracesConfig(endpoint='http://127.0.0.1:9/v1/traces'))\n"
        "try: asyncio.run(Station(config).start())\n"
        "except TracesUnavailable as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert "pip install 'sealcast[otel]'" in done.stdout, done.stderr


@pytest.mark.parametrize("endpoint", ["localhost:4318", "file:///tmp/x", "grpc://x"])
def test_an_endpoint_is_an_address_of_http(endpoint: str) -> None:
    with pytest.raises(ValueError, match="http://"):
        TracesConfig(endpoint=endpoint)
