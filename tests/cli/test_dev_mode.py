"""`sealcast serve --dev`: what it prints works when it is typed, and its relay has no key."""

from __future__ import annotations

import os
import re
import signal
import stat
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sealcast.protocol.tokens import verify

Start = Callable[..., Awaitable[Any]]
Shell = Callable[[str], Awaitable[Any]]

RULE = "─" * 20


async def box(program: Any) -> list[str]:
    """Return the lines between the two rules."""
    await program.until(RULE)
    *lines, _ = await program.until(RULE)
    return lines


def fact(lines: list[str], name: str) -> str:
    (line,) = [line for line in lines if line.startswith(f"  {name} ")]
    return line.split()[-1]


def commands(lines: list[str]) -> list[str]:
    return [line for line in lines if " join standup --user " in line]


async def test_the_two_commands_it_prints_let_two_terminals_talk(start: Start, shell: Shell) -> None:
    relay = await start("serve", "--dev", "--port", "0")
    first, second = commands(await box(relay))
    alice = await shell(first)
    await alice.until("nobody else is here yet")
    bob = await shell(second)
    assert "sealed end to end" in await bob.line()
    assert await bob.line() == "* here: alice"
    assert await alice.line() == "* bob joined"

    await alice.write("hello, bob\n")
    assert await bob.line() == "alice: hello, bob"
    await bob.write("hello, alice\n")
    assert await alice.line() == "bob: hello, alice"

    bob.close_input()
    assert await bob.ended() == 0
    assert await alice.line() == "* bob left"
    await alice.write("/quit\n")
    assert await alice.ended() == 0
    relay.signal(signal.SIGTERM)
    assert await relay.ended() == 0


async def test_a_script_of_an_environment_that_is_not_on_the_path_is_named_in_full(
    shell: Shell,
) -> None:
    script = Path(sys.executable).with_name("sealcast")
    relay = await shell(f"{os.fspath(script)} serve --dev --port 0")
    assert [line.split()[0] for line in commands(await box(relay))] == [os.fspath(script)] * 2


async def test_the_facts_it_prints_are_true(start: Start, shell: Shell) -> None:
    relay = await start("serve", "--dev", "--port", "0")
    lines = await box(relay)
    app_id, certificate = fact(lines, "App ID"), fact(lines, "certificate")
    token = fact(lines, "token")
    verify(
        token,
        app_id=app_id,
        certificates=[certificate],
        channel="standup",
        user="alice",
        now=time.time(),
    )
    env = {
        "SEALCAST_URL": fact(lines, "URL"),
        "SEALCAST_APP_ID": app_id,
        "SEALCAST_KEY": fact(lines, "content key"),
        "SEALCAST_TOKEN": token,
    }
    bob = await shell(commands(lines)[1])
    await bob.until("nobody else")
    sent = await (await start("send", "standup", "--user", "alice", "-m", "by hand", env=env)).finish()
    assert (sent.status, sent.err) == (0, "")
    assert "alice: by hand" in await bob.until("by hand")


async def test_the_context_file_is_private_and_goes_with_the_relay(start: Start) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        relay = await start("serve", "--dev", "--port", "0")
        path = Path(commands(await box(relay))[0].split()[-1])
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        relay.signal(number)
        assert await relay.ended() == 0
        assert not path.parent.exists()


async def test_everything_is_made_up_anew_for_each_run(start: Start) -> None:
    seen = set()
    for _ in range(2):
        lines = await box(await start("serve", "--dev", "--port", "0"))
        seen |= {fact(lines, name) for name in ("App ID", "certificate", "content key")}
    assert len(seen) == 6


async def test_an_app_of_the_environment_is_not_served(start: Start) -> None:
    env = {"SEALCAST_APP_ID": "0" * 32, "SEALCAST_APP_CERTIFICATE": "not one", "SEALCAST_LOG_LEVEL": "error"}
    lines = await box(await start("serve", "--dev", "--port", "0", env=env))
    assert fact(lines, "App ID") != "0" * 32


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2"])
async def test_any_name_of_this_machine_will_do(host: str, start: Start) -> None:
    lines = await box(await start("serve", "--dev", "--port", "0", "--host", host))
    assert re.fullmatch(r"ws://(127\.0\.0\.[12]|\[::1\]):\d+", fact(lines, "URL"))


async def test_an_address_in_the_environment_does_not_open_it_to_others(start: Start) -> None:
    program = await start("serve", "--dev", "--port", "0", env={"SEALCAST_SERVER_HOST": "0.0.0.0"})
    assert fact(await box(program), "URL").startswith("ws://127.0.0.1:")


async def test_a_wrong_variable_is_status_3(start: Start) -> None:
    done = await (await start("serve", "--dev", env={"SEALCAST_SERVER_PORT": "many"})).finish()
    assert done.status == 3
    assert done.err.startswith("sealcast: SEALCAST_SERVER_PORT: should be a valid integer")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="reads the memory of a Linux process")
async def test_the_process_of_the_relay_never_has_the_content_key(start: Start, shell: Shell) -> None:
    relay = await start("serve", "--dev", "--port", "0")
    lines = await box(relay)
    alice = await shell(commands(lines)[0])
    await alice.until("nobody else")
    bob = await shell(commands(lines)[1])
    await bob.until("here: alice")
    await alice.write("a text that only the two of them read\n")
    await bob.until("a text that only")

    key, certificate = fact(lines, "content key"), fact(lines, "certificate")
    memory = _memory(relay.pid)
    assert certificate.encode() in memory, "the search finds what is there"
    assert key.encode() not in memory
    assert bytes.fromhex(key) not in memory
    assert b"a text that only the two" not in memory
    mapped = Path(f"/proc/{relay.pid}/maps").read_text()
    assert "uvloop" in mapped
    assert "cryptography" not in mapped


def _memory(pid: int) -> bytes:
    """Return everything that a process can write to."""
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if not rights.startswith("rw"):
                continue
            begin, end = (int(number, 16) for number in span.split("-"))
            memory.seek(begin)
            try:
                found.append(memory.read(end - begin))
            except OSError:
                continue
    return b"\0".join(found)


async def test_the_link_it_prints_signs_in_to_the_console_once(start: Start) -> None:
    relay = await start("serve", "--dev", "--port", "0", env={"SEALCAST_SERVER_INTERNAL": "true"})
    (link,) = [line for line in await box(relay) if "/console/once#" in line]
    page, _, code = link.partition("#")
    origin = page.removesuffix("/console/once")
    statuses = []
    for _ in range(2):
        async with httpx.AsyncClient(base_url=origin, trust_env=False, timeout=20) as client:
            shown = (await client.get("/console/once")).text
            token = shown.partition('name="csrf" value="')[2][:64]
            answer = await client.post(
                "/console/once", data={"csrf": token, "code": code}, headers={"Origin": origin}
            )
            overview = await client.get("/console/accounts")
            statuses.append((answer.status_code, overview.status_code))
    assert statuses == [(303, 200), (403, 303)]
    relay.signal(signal.SIGTERM)
    assert await relay.ended() == 0
