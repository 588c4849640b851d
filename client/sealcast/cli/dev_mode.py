"""``sealcast serve --dev``: an app that is made up for one run, and what to type in two other terminals.

The relay's process has no content key, here as everywhere: the key is made, written down and printed by
a process of its own (``dev_box``), so that what is true of a relay is true of this one too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from sealcast.server.config import Config, DatabaseConfig, ServerConfig, is_loopback
from sealcast.server.config_file import ConfigError
from sealcast.server.config_file import load as load_config
from sealcast.server.station import Station

from .failure import Failure, Status
from .invocation import invocation
from .output import note

__all__ = ["load", "relay"]


def load(environment: Mapping[str, str], flags: Mapping[str, Any]) -> Config:
    """Return the configuration of a run for trying out: loopback, and one app with a new certificate.

    Raises Failure for an address that others could reach, or options that cannot be used.
    """
    host = flags.get("server.host")
    if host is not None and not is_loopback(host):
        raise Failure(
            "--dev listens on this machine only, since everybody can read its secrets on the screen",
            "--host 127.0.0.1, or a configuration (`sealcast genconfig`)",
            Status.USAGE,
        )
    app = {
        "SEALCAST_APP_ID": secrets.token_hex(16),
        "SEALCAST_APP_CERTIFICATE": secrets.token_hex(16),
    }
    others = {name: text for name, text in environment.items() if not name.startswith("SEALCAST_APP_")}
    try:
        config = load_config(None, others | app, {"server.host": "127.0.0.1", **_given(flags)})
        server = config.server
        operators: dict[str, Any] = {"internal_host": "127.0.0.1", "internal_port": _free(server)}
        if not server.internal_key.get_secret_value():
            operators["internal_key"] = SecretStr(secrets.token_urlsafe(32))
        config = config.model_copy(update={"server": server.model_copy(update=operators)})
    except ConfigError as error:
        *more, last = error.problems
        for problem in more:
            note(problem)
        raise Failure(last, status=Status.CONFIGURATION) from None
    return config


@contextlib.contextmanager
def relay(config: Config) -> Iterator[Station]:
    """Make the relay, and a directory for its context file and database that goes with it."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = Path(
        tempfile.mkdtemp(prefix="sealcast-", dir=runtime if runtime and Path(runtime).is_dir() else None)
    )
    try:
        if config.server.internal and not config.database.place:
            database = DatabaseConfig(directory=str(place / "data"))
            config = config.model_copy(update={"database": database})
        yield _DevRelay(config, place / "dev.toml")
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _DevRelay(Station):
    """A relay that says how to use it once it listens."""

    def __init__(self, config: Config, context: Path) -> None:
        super().__init__(config)
        self._context = context

    async def start(self) -> tuple[str, int]:
        if hasattr(signal, "SIGHUP"):  # a closed terminal must not leave the context file behind
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.shut_down)
        host, port = await super().start()
        app = self.directory.configured[0]
        key = self.config.server.internal_key.get_secret_value()
        link = self.sign_in_link("admin")
        self._print_box(
            {
                **({"api": self.internal_url, "api_key": key} if self.internal_url else {}),
                **({"console": link} if link else {}),
                "url": f"ws://{f'[{host}]' if ':' in host else host}:{port}",
                "app_id": app.app_id,
                "certificate": app.certificates[0],
                "context": str(self._context),
                "program": invocation(),
            }
        )
        return host, port

    def _print_box(self, facts: Mapping[str, str]) -> None:
        ended = subprocess.run(  # noqa: S603 - this interpreter, and a module of this package
            [sys.executable, "-P", "-m", f"{__package__}.dev_box"],
            input=json.dumps(facts).encode(),
            check=False,
        )
        if ended.returncode:
            raise Failure("no key and no commands could be made", "`sealcast genconfig` instead of --dev")


def _free(server: ServerConfig) -> int:
    """Return the internal port, or 0, which takes a free one, when another relay has it already."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", server.internal_port))
        except OSError:
            return 0
    return server.internal_port


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}
