"""What a relay stands on goes away: it says so clearly, calls go on, and all is well when it is back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from sealcast.client import Channel, Client, Frame, Key, MemberJoined, Message, Options, RequestRefused

from .crowd import SECRET, token
from .house import APP_ID, RelayProcess

PATIENCE = 20.0
KEY = "degraded-relay-key-5d1c7f02b9a84e63"
NEW_APPS = "/api/v1/apps"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to be root, and allowed to mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest_asyncio.fixture
async def relay(small_disk: Path, tmp_path: Path) -> AsyncIterator[RelayProcess]:
    """A relay whose messages and database are on it."""
    relay = RelayProcess(
        tmp_path,
        data=small_disk,
        database=f"sqlite:///{small_disk}/sealcast.db",
        SEALCAST_SERVER_INTERNAL_KEY=KEY,
    )
    await relay.start()
    try:
        yield relay
    finally:
        assert await relay.terminate() == 0


@contextlib.asynccontextmanager
async def operator(relay: RelayProcess) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"http://127.0.0.1:{relay.internal_port}"
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=PATIENCE) as client:
        yield client


@contextlib.asynccontextmanager
async def member(relay: RelayProcess, user: str) -> AsyncIterator[Channel]:
    options = Options(timeout=3.0)
    async with Client(relay.url, app_id=APP_ID, token=token, options=options, proxy=None) as client:
        yield await client.join("call", user=user, key=Key.raw(SECRET))


async def hears(room: Channel, wanted: type, data: bytes = b"") -> None:
    async with asyncio.timeout(PATIENCE):
        async for event in room:
            if isinstance(event, wanted) and (not data or getattr(event, "data", b"") == data):
                return


def fill(place: Path) -> Path:
    """Leave no room at all."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


async def send_until_refused(room: Channel) -> None:
    """Send more than fits into what the files have room for as they are."""
    for _ in range(200):
        await room.send(bytes(16_000))


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_full_disk_refuses_what_has_to_be_stored_and_calls_go_on(
    relay: RelayProcess, small_disk: Path
) -> None:
    async with member(relay, "ann") as ann, member(relay, "bob") as bob, operator(relay) as api:
        await ann.send(b"before")
        await hears(bob, Message, b"before")
        ballast = fill(small_disk)
        with pytest.raises(RequestRefused, match="not_stored") as refused:
            await send_until_refused(ann)
        assert refused.value.temporary
        answer = await api.post(NEW_APPS, json={"name": "x" * 60, "app_id": "ab12" * 8})
        for _ in range(200):
            if answer.status_code != 201:
                break
            answer = await api.post(NEW_APPS, json={"name": "x" * 60})
        assert (answer.status_code, answer.json()["name"]) == (503, "database_unavailable")
        assert answer.headers["retry-after"]

        # Whoever is in goes on, and others come in.
        ann.stream("audio").send(b"still here")
        await hears(bob, Frame, b"still here")
        async with member(relay, "cem"):
            await hears(bob, MemberJoined)

        ballast.unlink()
        await ann.send(b"after")
        await hears(bob, Message, b"after")
        assert (await api.post(NEW_APPS, json={})).status_code == 201
        assert (await api.get("/readyz")).status_code == 200
