"""``python -m bench.peers.check [NAME ...]``: does each peer really relay, as the contract says?"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .base import Peer, Running, Wrap
from .catalogue import every_peer
from .installed import project_version

__all__ = ["FRAMES", "SIZES", "Reader", "examine", "message", "payload", "version_of"]

FRAMES = 100
"""Of each size; they are sent in one go, so that a server that joins frames does join them."""

SIZES = (64, 1200)
"""Bytes of a payload: headers of both lengths occur."""

_MAGIC = b"\x93sealch\xfa"
_ESTABLISHED = "01"
"""In /proc/net/tcp."""
_GRACE = 0.2
"""Seconds in which what must not come would come."""


@dataclass
class Reader:
    """A member's side: which payloads have arrived, and how far apart they began in the stream."""

    sock: socket.socket
    size: int = 0
    counters: list[int] = field(default_factory=list)
    strides: set[int] = field(default_factory=set)
    damaged: int = 0
    closed: bool = False
    _stream: bytearray = field(default_factory=bytearray)
    _since: int = -1
    """Bytes from the last payload's begin to the stream's; negative before the first one."""

    def begin(self, size: int) -> None:
        """Expect payloads of another size from now on."""
        self.size = size
        self.strides.clear()
        self._since = -1

    def take(self) -> None:
        """Read what is there."""
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.closed = not data
        self._stream += data
        while (at := self._stream.find(_MAGIC)) >= 0 and len(self._stream) >= at + self.size:
            found = bytes(self._stream[at : at + self.size])
            counter = int.from_bytes(found[8:12], "big")
            self.counters.append(counter)
            self.damaged += found != payload(counter, self.size)
            if self._since >= 0:
                self.strides.add(self._since + at)
            self._since = self.size
            del self._stream[: at + self.size]


def payload(counter: int, size: int) -> bytes:
    """Return the bytes of a frame: magic, counter, and a fill that no other counter has."""
    return _MAGIC + counter.to_bytes(4, "big") + random.Random(counter).randbytes(size - 12)


def message(wrap: Wrap, number: int, data: bytes) -> bytes:
    """Return a sender's message of that number, from 0."""
    prefix = bytearray(wrap.prefix)
    if wrap.counter_at is not None:
        place = slice(wrap.counter_at, wrap.counter_at + wrap.counter_bytes)
        prefix[place] = (int.from_bytes(prefix[place], "big") + number).to_bytes(wrap.counter_bytes, "big")
    return bytes(prefix) + data + wrap.suffix


def examine(peer: Peer, patience: float = 15.0) -> str | None:
    """Start a peer, relay through it, end it; return what is wrong, or None.

    One sender and three receivers in a channel, a stranger in another. Every payload must reach every
    receiver whole, once and in order; the sender gets its own if ``echoes`` says so, the stranger nothing;
    the framing is as steady as ``steady`` says; the processes that hold the connections are those whose CPU
    is measured; and none is left.

    Args:
        peer: whose ``missing()`` says None.
        patience: seconds until all frames of a size must have arrived.

    Raises:
        RuntimeError: it does not start, or refuses a member.
        OSError: it does not answer.

    """
    with ExitStack() as stack:
        running = stack.enter_context(peer.start())
        users = ["sender", "first", "second", "third"]
        readers = [
            Reader(stack.enter_context(peer.join(running.port, "room", user, sends=user == "sender")))
            for user in users
        ]
        stranger = Reader(stack.enter_context(peer.join(running.port, "elsewhere", "stranger", sends=False)))
        fault = _relay(peer, readers, stranger, patience) or _uncounted(running)
    left = [pid for pid in running.pids if _alive(pid)]
    return fault or (f"processes {left} outlived it" if left else None)


def _relay(peer: Peer, readers: Sequence[Reader], stranger: Reader, patience: float) -> str | None:
    sender = readers[0]
    due = readers if peer.echoes else readers[1:]
    everyone = (*readers, stranger)
    for number, size in enumerate(SIZES):
        counters = range(number * FRAMES, (number + 1) * FRAMES)
        wrap = peer.wrap(size, "room", "sender")
        for reader in everyone:
            reader.begin(size)
        sender.sock.sendall(b"".join(message(wrap, n, payload(n, size)) for n in counters))
        _read(everyone, due, counters.stop, time.monotonic() + patience)
        if fault := _fault(peer, readers, due, counters.stop):
            return f"{size} bytes: {fault}"
    if stranger.counters:
        return f"{len(stranger.counters)} frames reached another channel"
    return None


def _read(everyone: Iterable[Reader], due: Iterable[Reader], count: int, end: float) -> None:
    """Read until all have *count* frames, and a little longer; but not after *end*."""
    with selectors.DefaultSelector() as selector:
        for reader in everyone:
            reader.sock.setblocking(False)
            selector.register(reader.sock, selectors.EVENT_READ, reader)
        complete = False
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                key.data.take()
                if key.data.closed:
                    selector.unregister(key.data.sock)
            if not complete and all(len(reader.counters) >= count or reader.closed for reader in due):
                complete = True
                end = min(end, time.monotonic() + _GRACE)
        for reader in everyone:
            reader.sock.setblocking(True)


def _fault(peer: Peer, readers: Sequence[Reader], due: Sequence[Reader], count: int) -> str | None:
    for place, reader in enumerate(readers):
        who = f"receiver {place}" if place else "the sender"
        expected = list(range(count)) if reader in due else []
        if reader.closed:
            return f"the server closed the connection of {who}"
        if reader.damaged:
            return f"{reader.damaged} frames came damaged to {who}"
        if reader.counters != expected:
            return f"{len(reader.counters)} of {len(expected)} frames came to {who}, or not in order"
        if peer.steady and len(reader.strides) > 1:
            return f"its framing is not steady: payloads {sorted(reader.strides)} bytes apart"
    return None


def _uncounted(running: Running) -> str | None:
    held = set()
    for pid in running.pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                held.add(os.readlink(entry))
    lost = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) == running.port:
            lost += f"socket:[{inode}]" not in held
    return f"{lost} connections belong to processes that are not counted" if lost else None


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def version_of(peer: Peer) -> str:
    """Return a peer's version, for tables: what it says itself, or that of the package of its name."""
    told = getattr(peer, "version", None)
    return str(told()) if told else project_version(peer.name.partition("-")[0])


def main(names: Sequence[str]) -> int:
    """Check the named peers, or all; print a table; return 1 when one that could run is at fault."""
    peers = every_peer()
    unknown = [name for name in names if name not in peers]
    if unknown:
        sys.stderr.write(f"no peer {unknown[0]!r}; there are {', '.join(peers)}\n")
        return 2
    table = Table("peer", "version", "ok", "note", title=f"{FRAMES} frames each of {SIZES} bytes, 1 to 3")
    faults = 0
    for name in names or peers:
        peer = peers[name]
        if missing := peer.missing():
            table.add_row(name, "", "skipped", missing)
            continue
        try:
            fault = examine(peer)
        except (RuntimeError, OSError) as error:
            fault = str(error)
        faults += fault is not None
        table.add_row(name, version_of(peer), "no" if fault else "yes", fault or peer.note)
    Console(width=None if sys.stdout.isatty() else 160).print(table, highlight=False)
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
