"""The internal port itself: health, bounds, headers, TLS, and how it starts, fails and ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from sealcast.protocol.version import __version__
from sealcast.server.config import Config, DatabaseConfig, ServerConfig
from sealcast.server.directory import AppsClash
from sealcast.server.http import envelope, server
from sealcast.server.station import InternalPortUnavailable, Station
from sealcast.server.store.records import StoreDown
from sealcast.server.transport.tls import CertificateUnusable

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Operate, Operated

Refusal = Callable[[httpx.Response], tuple[int, str]]

API = "/api/v1"
TLS = Path(__file__).parents[2] / "vectors" / "tls"


async def raw(operated: Operated, data: bytes) -> bytes:
    """Send bytes; return all that comes until the connection ends."""
    assert operated.station.internal_address is not None
    reader, writer = await asyncio.open_connection(*operated.station.internal_address)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_health_needs_no_key(operate: Operate) -> None:
    for database in (True, False):
        operated = await operate(database=database)
        anybody = await operated.client("")
        well, ready = await anybody.get("/healthz"), await anybody.get("/readyz")
        node = operated.station.config.server.node
        assert well.json() == {"status": "ok", "version": __version__, "node": node}
        assert ready.json() == {"status": "ready", "version": __version__, "node": node}


async def test_it_is_not_ready_while_it_goes_down(operated: Operated, refusal: Refusal) -> None:
    anybody = await operated.client("")
    operated.station.hub.draining = True
    answer = await anybody.get("/readyz")
    assert refusal(answer) == (503, "not_ready")
    assert answer.headers["retry-after"] == "5"
    assert (await anybody.get("/healthz")).status_code == 200


async def test_without_its_database_it_is_not_ready_and_members_go_on(
    lab: Lab, operate: Operate, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    operated = await operate(lab.app())
    api = await operated.client()
    guest = await operated.guest("apps:read")
    store = operated.station.store
    assert store is not None

    def down() -> None:
        raise StoreDown("the database does not answer in time")

    async with lab.undisturbed(operated.station):
        with monkeypatch.context() as patch:
            patch.setattr(type(store.database), "_opened", lambda self: down())
            assert refusal(await api.get("/readyz")) == (503, "not_ready")
            for asked in (
                api.get(f"{API}/apps"),
                api.post(f"{API}/apps", json={}),
                api.post(f"{API}/apps", json={}, headers={"Idempotency-Key": "a"}),
                guest.get(f"{API}/apps"),
            ):
                answer = await asked
                assert refusal(answer) == (503, "database_unavailable")
                assert answer.headers["retry-after"] == "5"
        assert (await api.get("/readyz")).status_code == 200
        assert (await guest.get(f"{API}/apps")).status_code == 200


async def test_every_answer_has_its_id_and_headers(operated: Operated, refusal: Refusal) -> None:
    api = await operated.client()
    for path in ("/healthz", "/nowhere", f"{API}/apps"):
        answer = await api.get(path)
        assert len(answer.headers["x-request-id"]) == 16
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers
    answer = await api.get("/healthz", headers={"X-Request-Id": "mine-1"})
    assert answer.headers["x-request-id"] == "mine-1"
    answer = await api.get("/healthz", headers={"X-Request-Id": "not fit for a log"})
    assert answer.headers["x-request-id"] != "not fit for a log"
    assert refusal(await api.get("/nowhere")) == (404, "not_found")
    answer = await api.put(f"{API}/apps")
    assert refusal(answer) == (405, "method_not_allowed")
    assert "allow" in answer.headers


async def test_a_body_is_bounded_in_size(operated: Operated, refusal: Refusal) -> None:
    api = await operated.client()
    big = b" " * (envelope.BODY_MAX + 1)
    json = {"Content-Type": "application/json"}
    assert refusal(await api.post(f"{API}/apps", content=big, headers=json)) == (413, "body_too_large")

    async def chunks() -> object:
        for _ in range(envelope.BODY_MAX // 65536 + 1):
            yield b" " * 65536

    answer = await api.post(f"{API}/apps", content=chunks(), headers=json)  # type: ignore[arg-type]
    assert refusal(answer) == (413, "body_too_large")


async def test_a_body_that_does_not_come_is_not_waited_for(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelope, "_BODY_TIME", 0.05)
    head = f"POST {API}/apps HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {operated.KEY}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 10\r\nConnection: close\r\n\r\n{"
    answer = await raw(operated, head.encode())
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"too_slow"' in answer


async def test_a_head_that_does_not_come_is_not_waited_for(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_HEAD_TIME", 0.05)
    for head in (b"", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET / HT"):
        answer = await raw(operated, head)
        assert answer.count(b"HTTP/1.1 200") == head.count(b"\r\n\r\n")


async def test_an_endless_head_is_refused(operated: Operated) -> None:
    answer = await raw(operated, b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
    assert answer.startswith(b"HTTP/1.1 400") or answer == b""


async def test_too_many_requests_at_the_same_time_are_told_to_come_back(
    operated: Operated, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelope, "_AT_ONCE", 0)
    answer = await (await operated.client()).get("/healthz")
    assert refusal(answer) == (503, "busy")
    assert answer.headers["retry-after"] == "1"


async def test_a_failure_inside_is_a_refusal_that_says_nothing_of_it(
    operated: Operated, refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = operated.station.store
    assert store is not None

    async def fail(*_: object) -> None:
        raise RuntimeError("an inner secret")

    monkeypatch.setattr(store.apps, "page", fail)
    answer = await (await operated.client()).get(f"{API}/apps")
    assert refusal(answer) == (500, "internal_error")
    assert "inner" not in answer.text


async def test_it_speaks_tls(operate: Operate) -> None:
    operated = await operate(
        internal_tls_certificate=str(TLS / "relay.pem"), internal_tls_key=str(TLS / "relay.key")
    )
    url = operated.station.internal_url
    assert url is not None
    assert url.startswith("https://")
    context = ssl.create_default_context(cafile=TLS / "relay.pem")
    context.check_hostname = False
    async with httpx.AsyncClient(base_url=url, verify=context, trust_env=False) as client:
        answer = await client.get("/healthz")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"]
    operated.station.reload()


async def test_a_port_that_is_taken_is_named_and_nothing_stays_behind(
    lab: Lab, operated: Operated, tmp_path: Path
) -> None:
    assert operated.station.internal_address is not None
    taken = ServerConfig(
        port=0, internal_port=operated.station.internal_address[1], close=0.2, drain_spread=0
    )
    station = Station(Config(server=taken, database=DatabaseConfig(directory=str(tmp_path / "x"))), lab.clock)
    with pytest.raises(InternalPortUnavailable, match="is in use") as caught:
        await station.start()
    assert caught.value.in_use
    elsewhere = ServerConfig(
        port=0, internal_host="127.9.9.9.9", internal_clear=True, close=0.2, drain_spread=0
    )
    with pytest.raises(InternalPortUnavailable, match="cannot be served"):
        await Station(Config(server=elsewhere), lab.clock).start()


async def test_an_app_on_both_sides_is_an_error_at_the_start(lab: Lab, tmp_path: Path) -> None:
    def station(*apps: object) -> Station:
        server = ServerConfig(port=0, internal=False, close=0.2, drain_spread=0)
        database = DatabaseConfig(directory=str(tmp_path))
        return Station(Config(server=server, database=database, apps=apps), lab.clock)  # type: ignore[arg-type]

    async with station().running() as one:
        assert isinstance(one, Station)
        assert one.store is not None
        assert one.internal_url is None
        await one.store.apps.create(lab.APP, lab.CERTIFICATE, name="", enabled=True, settings={})
    with pytest.raises(AppsClash, match="take it out of one of them"):
        await station(lab.app()).start()
    async with station().running() as again:
        await (await lab.connect(again)).join("standup", "ann")


async def test_apps_whose_settings_are_from_another_version_do_not_stop_the_others(
    lab: Lab, operate: Operate, refusal: Refusal
) -> None:
    operated = await operate()
    store, directory = operated.station.store, operated.station.directory
    assert store is not None
    await store.apps.create(lab.APP, lab.CERTIFICATE, name="", enabled=True, settings={})
    await store.apps.create(
        lab.OTHER_APP, lab.CERTIFICATE, name="", enabled=True, settings={"limits": {"x": 1}}
    )
    await directory.refresh()
    await (await lab.connect(operated.station)).join("standup", "ann")
    assert directory.get(lab.OTHER_APP) is None


async def test_what_another_process_changes_is_seen(lab: Lab, operated: Operated) -> None:
    store, directory = operated.station.store, operated.station.directory
    assert store is not None
    await store.apps.create(lab.APP, lab.CERTIFICATE, name="", enabled=True, settings={})
    await directory.refresh()
    ann = await lab.connect(operated.station)
    await ann.join("standup", "ann")
    await store.apps.set_enabled(lab.APP, False)
    await directory.refresh()
    assert (await ann.ended())[1] == "app_disabled"
    await store.apps.delete(lab.APP)
    await directory.refresh()
    assert directory.get(lab.APP) is None


async def test_what_is_under_way_is_answered_when_it_goes_down(operate: Operate, lab: Lab) -> None:
    operated = await operate()
    api = await operated.client()
    asked = asyncio.create_task(api.post(f"{API}/apps", json={}))
    while not operated.station.directory._versions and not asked.done():
        await asyncio.sleep(0)
    assert (await asked).status_code == 201


async def test_it_can_ask_clients_for_a_certificate(operate: Operate) -> None:
    operated = await operate(
        internal_tls_certificate=str(TLS / "relay.pem"),
        internal_tls_key=str(TLS / "relay.key"),
        internal_tls_clients=str(TLS / "other.pem"),
    )
    url = operated.station.internal_url
    assert url is not None
    for name in ("other", "relay", None):
        context = ssl.create_default_context(cafile=TLS / "relay.pem")
        context.check_hostname = False
        if name is not None:
            context.load_cert_chain(TLS / f"{name}.pem", TLS / f"{name}.key")
        async with httpx.AsyncClient(base_url=url, verify=context, trust_env=False) as client:
            if name == "other":
                assert (await client.get("/healthz")).status_code == 200
            else:
                with pytest.raises(httpx.TransportError):
                    await client.get("/healthz")


@pytest.mark.parametrize("clients", ["/none.pem", str(TLS / "relay.key")])
async def test_issuers_that_cannot_be_used_are_an_error_at_the_start(lab: Lab, clients: str) -> None:
    server = ServerConfig(
        port=0,
        internal_port=0,
        close=0.2,
        drain_spread=0,
        internal_tls_certificate=str(TLS / "relay.pem"),
        internal_tls_key=str(TLS / "relay.key"),
        internal_tls_clients=clients,
    )
    with pytest.raises(CertificateUnusable, match=clients):
        await Station(Config(server=server), lab.clock).start()
