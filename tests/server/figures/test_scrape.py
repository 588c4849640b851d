"""`/metrics`: it says what the relay counted, in a form that Prometheus takes, with bounded labels."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics

from sealcast.protocol.controls import Join
from sealcast.server.figures.board import Board, Sample
from sealcast.server.figures.families import FAMILIES
from sealcast.server.http.api_keys import make_key
from sealcast.server.store.audit import AuditLog
from sealcast.server.store.records import StoreDown

from .conftest import KEY

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Watch

TLS = Path(__file__).parents[2] / "vectors" / "tls"


async def test_the_numbers_are_those_that_the_relay_has_counted(lab: Lab, watch: Watch) -> None:
    watched = await watch()
    alice, bob = await lab.connect(watched.station), await lab.connect(watched.station)
    room = await alice.join("standup", "alice")
    await bob.join("standup", "bob")
    for _ in range(3):
        await alice.frame(room)
    await alice.message(room)
    await bob.refused(Join(channel="x", user="bob", token="nonsense", hello=None, since=None))
    numbers = await watched.numbers()
    counted = watched.station.metrics
    assert numbers("connections") == counted.connections == 2
    assert numbers("joins_total") == counted.joins_total == 2
    assert numbers("members") == 2
    assert numbers("channels") == numbers("channels_opened_total") == 1
    assert numbers("frames_received_total") == counted.frames_in == 3
    assert numbers("messages_received_total") == counted.messages_in == 1
    assert numbers("received_bytes_total") == counted.bytes_in
    assert numbers("deliveries_total") == counted.deliveries
    assert numbers("refusals_total") == sum(counted.refused.values()) == 1
    assert numbers("tokens_refused_total", reason="invalid_token") == 1
    assert numbers("turn_work_seconds_count") == sum(counted.turn_work.counts) > 0
    assert numbers("turn_work_seconds_sum") == pytest.approx(counted.turn_work.total)
    assert numbers("messages_kept") == 1
    assert numbers("messages_kept_bytes") > 0
    assert numbers("app_received_total", app=lab.APP) == 4
    await alice.ws.close()
    while watched.station.metrics.connections > 1:
        await lab.turn()
    after = await watched.numbers()
    assert after("connections_ended_total", reason="left") == 1
    assert after("members_left_total", reason="left") == 1
    assert after("app_received_total", app=lab.APP) == 4, "what was sent stays sent"


async def test_every_declared_metric_is_in_a_scrape_and_nothing_else_of_ours(watch: Watch) -> None:
    watched = await watch()
    shown = {
        family.name + ("_total" if family.type == "counter" else "")
        for family in (await watched.numbers()).families.values()
        if family.name.startswith("sealcast_")
    }
    assert shown == set(FAMILIES)


async def test_who_asks_for_open_metrics_gets_them(watch: Watch) -> None:
    watched = await watch()
    answer = await watched.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in open_metrics(answer.text)} > {"sealcast_joins", "process_cpu_seconds"}
    plain = await watched.get("/metrics", accept="text/html")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_promtool_has_nothing_to_say_against_it(watch: Watch) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool")
    text = (await (await watch(stored=True)).numbers()).text
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


# --- labels ---


async def test_nothing_that_a_client_says_becomes_a_label(lab: Lab, watch: Watch) -> None:
    watched = await watch()
    before = (await watched.numbers()).text.count("\n")
    hostile = "{evil} 1"
    for place in range(20):
        client = await lab.connect(watched.station, user_agent_header=f'"}} evil {place}')
        room = await client.join(f"{hostile}{place}", f"evil user {place}")
        await client.frame(room)
        await client.refused(Join(channel=hostile, user="evil", token="evil", hello=None, since=None))
    numbers = await watched.numbers()
    assert "evil" not in numbers.text
    assert numbers.text.count("\n") - before < 20, "one client more is not one line more"


async def test_apps_over_the_bound_are_summed_up(lab: Lab, watch: Watch) -> None:
    apps = [lab.app(), lab.app(lab.OTHER_APP)]
    watched = await watch(*apps, metrics={"apps": 1})
    for app_id in (lab.APP, lab.OTHER_APP, lab.OTHER_APP):
        client = await lab.connect(watched.station, app_id)
        room = await client.join("here", f"user {id(client)}")
        await client.message(room)
        await watched.numbers()
    numbers = await watched.numbers()
    assert {labels["app"]: value for labels, value in numbers.series("app_members")} == {
        lab.APP: 1,
        "other": 2,
    }
    assert {labels["app"]: value for labels, value in numbers.series("app_received_total")} == {
        lab.APP: 1,
        "other": 2,
    }
    # The one with a line is removed: what the others' line says does not become less, nor does it move.
    watched.station.remove(lab.APP)
    after = await watched.numbers()
    assert after.series("app_received_total") == [({"app": "other"}, 2)]


async def test_a_metric_with_too_many_series_sums_up_the_rest() -> None:
    def source() -> Iterator[Sample]:
        for place in range(500):
            yield Sample("rate_limited_total", 1, (f"limit {place}",))

    board = Board()
    board.add(source)
    (series,) = [
        found for family, found in await board.gather() if family.name.endswith("rate_limited_total")
    ]
    assert len(series) == 101
    assert series["other",] == 400


# --- sources ---


async def test_a_source_that_fails_hides_no_other(watch: Watch) -> None:
    watched = await watch()

    def broken() -> Iterator[Sample]:
        yield Sample("webhook_events_lost_total", 3)
        raise RuntimeError("a secret")

    watched.station.instruments.board.add(broken)
    numbers = await watched.numbers()
    assert numbers("source_failures_total") == 1
    assert numbers("connections") == 0


async def test_what_webhooks_records_rules_and_the_audit_log_do_is_counted(
    lab: Lab, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = await watch(database=f"sqlite:///{tmp_path}/sealcast.db")
    watched.client.headers["Authorization"] = f"Bearer {KEY}"
    app, at = f"/api/v1/apps/{lab.APP}", "webhook_deliveries_total"
    config = watched.station.hooks.config
    assert not config.private, "so nothing is delivered to a receiver on this machine"
    hook = {"url": "https://127.0.0.1:9/hook"}
    assert (await watched.client.post(f"{app}/webhooks", json=hook)).status_code == 201
    for rule in ("bans", "bans", "revocations"):
        assert (await watched.client.post(f"{app}/{rule}", json={"user": rule})).status_code == 201
    block = {"network": "203.0.113.0/24"}
    assert (await watched.client.post("/api/v1/blocks", json=block)).status_code == 201
    numbers = await watched.numbers()
    assert (numbers("rules", kind="ban"), numbers("rules", kind="revocation")) == (2, 1)
    assert numbers("networks_kept_out", origin="operator") == 1
    assert numbers("networks_kept_out", origin="automatic") == 0
    assert numbers("audit_failures_total") == 0
    while not watched.station.hub.warden.offend("203.0.114.1", "invalid_token"):
        pass
    ann = await lab.connect(watched.station)
    await ann.join("standup", "ann")
    while (await watched.numbers())(at, result="failed") < 1:
        await asyncio.sleep(0.01)
    for name in ("write", "beat"):
        monkeypatch.setattr(watched.station.store.calls, name, away)
    monkeypatch.setattr(watched.station.store.deliveries, "add", away)
    monkeypatch.setattr(AuditLog, "add", away)
    await ann.ws.close()
    while watched.station.metrics.connections:
        await lab.turn()
    refused = await watched.client.post(f"{app}/bans", json={"user": "bob"})
    assert refused.status_code == 503
    numbers = await watched.numbers()
    assert numbers("networks_kept_out", origin="automatic") == 1
    assert numbers("addresses_blocked_total", reason="invalid_token") == 1
    assert numbers("records_waiting") >= 1
    assert numbers("webhook_events_waiting") >= 1
    assert numbers("records_lost_total") == numbers("webhook_events_lost_total") == 0
    assert numbers("audit_failures_total") == 1
    assert numbers(at, result="delivered") == 0


async def away(*what: object, **more: object) -> None:
    raise StoreDown("the database does not answer in time")


async def test_what_happens_around_the_core_is_counted_too(lab: Lab, watch: Watch) -> None:
    files = {"tls_certificate": str(TLS / "relay.pem"), "tls_key": str(TLS / "relay.key")}
    watched = await watch(stored=True, **files)
    watched.station.witness.address_blocked(lab.APP, "192.0.2.1", "bad_tokens", 60.0)
    await watched.get("/api/v1/apps")
    numbers = await watched.numbers()
    assert numbers("addresses_blocked_total", reason="bad_tokens") == 1
    assert numbers("api_requests_total", status="401") == 1
    assert numbers("certificate_expiry_timestamp_seconds", port="public") > 1.7e9
    assert numbers("storage_file_bytes") > 0
    assert numbers("storage_free_bytes") > 0
    assert numbers("engine_info", engine="sqlite") == 1


async def test_a_scrape_does_not_block_the_loop(watch: Watch, request: pytest.FixtureRequest) -> None:
    watched = await watch(stored=True)
    request.getfixturevalue("no_blocking_calls")  # a journal may block while it is opened
    assert (await watched.numbers())("ready") == 1


# --- who may read ---


async def test_where_they_are_not_open_they_need_a_key_for_it(lab: Lab, watch: Watch, tmp_path: Path) -> None:
    watched = await watch(metrics={"open": False}, database=f"sqlite:///{tmp_path}/sealcast.db")
    store = watched.station.store

    async def asked(*scopes: str, app_id: str | None = None) -> tuple[int, str]:
        made = make_key()
        await store.keys.create(made.key_id, made.digest, name="test", scopes=scopes, app_id=app_id)
        answer = await watched.get("/metrics", authorization=f"Bearer {made.text}")
        return answer.status_code, "" if answer.status_code == 200 else answer.json()["name"]

    anybody = await watched.get("/metrics")
    assert (anybody.status_code, anybody.json()["name"]) == (401, "unauthenticated")
    assert await asked("apps:read") == (403, "forbidden")
    assert await asked("metrics:read") == (200, "")
    made = await watched.client.post(
        "/api/v1/apps", json={"name": "one"}, headers={"authorization": f"Bearer {watched.KEY}"}
    )
    assert await asked("metrics:read", app_id=made.json()["app"]["app_id"]) == (403, "forbidden")
