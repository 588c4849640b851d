"""The relay in a process of its own: ``python -m sealcast.cli.blind.runner [--plant]``.

Reads its configuration as one line of JSON from standard input, so that a certificate stands neither in
a file nor in an argument; the end of the input ends it. Says on standard output where it listens.

With ``--plant`` each further line is a key in hexadecimal digits, which this process then keeps in its
memory, next to the relay: what the searches must be able to catch. The relay itself has no such hook.
"""

from __future__ import annotations

import asyncio
import json
import sys

from sealcast.server.config import Config
from sealcast.server.logs import configure
from sealcast.server.relay import Relay, main_loop

__all__ = ["main"]


async def _serve(config: Config, plant: bool) -> None:
    relay = Relay(config)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _, port = await relay.start()
    _say("listening", port=port)
    obeying = asyncio.create_task(_obey(reader, relay, plant))
    await relay.wait_stopped()
    await obeying


async def _obey(reader: asyncio.StreamReader, relay: Relay, plant: bool) -> None:
    kept: list[bytes] = []
    while line := await reader.readline():
        if plant:
            kept.append(bytes.fromhex(line.decode()))
            _say("planted")
    relay.shut_down()


def _say(event: str, **values: int) -> None:
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the relay that standard input describes; return the exit status."""
    config = Config.model_validate(json.loads(sys.stdin.buffer.readline()))
    configure(config.log)
    with asyncio.Runner(loop_factory=main_loop()) as runner:
        runner.run(_serve(config, sys.argv[1:] == ["--plant"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
