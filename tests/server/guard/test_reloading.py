"""A configuration that is read again while members talk."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from sealcast.server.config import Config, DatabaseConfig, GuardConfig, ServerConfig
from sealcast.server.config_file import ConfigError
from sealcast.server.relay import Relay
from sealcast.server.station import Station

if TYPE_CHECKING:
    from ..conftest import Lab
    from .conftest import Guarded

pytestmark = pytest.mark.timeout(30)

SERVER = {"port": 0, "internal_port": 0, "close": 0.2, "drain_spread": 0.0, "heartbeat": 3600.0}


class File:
    """What is read."""

    def __init__(self, config: Config) -> None:
        self.config: Config | Exception = config

    def __call__(self) -> Config:
        if isinstance(self.config, Exception):
            raise self.config
        return self.config


Reading = tuple[Relay, File]


def config(lab: Lab, *apps: Any, guard: dict[str, Any] | None = None, **server: Any) -> Config:
    return Config(
        server=ServerConfig(**{**SERVER, **server}), guard=GuardConfig(**(guard or {"allow": ()})), apps=apps
    )


@pytest_asyncio.fixture
async def reading(lab: Lab, guarded: Guarded) -> AsyncIterator[Reading]:
    """A relay with one app, and what it reads on SIGHUP."""
    file = File(config(lab, lab.app()))
    async with Relay(file(), lab.clock, file).running() as relay:
        lab.relays.append(relay)
        yield relay, file


async def test_what_is_known_of_addresses_outlives_a_reload(
    lab: Lab, guarded: Guarded, reading: Reading
) -> None:
    relay, file = reading
    for _ in range(10):
        relay.hub.warden.offend(guarded.BAD, "invalid_token")
    file.config = config(lab, lab.app(), guard={"allow": (), "half_life": 60})
    relay.reload()
    assert relay.hub.warden.rules.half_life == 60
    assert await guarded.status(relay, guarded.BAD) == 0


async def test_members_of_an_app_that_is_gone_are_told_and_the_others_talk_on(
    lab: Lab, reading: Reading
) -> None:
    relay, file = reading
    file.config = config(lab, lab.app(), lab.app(lab.OTHER_APP))
    relay.reload()
    client = await lab.connect(relay, lab.OTHER_APP)
    await client.join("standup", "ann")
    async with lab.undisturbed(relay):
        file.config = config(lab, lab.app(limits={"joins_per_minute": 50}))
        relay.reload()
        assert await client.ended() == (4509, "app_disabled")


async def test_nothing_changes_when_nothing_changed(lab: Lab, reading: Reading) -> None:
    relay, _ = reading
    async with lab.undisturbed(relay):
        with capture_logs() as lines:
            relay.reload()
    said = [line for line in lines if line["event"] == "configuration reloaded"]
    assert [(line["changed"], line["apps"], line["apps_removed"]) for line in said] == [([], [], [])]
    assert not [line for line in lines if line["log_level"] in ("warning", "error")]


async def test_options_of_the_process_are_named_and_not_applied(lab: Lab, reading: Reading) -> None:
    relay, file = reading
    file.config = config(lab, lab.app(), handshake=1.0, internal_key="k" * 40)
    with capture_logs() as lines:
        relay.reload()
    (line,) = [line for line in lines if line["log_level"] == "warning"]
    assert line["options"] == ["server.handshake", "server.internal_key"]
    assert "k" * 40 not in str(lines)


async def test_what_cannot_be_read_changes_nothing(lab: Lab, guarded: Guarded, reading: Reading) -> None:
    relay, file = reading
    file.config = ConfigError(["sealcast.toml: cannot be read: No such file or directory"])
    async with lab.undisturbed(relay):
        with capture_logs() as lines:
            relay.reload()
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["reason"] == "sealcast.toml: cannot be read: No such file or directory"


async def test_an_app_of_the_database_cannot_come_into_the_configuration_too(
    lab: Lab, tmp_path: Path
) -> None:
    database = DatabaseConfig(directory=str(tmp_path))
    kept = config(lab).model_copy(update={"database": database})
    file = File(kept)
    async with contextlib.AsyncExitStack() as stack:
        station = await stack.enter_async_context(Station(kept, lab.clock, file).running())
        assert isinstance(station, Station)
        assert station.store is not None
        record = await station.store.apps.create(lab.APP, lab.CERTIFICATE, name="", enabled=True, settings={})
        station.directory.apply(record)
        clash = config(lab, lab.app(), lab.app(lab.OTHER_APP), guard={"deny": ("127.0.0.1",)})
        file.config = clash.model_copy(update={"database": database})
        with capture_logs() as lines:
            station.reload()
        (line,) = [line for line in lines if line["log_level"] == "error"]
        assert "stands in the configuration and in the database" in line["reason"]
        assert station.find(lab.OTHER_APP) is None, "refused as a whole"
        await lab.connect(station)
        good = config(lab, lab.app(lab.OTHER_APP)).model_copy(update={"database": database})
        file.config = good
        station.reload()
        assert station.directory.fixed(lab.OTHER_APP)
        await lab.connect(station, lab.OTHER_APP)
        await lab.connect(station)
