"""Dashboard and alert rules fit the numbers that a relay really shows, and pass the tools' own checks."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from sealcast.server.config import AppConfig, Config, DatabaseConfig, ServerConfig, StorageConfig
from sealcast.server.station import Station

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus/alerts.yml"
TESTS = Path(__file__).with_name("alerts_test.yml")
TLS = Path(__file__).parents[1] / "vectors/tls"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/sealcast.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
GRAPHS = [panel for panel in PANELS if panel["type"] != "row"]
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"][0]["rules"]

_OF_PROMETHEUS = {"up", "instance", "job", "le"}
_NAME = re.compile(r"[a-zA-Z_]\w*")


def expressions() -> Iterator[tuple[str, str]]:
    """Where each expression stands, and what it says once Grafana has filled in its variables."""
    for panel in GRAPHS:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
            yield f"{panel['title']} {target['refId']}", text
    for rule in RULES:
        yield rule["alert"], rule["expr"]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("needs promtool")
    return subprocess.run([found, *arguments], capture_output=True, text=True)


async def scraped(tmp_path: Path) -> tuple[set[str], set[str]]:
    """Scrape a real relay with all that a relay can have; return the names of its metrics and labels."""
    options = {"port": 0, "internal_port": 0, "drain_spread": 0.0, "close": 0.2}
    files = {"tls_certificate": str(TLS / "relay.pem"), "tls_key": str(TLS / "relay.key")}
    config = Config(
        server=ServerConfig.model_validate({**options, **files}),
        storage=StorageConfig(engine="sqlite", path=str(tmp_path / "messages.db")),
        database=DatabaseConfig(directory=str(tmp_path)),
        apps=(AppConfig(app_id="0" * 32, certificate="1" * 32),),
    )
    async with Station(config).running() as relay:
        assert isinstance(relay, Station)
        url = f"{relay.internal_url}/metrics"
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(url)).text
    families = list(text_string_to_metric_families(text))
    names = {sample.name for family in families for sample in family.samples}
    # What has happened to nobody yet has a type, and no sample.
    names |= {family.name + ("_total" if family.type == "counter" else "") for family in families}
    return names, {label for family in families for sample in family.samples for label in sample.labels}


async def test_every_metric_that_dashboard_and_rules_name_is_in_a_scrape(tmp_path: Path) -> None:
    names, _ = await scraped(tmp_path)
    used = {
        (place, name)
        for place, text in expressions()
        for name in _NAME.findall(re.sub(r'"[^"]*"', "", text))
        if name.startswith(("sealcast_", "process_"))
    }
    assert len({name for _, name in used}) > 40
    buckets = {name + "_bucket" for name in names}
    assert [one for one in sorted(used) if one[1] not in names | buckets] == []


async def test_every_label_that_they_name_exists(tmp_path: Path) -> None:
    _, labels = await scraped(tmp_path)
    for place, text in expressions():
        matched = re.findall(r"[{,]\s*(\w+)\s*[=!]~?", text)
        grouped = [
            name for found in re.findall(r"\b(?:by|on) \(([^)]*)\)", text) for name in found.split(", ")
        ]
        unknown = {*matched, *grouped} - labels - _OF_PROMETHEUS
        # Labels of what has not happened yet.
        assert not unknown - {"limit", "app", "status"}, place


# --- the dashboard ---


def test_ids_are_unique_and_panels_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken: dict[tuple[int, int], str] = {}
    for panel in PANELS:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24, panel["title"]
        xs, ys = range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
        for cell in itertools.product(xs, ys):
            assert taken.setdefault(cell, panel["title"]) == panel["title"]


def test_every_panel_takes_the_data_source_that_is_chosen_and_has_a_unit() -> None:
    source, instance = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert instance["datasource"] == chosen
    for panel in GRAPHS:
        assert panel["datasource"] == chosen, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)
        for target in panel["targets"]:
            assert target["datasource"] == chosen, panel["title"]
            assert '{instance=~"$instance"' in target["expr"], f"{panel['title']} shows all relays"


def test_time_is_shown_as_time_and_bytes_as_bytes() -> None:
    for panel in GRAPHS:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            text = target["expr"]
            if "histogram_quantile" in text:
                assert unit == "s", panel["title"]
            elif re.search(r"_bytes\b", text):
                assert unit == "bytes", panel["title"]
            elif re.search(r"_bytes_total\b", text):
                assert unit == "Bps", panel["title"]


def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"rule:{number}", "expr": text} for number, (_, text) in enumerate(expressions())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), "utf-8")
    checked = promtool("check", "rules", str(file))
    assert checked.returncode == 0, checked.stderr


def test_compose_gives_grafana_the_folder_with_the_dashboard() -> None:
    compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text("utf-8"))
    provider = (DEPLOY / "compose/grafana/provisioning/dashboards/sealcast.yaml").read_text("utf-8")
    place = yaml.safe_load(provider)["providers"][0]["options"]["path"]
    assert f"../grafana:{place}:ro" in compose["services"]["grafana"]["volumes"]


# --- the rules ---


def test_every_alert_says_what_is_the_matter_and_what_to_do() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning"), rule["alert"]
        assert set(rule["annotations"]) == {"summary", "action"}, rule["alert"]


def test_promtool_accepts_the_rules_and_the_configuration_that_names_them() -> None:
    for command in (
        ("check", "rules", str(ALERTS)),
        ("check", "config", str(ALERTS.with_name("prometheus.yml"))),
    ):
        checked = promtool(*command)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_tried_and_none_fires_while_all_is_well(tmp_path: Path) -> None:
    names = {case["name"] for case in yaml.safe_load(TESTS.read_text("utf-8"))["tests"]}
    assert names == {rule["alert"] for rule in RULES} | {"all is well"}
    tried = promtool("test", "rules", str(TESTS))
    assert tried.returncode == 0, tried.stdout + tried.stderr
    # And the test of the rules can fail.
    (tmp_path / "alerts.yml").write_text(ALERTS.read_text("utf-8").replace("> 0.9", "> 0.99"), "utf-8")
    changed = TESTS.read_text("utf-8").replace("../../deploy/prometheus/alerts.yml", "alerts.yml")
    (tmp_path / "alerts_test.yml").write_text(changed, "utf-8")
    assert "SealcastFilesRunOut" in promtool("test", "rules", str(tmp_path / "alerts_test.yml")).stderr


def test_the_chart_has_the_same_rules() -> None:
    assert (DEPLOY / "helm/sealcast/alerts.yml").read_bytes() == ALERTS.read_bytes()
