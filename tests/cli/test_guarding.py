"""`sealcast serve` under attack and reloaded, and `sealcast blocks`: a real process, from real addresses."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from sealcast.client.tokens import mint
from sealcast.protocol import controls
from sealcast.protocol.controls import Join

Start = Callable[..., Awaitable[Any]]

APP_ID, CERTIFICATE = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
OTHER = "abcdef0123456789abcdef0123456789"
KEY = "root-key-of-the-tests-0123456789abcdef"
BAD, OFFICE = "127.0.0.66", "127.0.0.2"

pytestmark = pytest.mark.timeout(180)


class Served:
    """A relay in a process, its configuration file, and what it writes."""

    def __init__(self, start: Start, path: Path) -> None:
        self._start = start
        self.path = path
        self.program: Any = None
        self.port = 0
        self.env: dict[str, str] = {}

    def write(
        self, guard: str = "", *, apps: tuple[str, ...] = (APP_ID,), app: str = "", server: str = ""
    ) -> None:
        """Write the configuration."""
        blocks = "".join(
            f'[[apps]]\napp_id = "{app_id}"\ncertificate = "{CERTIFICATE}"\n{app}\n' for app_id in apps
        )
        self.path.write_text(
            f'[server]\nport = 0\ninternal = true\ninternal_port = 0\ninternal_key = "{KEY}"\n{server}\n'
            f'[log]\nformat = "json"\n[guard]\nallow = []\n{guard}\n{blocks}'
        )
        self.path.chmod(0o600)

    async def run(self, *arguments: str) -> None:
        """Start the relay."""
        env = {"SEALCAST_SERVER_INTERNAL": "true"}
        self.program = await self._start("serve", "--config", str(self.path), *arguments, env=env)
        self.port = (await self.line("listening"))["port"]
        port = (await self.line("listening for operators"))["port"]
        self.env = {"SEALCAST_API_URL": f"http://127.0.0.1:{port}", "SEALCAST_API_KEY": KEY}

    async def stop(self) -> None:
        self.program.signal(signal.SIGTERM)
        assert await self.program.ended() == 0

    async def line(self, *events: str) -> dict[str, Any]:
        """Read to the line about one of these events."""
        while True:
            told: dict[str, Any] = json.loads(await self.program.error_line())
            if told["event"] in events:
                return told

    async def reload(self) -> dict[str, Any]:
        """Send SIGHUP; return what is said of the configuration."""
        self.program.signal(signal.SIGHUP)
        return await self.line(
            "configuration reloaded", "the configuration was not reloaded, the old one stays in use"
        )

    async def blocks(self, *arguments: str, status: int = 0) -> str:
        """Run `sealcast blocks`."""
        done = await (await self._start("blocks", *arguments, env=self.env)).finish()
        assert done.status == status, done.err
        return str(done.err) if status else str(done.out.decode())

    async def status(self, address: str, app_id: str = APP_ID, *, forged: int = 0) -> int:
        """Knock from an address; return the status, 0 when the connection was cut. Then try forged tokens."""
        return await asyncio.to_thread(self._knock, address, app_id, forged)

    def _knock(self, address: str, app_id: str, forged: int) -> int:
        token = mint(APP_ID, "a" * 32, "standup", "mallory", ttl=60)
        head = (
            f"GET /v1/{app_id} HTTP/1.1\r\nHost: relay\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Protocol: sealcast.1\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", self.port), 10, source_address=(address, 0)) as sock:
            try:
                sock.sendall(head.encode())
                answer = sock.recv(1024)
                for number in range(forged):
                    data = controls.encode(Join(channel="standup", user="mallory", token=token), number + 1)
                    sock.sendall(bytes((0x82, 0x80 | 126)) + len(data).to_bytes(2, "big") + bytes(4) + data)
                while forged and sock.recv(65536):
                    pass
            except ConnectionError:
                return int(answer.split(b" ")[1]) if forged else 0
        return int(answer.split(b" ")[1]) if answer else 0


@pytest.fixture
async def served(start: Start, tmp_path: Path) -> Served:
    return Served(start, tmp_path / "sealcast.toml")


async def test_lists_and_limits_are_read_again_on_sighup(served: Served) -> None:
    served.write()
    await served.run()
    assert await served.status(BAD) == 101
    served.write(f'deny = ["{BAD}"]\nhalf_life = "10m"')
    assert await served.reload() | {"ts": ""} == {
        "event": "configuration reloaded",
        "level": "info",
        "ts": "",
        "changed": ["guard.deny", "guard.half_life"],
        "apps": [],
        "apps_removed": [],
    }
    assert await served.status(BAD) == 0
    assert await served.status(OFFICE) == 101
    served.write(app="[apps.limits]\nconnections = 1\n[apps.rates]\nconnections_per_app = 1")
    told = await served.reload()
    assert (told["changed"], told["apps"]) == (["guard.deny", "guard.half_life"], [APP_ID])
    assert [await served.status(BAD), await served.status(BAD)] == [101, 429]
    served.write(apps=(OTHER,))
    told = await served.reload()
    assert (told["apps"], told["apps_removed"]) == ([OTHER], [APP_ID])
    assert [await served.status(OFFICE), await served.status(OFFICE, OTHER)] == [404, 101]
    await served.stop()


async def test_what_cannot_be_used_is_refused_and_named_and_nothing_changes(served: Served) -> None:
    served.write(f'deny = ["{BAD}"]')
    await served.run()
    for wrong, named in (
        ('deny = ["127.0.0.1/8"]', "guard.deny"),
        ('dney = ["127.0.0.2"]', "did you mean deny"),
        ("deny = [", "is not TOML"),
    ):
        served.write(wrong)
        told = await served.reload()
        assert told["level"] == "error"
        assert named in told["reason"]
        assert CERTIFICATE not in json.dumps(told)
    served.path.unlink()
    assert "cannot be read" in (await served.reload())["reason"]
    assert [await served.status(BAD), await served.status(OFFICE)] == [0, 101]
    await served.stop()


async def test_what_needs_a_restart_is_said(served: Served) -> None:
    served.write()
    await served.run()
    served.write(server="backlog = 7")
    await served.reload()
    assert (await served.line("these options changed, but need a restart"))["options"] == ["server.backlog"]
    await served.stop()


async def test_a_block_is_written_down_seen_and_lifted(served: Served) -> None:
    served.write()
    await served.run()
    assert await served.status(BAD, forged=12) == 101
    told = await served.line("address blocked")
    assert (told["address"], told["reason"], told["seconds"]) == (BAD, "invalid_token", 60.0)
    assert await served.status(BAD) == 0
    (found,) = json.loads(await served.blocks("list", "--json"))
    assert (found["network"], found["origin"], found["reason"]) == (BAD, "automatic", "invalid_token")
    assert found["until"] - found["since"] == pytest.approx(60)
    table = await served.blocks("list")
    assert BAD in table
    assert "automatic" in table
    await served.blocks("lift", BAD)
    assert await served.status(BAD) == 101
    assert await served.blocks("list") == "none\n"
    assert "(not_found)" in await served.blocks("lift", BAD, status=1)
    await served.stop()


async def test_operators_block_by_hand_and_it_outlives_a_restart(served: Served, tmp_path: Path) -> None:
    served.write()
    data = ("--data", str(tmp_path / "data"))
    await served.run(*data)
    await served.blocks("add", "127.0.0.64/26", "--for", "2h", "--reason", "scans us")
    await served.blocks("add", "127.0.9.9")
    assert [await served.status(BAD), await served.status(OFFICE)] == [0, 101]
    await served.stop()
    await served.run(*data)
    assert [await served.status(BAD), await served.status("127.0.9.9")] == [0, 0]
    first, second = json.loads(await served.blocks("list", "--json"))
    assert (first["network"], first["origin"], first["reason"]) == ("127.0.0.64/26", "operator", "scans us")
    assert first["until"] - first["since"] == pytest.approx(7200)
    assert (second["network"], second["until"]) == ("127.0.9.9", None)
    await served.blocks("lift", "127.0.0.64/26")
    assert [await served.status(BAD), await served.status("127.0.9.9")] == [101, 0]
    await served.stop()


async def test_mistakes_are_named(served: Served) -> None:
    served.write('deny = ["192.0.2.0/24"]')
    await served.run()
    assert "203.0.113.0/24 is the network" in await served.blocks("add", "203.0.113.7/24", status=1)
    assert "keep out the world" in await served.blocks("add", "0.0.0.0/0", status=1)
    assert "--for" in await served.blocks("add", "203.0.113.7", "--for", "soon", status=2)
    assert "(file_configured)" in await served.blocks("lift", "192.0.2.0/24", status=1)
    await served.stop()
