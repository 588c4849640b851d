"""A PostgreSQL for a run of the tests: its own data, its own port, gone afterwards."""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

WAIT = 30.0
_INITDB = ("--username=sealcast", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")


class Postgres:
    """A running server, which makes a new database whenever it is asked."""

    def __init__(self, port: int, binaries: Path, place: Path, settings: dict[str, Any]) -> None:
        self._port = port
        self._binaries = binaries
        self._place = place
        self._flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._numbers = itertools.count(1)
        self._process = self._spawned()

    def _spawned(self) -> subprocess.Popen[bytes]:
        command = [self._binaries / "postgres", "-D", self._place / "data", *self._flags]
        with (self._place / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self._place, **_somebody())

    def ready(self) -> None:
        """Wait until it answers."""
        _wait(self._process, self._binaries, self._port)

    async def database(self) -> str:
        """Make an empty database; return its URL."""
        name = f"test{next(self._numbers)}"
        connection = await asyncpg.connect(self.url("postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return self.url(name)

    def stop(self) -> None:
        """Cut everybody off and end, as a database does whose machine is shut down."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(WAIT)

    def crash(self) -> None:
        """End at once, as a database does whose machine fails."""
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(WAIT)

    def start(self) -> None:
        """Be there again, with the same data."""
        self._process = self._spawned()
        self.ready()

    def freeze(self) -> None:
        """Take everything and answer nothing, as a database does whose disk hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        for child in map(int, children.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)

    def end(self) -> None:
        """Be gone for good."""
        with contextlib.suppress(OSError):
            self.thaw()
        self._process.terminate()
        try:
            self._process.wait(WAIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def url(self, name: str) -> str:
        return f"postgresql://sealcast@127.0.0.1:{self._port}/{name}"


def _binaries() -> Path:
    found = shutil.which("initdb")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    places += [Path(found).resolve().parent] if found and not places else []
    if not places:
        reason = "PostgreSQL is not installed (on Debian and Ubuntu: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return places[-1]


def _somebody() -> dict[str, Any]:
    """Whom to run it as: it refuses to run as root."""
    if os.geteuid():
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    pytest.skip("there is no user to run PostgreSQL as")


@contextlib.contextmanager
def running() -> Iterator[Postgres]:
    """Start one, and stop it at the end of the block."""
    binaries, somebody = _binaries(), _somebody()
    place = tempfile.mkdtemp(prefix="sealcast-postgres-")
    if somebody:
        os.chown(place, somebody["user"], somebody["group"])
    data = Path(place) / "data"
    try:
        subprocess.run(
            [binaries / "initdb", *_INITDB, "--pgdata", data],
            check=True,
            capture_output=True,
            cwd=place,
            **somebody,
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 50,
            "shared_buffers": "16MB",
        }
        server = Postgres(port, binaries, Path(place), settings)
        try:
            server.ready()
            yield server
        finally:
            server.end()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _wait(process: subprocess.Popen[bytes], binaries: Path, port: int) -> None:
    deadline = time.monotonic() + WAIT
    asking = [binaries / "pg_isready", "--host", "127.0.0.1", "--port", str(port), "--quiet"]
    while subprocess.run(asking, check=False).returncode:
        assert process.poll() is None, "PostgreSQL ended by itself"
        assert time.monotonic() < deadline, "PostgreSQL does not answer"
        time.sleep(0.05)
