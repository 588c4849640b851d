"""Servers that relay plain messages: the path names the channel, and nothing stands around a payload."""

from __future__ import annotations

import socket

from .base import Peer, Running, Wrap
from .installed import package_version, python
from .process import run
from .websocket import connect, header

__all__ = ["Plain", "PythonServer"]


class Plain(Peer):
    """A server that sends each message to the others at the same path."""

    def join(self, port: int, channel: str, user: str, *, sends: bool) -> socket.socket:
        """Upgrade; the path is the channel."""
        return connect(port, f"/c/{channel}")

    def wrap(self, size: int, channel: str, user: str) -> Wrap:
        """Return the header alone."""
        return Wrap(header(size))


class PythonServer(Plain):
    """A module of this package that relays when it is run in ``.venv-bench``.

    Args:
        name: of the peer.
        note: what differs.
        module: its ``__name__``.
        packages: what has to be installed, the one whose version is told first.
        flags: for its command line.

    """

    def __init__(self, name: str, note: str, module: str, packages: tuple[str, ...], *flags: str) -> None:
        self.name = name
        self.note = note
        self._module = module
        self._packages = packages
        self._flags = flags

    def missing(self) -> str | None:
        """Return which packages are not in ``.venv-bench``."""
        lacking = [name for name in self._packages if package_version(name) is None]
        return f"needs {' and '.join(lacking)}: make bench-peers ARGS=python" if lacking else None

    def version(self) -> str:
        """Return the versions of its packages."""
        return " ".join(f"{name} {package_version(name)}" for name in self._packages)

    def start(self) -> Running:
        """Run the module as a process."""
        return run([python(), "-m", self._module, *self._flags])
