"""Log lines: a failure that repeats itself does not fill the disk, and says how often it was."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from sealcast.server.config import LogConfig
from sealcast.server.logs import Lines, configure, logger


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """The lines of a process whose clock stands still."""
    found = Lines(Clock())
    monkeypatch.setattr("sealcast.server.logs.LINES", found)
    yield found
    structlog.reset_defaults()


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_the_same_error_is_written_ten_times_a_minute_and_then_counted(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogConfig(format="json"))
    for place in range(25):
        logger.error("it failed", place=place)
    logger.error("something else")
    assert [line["event"] for line in written(capsys)] == ["it failed"] * 10 + ["something else"]
    assert lines.withheld == 15
    assert lines.by_level["error"] == 26
    monkeypatch.setattr(Clock, "now", 161.0)
    logger.error("it failed")
    logger.error("it failed")
    first, second = written(capsys)
    assert first["withheld"] == 15
    assert "withheld" not in second


def test_what_is_told_of_single_connections_is_not_withheld(
    lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogConfig(format="json"))
    for _ in range(50):
        logger.info("connection ended")
    assert len(written(capsys)) == 50
    assert lines.withheld == 0


def test_any_number_of_texts_takes_a_bounded_room(lines: Lines, capsys: pytest.CaptureFixture[str]) -> None:
    configure(LogConfig(format="json"))
    for place in range(5_000):
        logger.warning(f"text {place}")
    assert lines.by_level["warning"] == 5_000
    assert lines.withheld == 0
