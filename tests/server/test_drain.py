"""Going down in order: nobody new, everybody told, and an end to waiting."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sealcast.protocol.controls import Drain, Join
from sealcast.server.config import Config, ServerConfig, StorageConfig
from sealcast.server.relay import Relay, main_loop
from sealcast.server.transport.tls import CertificateUnusable

if TYPE_CHECKING:
    from .conftest import Lab


async def test_everybody_is_told_when_to_come_back_and_closed(lab: Lab) -> None:
    relay = await lab.serve(drain_spread=5)
    clients = [await lab.connect(relay) for _ in range(5)]
    for number, client in enumerate(clients[:4]):
        await client.join("standup", f"user {number}")
    for client in clients:
        await client.settle()
    stopping = asyncio.create_task(relay.stop())
    delays = []
    for client in clients:
        drain = await client.told(Drain)
        delays.append(drain.delay)
        assert await client.ended() == (4001, "draining")
    await stopping
    assert all(0 <= delay <= 5 for delay in delays)
    assert len(set(delays)) > 1, "they do not all come back at the same moment"
    assert relay.metrics.ended == {"draining": 5}
    assert relay.metrics.connections == 0


async def test_nobody_gets_in_any_more(lab: Lab) -> None:
    relay = await lab.serve()
    assert relay.address is not None
    host, port = relay.address
    half_open = await lab.wire(relay, upgrade=False)
    await half_open.send(b"GET ")
    await lab.turn()
    ann = await lab.connect(relay)
    await relay.stop()
    assert await half_open.rest() == b""
    assert await ann.ended() == (4001, "draining")
    with pytest.raises(OSError, match="onnect"):
        await asyncio.open_connection(host, port)


async def test_a_join_while_going_down_is_refused(lab: Lab) -> None:
    relay = await lab.serve()
    ann = await lab.connect(relay)
    relay.hub.draining = True
    error = await ann.refused(Join(channel="standup", user="ann", token=lab.token("standup", "ann")))
    assert (error.name, error.temporary) == ("draining", True)


async def test_a_client_that_does_not_close_is_cut(lab: Lab) -> None:
    relay = await lab.serve(close=0.1)
    wire = await lab.wire(relay)
    await wire.join("standup", "ann")
    await asyncio.wait_for(relay.stop(), 5)
    assert relay.metrics.connections == 0
    await wire.rest()


async def test_a_client_that_does_not_read_is_cut(lab: Lab) -> None:
    relay = await lab.serve(close=0.1)
    stuck, ann = await lab.wire(relay, room_for=4096), await lab.connect(relay)
    await stuck.join("standup", "stuck")
    room = await ann.join("standup", "ann")
    for _ in range(40):
        await ann.frame(room, payload=bytes(60_000))
    await ann.settle()
    await asyncio.wait_for(relay.stop(), 5)
    assert relay.metrics.connections == 0


async def test_asked_twice_it_waits_for_nobody(lab: Lab) -> None:
    config = Config(server=ServerConfig(port=0, close=60), apps=(lab.app(),))
    relay = Relay(config, lab.clock)
    running = asyncio.create_task(relay.run())
    while relay.address is None:
        await lab.turn()
    lab.relays.append(relay)
    wire = await lab.wire(relay)
    await wire.join("standup", "ann")
    relay.shut_down()
    while not relay.hub.draining:
        await lab.turn()
    await lab.turn()
    relay.shut_down()
    await asyncio.wait_for(running, 5)
    await wire.rest()


async def test_a_relay_starts_on_a_loop_like_the_one_it_would_choose() -> None:
    factory = main_loop()
    assert factory is not None
    loop = factory()
    assert isinstance(loop, asyncio.AbstractEventLoop)
    loop.close()


async def test_an_address_that_is_taken_is_an_error(lab: Lab) -> None:
    relay = await lab.serve()
    assert relay.address is not None
    config = Config(server=ServerConfig(port=relay.address[1]), apps=(lab.app(),))
    with pytest.raises(OSError, match="in use"):
        await Relay(config).start()


@pytest.mark.parametrize("wrong", ["address", "certificate"])
async def test_a_start_that_fails_lets_the_stored_messages_go(lab: Lab, tmp_path: Path, wrong: str) -> None:
    async def start(**server: Any) -> None:
        config = Config(
            server=ServerConfig(close=0.2, **server),
            storage=StorageConfig(engine="sqlite", path=str(tmp_path / "messages.db")),
            apps=(lab.app(),),
        )
        async with Relay(config, lab.clock).running():
            pass

    if wrong == "address":
        relay = await lab.serve()
        assert relay.address is not None
        with pytest.raises(OSError, match="in use"):
            await start(port=relay.address[1])
    else:
        missing = str(tmp_path / "missing")
        with pytest.raises(CertificateUnusable):
            await start(port=0, tls_certificate=missing, tls_key=missing)
    assert "sealcast journal" not in {thread.name for thread in threading.enumerate()}
    await start(port=0)  # nobody else has the file
