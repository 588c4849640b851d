"""The pictures of a run: well-formed, and drawn from the rounds that count."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench.report import draw

MACHINE = {"cpu": "a <processor> & more", "date": "2026-11-27T12:00:00"}


def row(workload: str, peer: str, part: str = "fanout", **values: float) -> dict[str, Any]:
    return {"part": part, "workload": workload, "peer": peer, "number": 0, "values": values}


def texts(path: Path) -> str:
    return " ".join(element.text or "" for element in ElementTree.parse(path).iter())


def test_a_sweep_becomes_lines_and_a_comparison_bars(tmp_path: Path) -> None:
    rounds = [
        row(f"members-{n}", peer, "sweep", us_per_delivery=cost / n)
        for n in (10, 100, 1000)
        for peer, cost in (("sealcast", 9.0), ("anchor", 60.0))
    ]
    rounds += [
        row("fanout-100-200-windowed", peer, deliveries_per_second=rate)
        for peer, rate in (("slow", 5e4), ("sealcast", 2.25e6))
    ]
    drawn = draw({"machine": MACHINE, "rounds": rounds}, tmp_path / "run")
    assert [path.name for path in drawn] == ["run-members.svg", "run-fanout-100-200-windowed.svg"]
    assert "sealcast" in texts(drawn[0])
    assert "2.25 M" in texts(drawn[1])
    assert "a <processor> & more" in texts(drawn[1])


def test_rounds_with_faults_and_single_points_are_not_drawn(tmp_path: Path) -> None:
    bad = row("members-10", "sealcast", "sweep", us_per_delivery=1.0) | {"faults": {"missing": 1}}
    failed = {"part": "sweep", "workload": "members-100", "peer": "sealcast", "number": 0, "failed": "why"}
    single = row("members-100", "sealcast", "sweep", us_per_delivery=1.0)
    assert draw({"machine": MACHINE, "rounds": [bad, failed, single]}, tmp_path / "run") == []
