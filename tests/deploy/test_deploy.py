"""What stands in deploy/ fits together, keeps its own rules, and passes the checks of tools that are here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sealcast.server.config import ServerConfig
from sealcast.server.config_options import PROCESS

DEPLOY = Path(__file__).parents[2] / "deploy"
CONTAINERFILE = (DEPLOY / "container/Containerfile").read_text("utf-8")
UNIT = (DEPLOY / "systemd/sealcast.service").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text("utf-8"))
VALUES: dict[str, Any] = yaml.safe_load((DEPLOY / "helm/sealcast/values.yaml").read_text("utf-8"))
DEFAULTS = ServerConfig()
DRAIN = DEFAULTS.drain_spread + DEFAULTS.close


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def chart(*values: str) -> list[dict[str, Any]]:
    """Render the chart with these values."""
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("needs helm")
    command = [helm, "template", "here", str(DEPLOY / "helm/sealcast"), "--kube-version", "1.30.0"]
    command += [part for value in ("config.existingSecret=c", *values) for part in ("--set", value)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [document for document in yaml.safe_load_all(rendered) if document]


# --- the same rules everywhere ---


def test_nothing_is_stopped_before_it_has_drained() -> None:
    assert seconds(COMPOSE["services"]["sealcast"]["stop_grace_period"]) > DRAIN
    assert seconds(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0]) > DRAIN
    assert VALUES["terminationGracePeriodSeconds"] > DRAIN
    assert "STOPSIGNAL SIGTERM" in CONTAINERFILE
    assert "KillSignal=SIGTERM" in UNIT


def test_nothing_runs_as_root() -> None:
    assert re.findall(r"^USER (\S+)$", CONTAINERFILE, re.MULTILINE)[-1] == "10001:10001"
    assert "\nUser=sealcast\n" in UNIT
    assert "\nNoNewPrivileges=yes\n" in UNIT
    for name, service in COMPOSE["services"].items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_the_root_of_the_relay_is_read_only() -> None:
    assert COMPOSE["services"]["sealcast"]["read_only"] is True
    assert "\nProtectSystem=strict\n" in UNIT


def test_the_internal_port_is_never_published_to_the_world() -> None:
    for name, service in COMPOSE["services"].items():
        for port in service["ports"]:
            public = port == f"{DEFAULTS.port}:{DEFAULTS.port}"
            assert public or port.startswith("127.0.0.1:"), (name, port)


def test_the_public_port_is_the_relays_default() -> None:
    assert f"EXPOSE {DEFAULTS.port} " in CONTAINERFILE
    assert VALUES["service"]["port"] == DEFAULTS.port


def test_every_image_of_others_has_a_version() -> None:
    for name, service in COMPOSE["services"].items():
        assert "image" not in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), name


def test_what_is_mounted_is_there() -> None:
    place = DEPLOY / "compose"
    for service in COMPOSE["services"].values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith(".") and source != "./sealcast.toml":
                assert (place / source).exists(), volume


def test_every_option_that_is_set_is_one_that_there_is() -> None:
    known = {option.variable for option in PROCESS} | {"SEALCAST_CONFIG"}
    for path in DEPLOY.rglob("*"):
        if path.is_file() and path.name != "README.md":
            assert set(re.findall(r"\bSEALCAST_[A-Z_]+", path.read_text("utf-8"))) <= known, path


def test_no_secret_stands_in_any_of_it() -> None:
    for path in DEPLOY.rglob("*"):
        if path.is_file():
            assert not re.search(r"\b[0-9a-f]{32}\b", path.read_text("utf-8")), path


def test_what_the_image_is_built_from_is_what_the_project_says() -> None:
    ignored = (DEPLOY / "container/Containerfile.dockerignore").read_text("utf-8").split()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    for source in " ".join(copied).split():
        assert f"!{source}" in ignored
        assert (DEPLOY.parent / source).exists()


# --- the tools' own checks ---


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze")
    unit = tmp_path / "sealcast.service"
    unit.write_text(UNIT.replace("/opt/sealcast/bin/sealcast", "/bin/true"), "utf-8")
    verified = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True)
    said = [line for line in verified.stderr.splitlines() if "sealcast.service" in line]
    assert verified.returncode == 0, verified.stderr
    assert not said


def test_helm_accepts_the_chart() -> None:
    helm = shutil.which("helm")
    if helm is None:
        pytest.skip("needs helm")
    command = [helm, "lint", "--strict", str(DEPLOY / "helm/sealcast"), "--set", "config.existingSecret=c"]
    linted = subprocess.run(command, capture_output=True, text=True)
    assert linted.returncode == 0, linted.stdout


def test_a_chart_without_configuration_says_what_is_missing() -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        chart("config.existingSecret=")
    assert "config.existingSecret" in caught.value.stderr


def test_the_charts_process_is_confined_and_alone() -> None:
    (workload,) = (one for one in chart() if one["kind"] == "StatefulSet")
    assert workload["spec"]["replicas"] == 1
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    declared = {volume["name"] for volume in pod["volumes"]}
    claimed = {claim["metadata"]["name"] for claim in workload["spec"]["volumeClaimTemplates"]}
    assert mounted == declared | claimed


def test_the_charts_ingress_leads_to_the_public_port_only() -> None:
    (ingress,) = (one for one in chart("ingress.enabled=true") if one["kind"] == "Ingress")
    (rule,) = ingress["spec"]["rules"]
    assert [path["backend"]["service"]["port"] for path in rule["http"]["paths"]] == [{"name": "public"}]
