"""The relay, in a process of its own: ``python -m sealcast.cli.demo.relay``.

Reads its configuration as one line of JSON from standard input, so that its secrets stand neither in
a file nor in an argument; SIGTERM or the end of the input ends it. Writes the relay's own log lines to
standard error, and two JSON lines to standard output: at the start where its console is, and at the end which
modules it had loaded that could have helped it to decrypt.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

from sealcast.server.config import Config, LogConfig
from sealcast.server.logs import configure
from sealcast.server.relay import Relay, main_loop
from sealcast.server.station import Station

__all__ = ["main"]

_CIPHERS: Final = ("cryptography", "nacl", "Crypto", "sealcast.client")


def _loaded() -> list[str]:
    """Return the loaded modules that hold ciphers, or the SDK with its keys."""
    return sorted(
        name for name in sys.modules if any(name == own or name.startswith(own + ".") for own in _CIPHERS)
    )


class _Shown(Station):
    """A relay that says where its console is, and how to look at it: as a viewer, who disturbs nobody."""

    async def start(self) -> tuple[str, int]:
        address = await super().start()
        _say({"event": "console", "address": self.internal_url, "link": self.sign_in_link("viewer")})
        return address


def _say(fact: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(fact) + "\n")
    sys.stdout.flush()


async def _serve(config: Config) -> None:
    relay = _Shown(config)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orphaned = asyncio.create_task(_until_orphaned(reader, relay))
    try:
        await relay.run()
    finally:
        orphaned.cancel()


async def _until_orphaned(reader: asyncio.StreamReader, relay: Relay) -> None:
    await reader.read()
    relay.shut_down()


def main() -> int:
    """Run the relay that standard input describes; return the exit status."""
    config = Config.model_validate(json.loads(sys.stdin.buffer.readline()))
    configure(LogConfig(format="json"))
    with asyncio.Runner(loop_factory=main_loop()) as runner:
        runner.run(_serve(config))
    _say({"event": "loaded", "modules": _loaded()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
