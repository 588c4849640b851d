"""One log line for each end of a connection, however it comes, and JSON off a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import structlog

from sealcast.protocol.codes import ENDS
from sealcast.server.config import LogConfig
from sealcast.server.logs import SessionLog, configure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Lab


@pytest.fixture
def lines() -> Iterator[list[dict[str, object]]]:
    """What is written from now on."""
    with structlog.testing.capture_logs() as captured:
        yield captured  # type: ignore[misc]


def ends(lines: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(line["session"], line["name"]) for line in lines if line["event"] == "connection ended"]


async def test_every_way_to_end_is_one_line(lab: Lab, lines: list[dict[str, object]]) -> None:
    app = lab.app(limits={"errors_per_minute": 1})
    relay = await lab.serve(app, unauthenticated=10.0, heartbeat=60.0)
    expected: list[tuple[int, str]] = []

    async def ended(name: str) -> None:
        expected.append((len(expected) + 1, name))
        while len(ends(lines)) < len(expected):
            await lab.turn()
        assert ends(lines) == expected

    client = await lab.connect(relay)
    await client.ws.close(1000)
    await ended("left")
    client = await lab.connect(relay)
    client.ws.transport.abort()
    await ended("connection_lost")
    wire = await lab.wire(relay)
    await wire.frame(1, b"text")
    await wire.ended()
    await ended("text_refused")
    client = await lab.connect(relay)
    await client.ws.send(b"\x77")
    await client.ended()
    await ended("protocol_error")
    wire = await lab.wire(relay)
    await wire.send(b"\x82\xff" + bytes((0, 0, 0, 1)) + bytes(4))
    await wire.ended()
    await ended("too_big")
    client = await lab.connect(relay)
    await client.join("standup", "ann", lab.token("standup", "ann", ttl=20))
    lab.later(21)
    await client.ended()
    await ended("token_expired")
    client = await lab.connect(relay)
    lab.later(11)
    await client.ended()
    await ended("unauthenticated")
    client = await lab.connect(relay)
    room = await client.join("standup", "ann")
    for _ in range(3):
        await client.ws.send(room.frame(version=2))
    await client.ended()
    await ended("too_many_errors")
    client = await lab.connect(relay)
    await client.join("standup", "ann")
    relay.put(app.model_copy(update={"enabled": False}))
    await client.ended()
    await ended("app_disabled")
    relay.put(app)
    client = await lab.connect(relay)
    await client.join("standup", "ann")
    await relay.stop()
    await ended("draining")
    assert {line["log_level"] for line in lines if line["event"] == "connection ended"} == {"info"}


@pytest.mark.parametrize("code", ENDS.values(), ids=lambda code: code.name)
def test_a_line_is_json_with_all_that_is_said_of_an_end(
    code: object, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(LogConfig())
    try:
        log = SessionLog(7, "a" * 32, "192.0.2.1", 100.0, "Probe/1", 50.0)
        log.left(3, 900)
        log.ended(code, None, 160.0)  # type: ignore[arg-type]
    finally:
        structlog.reset_defaults()
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert set(said) == {
        "ts",
        "level",
        "event",
        "session",
        "app",
        "address",
        "code",
        "name",
        "peer_code",
        "seconds",
        "frames_in",
        "bytes_in",
        "tokens_refused",
    }
    assert (said["name"], said["seconds"], said["frames_in"], said["bytes_in"]) == (code.name, 60.0, 3, 900)  # type: ignore[attr-defined]
